"""LIME's local surrogate for many features at once: one design matrix, one factorisation, all answers.

Knows neither images nor texts: a design says which parts of an example were kept, activations say what each
feature answered. The regression is that of the ``lime`` package: samples weighted by an exponential kernel of
their cosine distance from the whole example, ridge of strength 1 with an intercept that is not penalised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg

from sparse_debug_widgets.core.checks import check_finite, check_int, check_real, reject

Array = npt.NDArray[Any]
POOR_R2 = 0.5
"""Below this share of explained variance (left out) a surrogate says little about the feature."""

_COLUMNS_AT_ONCE = 1024
_SELECTION_RIDGE = 0.01


@dataclass(frozen=True, eq=False)
class Surrogates:
    """Linear models of F features on d parts of one example.

    Attributes:
        weights: (F, d) effect of keeping a part, in the unit of the activations.
        intercepts: (F,) answer where every part is removed.
        r2: (F,) weighted share of variance explained on the samples themselves, as ``lime`` reports it; NaN
            for a feature that answered the same to every sample.
        r2_left_out: (F,) the same with each sample predicted by a fit without it (exact, no refits): honest
            where the samples are few.
    """

    weights: Array
    intercepts: Array
    r2: Array
    r2_left_out: Array

    @property
    def poor(self) -> npt.NDArray[np.bool_]:
        """(F,) which surrogates explain less than :data:`POOR_R2` of the variance, constant ones included."""
        return np.asarray(~(self.r2_left_out >= POOR_R2))


def fit_surrogates(
    design: Array,
    activations: Array,
    *,
    kernel_width: float = 0.25,
    distance_scale: float = 1.0,
    ridge: float = 1.0,
    n_terms: int | None = None,
) -> Surrogates:
    """Regress the activations of all features on the parts that were kept, as ``lime`` does for one.

    Args:
        design: (n, d) of 0 and 1: which parts each sample keeps; row 0 is the whole example.
        activations: (n, F) or (n,), what the features answered.
        kernel_width: Of the exponential kernel; ``lime`` takes 0.25 for images and 25 for text.
        distance_scale: Factor on the cosine distance; ``lime`` takes 1 for images and 100 for text.
        ridge: Strength of the ridge.
        n_terms: Keep only so many parts per feature, chosen by a first fit as in ``lime``'s
            ``highest_weights``; the weights of the others are 0. None keeps all.

    Returns:
        One linear model per feature.

    Raises:
        InputError: Shapes that do not fit, a design of other numbers than 0 and 1, activations that are not
            finite, parameters out of range.
    """
    kept, answers = check_samples(design, activations)
    check_real(ridge, "ridge", "a surrogate", low=0, open_low=True)
    weights = sample_weights(kept, kernel_width=kernel_width, distance_scale=distance_scale)
    if n_terms is not None:
        check_int(n_terms, "n_terms", "a surrogate")
    if n_terms is None or n_terms >= kept.shape[1]:
        return _assemble(_solve(kept, answers, weights, ridge), answers, weights)
    first = _solve(kept, answers, weights, _SELECTION_RIDGE, hat=False).coefficients
    parts = []
    for k, coefficients in enumerate(first.T):
        chosen = np.argsort(-np.abs(coefficients), kind="stable")[:n_terms]
        one = answers[:, k : k + 1]
        found = _assemble(_solve(kept[:, chosen], one, weights, ridge), one, weights)
        spread = np.zeros((1, kept.shape[1]))
        spread[:, chosen] = found.weights
        parts.append((spread, found.intercepts, found.r2, found.r2_left_out))
    return Surrogates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def check_samples(design: Array, activations: Array) -> tuple[Array, npt.NDArray[np.float64]]:
    """A design (n, d) and activations (n, F) that a regression can use.

    Raises:
        InputError: See :func:`fit_surrogates`.
    """
    kept, answers = np.asarray(design), np.asarray(activations, np.float64)
    answers = answers[:, None] if answers.ndim == 1 else answers
    if kept.ndim != 2 or 0 in kept.shape or not ((kept == 0) | (kept == 1)).all():
        reject("design", "a surrogate", "be a matrix of 0 and 1", f"{kept.dtype} of shape {kept.shape}")
    if answers.ndim != 2 or len(answers) != len(kept):
        got = f"shape {np.shape(activations)}"
        reject("activations", f"a design of {len(kept)} samples", f"have {len(kept)} rows", got)
    if len(kept) < 2:
        reject("design", "a surrogate", "have at least 2 samples", f"{len(kept)}")
    if not kept[0].all():
        must = "have the whole example as its first row, all ones"
        reject("design", "a surrogate", must, f"{int(kept[0].sum())} of {kept.shape[1]} parts kept")
    check_finite(answers, "activations", "a surrogate")
    return kept, answers


def sample_weights(
    design: Array, *, kernel_width: float = 0.25, distance_scale: float = 1.0
) -> npt.NDArray[np.float64]:
    """``sqrt(exp(-(D / width)^2))``, D the scaled cosine distance of each sample from the whole example.

    For 0/1 rows that distance is ``1 - sqrt(k / d)`` with k of d parts kept; a sample without any part is
    at distance 1.

    Args:
        design: (n, d) of 0 and 1.
        kernel_width: Of the kernel.
        distance_scale: Factor on the distance.

    Returns:
        (n,) in (0, 1].
    """
    check_real(kernel_width, "kernel_width", "a surrogate", low=0, open_low=True)
    check_real(distance_scale, "distance_scale", "a surrogate", low=0, open_low=True)
    share = design.sum(1, dtype=np.float64) / design.shape[1]
    distance = distance_scale * (1 - np.sqrt(share))
    return np.asarray(np.sqrt(np.exp(-((distance / kernel_width) ** 2))))


def stability(weights: Array) -> npt.NDArray[np.float64]:
    """Measure how much the weights of several seeds agree: mean cosine over all pairs of seeds.

    Args:
        weights: (S, F, d) weights of S runs that differ by their seed only.

    Returns:
        (F,) in [-1, 1], 1 where all seeds say the same; NaN for fewer than two seeds, or where a seed found
        no effect at all.
    """
    n_seeds = len(weights)
    if n_seeds < 2:
        return np.full(weights.shape[1], np.nan)
    norms = np.linalg.norm(weights, axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        directions = weights / norms
    total = np.einsum("sfd,tfd->f", directions, directions)
    return np.asarray((total - n_seeds) / (n_seeds * (n_seeds - 1)))


class _Fit(NamedTuple):
    """A ridge regression of F features on d parts.

    Attributes:
        coefficients: (d, F).
        intercepts: (F,).
        leverage: (n,) diagonal of the hat matrix.
        residuals: (n, F) times the root of each sample's weight.
        deviations: (n, F) from the mean, times that root.
    """

    coefficients: Array
    intercepts: Array
    leverage: Array
    residuals: Array
    deviations: Array


def _solve(design: Array, answers: Array, weights: Array, ridge: float, *, hat: bool = True) -> _Fit:
    """Weighted ridge with a free intercept, in whichever of the two forms is the smaller."""
    n, d = design.shape
    total = weights.sum()
    center = weights @ design / total
    level = weights @ answers / total
    root = np.sqrt(weights)[:, None]
    # In place as far as it goes: with many features these tables are most of the work.
    targets = answers - level
    targets *= root
    if d <= n:
        rows = root * (design - center)
        factor = linalg.cho_factor(rows.T @ rows + ridge * np.eye(d), lower=True)
        coefficients = linalg.cho_solve(factor, rows.T @ targets)
        leverage = (linalg.solve_triangular(factor[0], rows.T, lower=True) ** 2).sum(0) if hat else root[:, 0]
        explained = rows @ coefficients
    else:
        kernel = np.zeros((n, n))
        for _, block in _blocks(design, center, root):
            kernel += block @ block.T
        factor = linalg.cho_factor(kernel + ridge * np.eye(n), lower=True)
        dual = linalg.cho_solve(factor, targets)
        coefficients = np.empty((d, answers.shape[1]))
        for columns, block in _blocks(design, center, root):
            coefficients[columns] = block.T @ dual
        # K (K + r)^-1 = 1 - r (K + r)^-1
        leverage = 1 - ridge * np.diag(linalg.cho_solve(factor, np.eye(n))) if hat else root[:, 0]
        explained = kernel @ dual
    residuals = np.subtract(targets, explained, out=explained)
    return _Fit(coefficients, level - center @ coefficients, leverage + weights / total, residuals, targets)


def _blocks(design: Array, center: Array, root: Array) -> Iterator[tuple[slice, Array]]:
    """Centred, weighted columns of a wide design, some at a time."""
    for start in range(0, design.shape[1], _COLUMNS_AT_ONCE):
        columns = slice(start, start + _COLUMNS_AT_ONCE)
        yield columns, root * (design[:, columns] - center[columns])


def _assemble(fit: _Fit, answers: Array, weights: Array) -> Surrogates:
    # A sample that decides its own prediction tells nothing about the others.
    free = np.maximum(1 - fit.leverage, 1e-12)
    alone = np.maximum(1 - weights / weights.sum(), 1e-12)
    low, high = answers.min(0), answers.max(0)
    varied = high - low > 1e-9 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    left, whole = _sums_of_squares(fit.residuals, free), _sums_of_squares(fit.deviations, alone)
    r2, r2_left_out = np.where(varied, 1 - left / np.where(varied, whole, 1.0), np.nan)
    return Surrogates(
        weights=np.where(varied[:, None], fit.coefficients.T, 0.0),
        intercepts=np.where(varied, fit.intercepts, answers[0]),
        r2=r2,
        r2_left_out=r2_left_out,
    )


def _sums_of_squares(errors: Array, free: Array) -> Array:
    """(2, F) over the samples, as they are and with each left out; the errors are overwritten."""
    return np.asarray(np.stack([np.ones_like(free), free**-2.0]) @ np.square(errors, out=errors))
