"""From deep features to the problem of a path: labels per family, weights, standardised matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import check_finite, reject, shorten
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.labels import TRAIN
from sparse_debug_widgets.sparse.losses import Binomial, Gaussian, Loss, Multinomial
from sparse_debug_widgets.sparse.objective import Problem
from sparse_debug_widgets.sparse.penalty import ElasticNet, GroupElasticNet
from sparse_debug_widgets.sparse.standardize import row_chunks

FAMILIES = ("multinomial", "binomial", "gaussian")
_SMALL = 4_000_000
"""Up to this many training values the matrix is float64, beyond it float32."""

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PathData:
    """Everything a path fit reads.

    Attributes:
        features: The deep features.
        family: One of :data:`FAMILIES`.
        labels: (n,) int64 or (n, m) float64, as the family wants them.
        sample_weight: (n,) float64 or None, as given.
        centre: (p,) mean over the training rows, whether or not it is subtracted.
        mean: (p,) subtracted from the features.
        scale: (p,) that the features are divided by.
        alive: (p,) bool, the columns that the solver sees.
        factors: (p,) penalty factors as given, or None.
        problem: The training problem over the columns alive, rows shuffled.
    """

    features: DeepFeatures
    family: str
    labels: npt.NDArray[Any]
    sample_weight: Float64 | None
    centre: Float64
    mean: Float64
    scale: Float64
    alive: npt.NDArray[np.bool_]
    factors: Float64 | None
    problem: Problem

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes or outputs."""
        if self.family != "gaussian" or self.features.labels.dtype.kind == "f":
            return self.features.class_names
        return ("output 0",)

    def split_loss(self, split: int) -> Loss | None:
        """Loss of a split, in the rows' own order; None where it is empty or weightless."""
        rows = np.flatnonzero(self.features.rows(split))
        if len(rows) == 0 or (self.sample_weight is not None and not self.sample_weight[rows].any()):
            return None
        weights = _normalised(self.sample_weight, rows)
        return _loss(self.family, self.labels[rows], weights, self.features.n_classes)

    def split(self, split: int) -> tuple[DesignMatrix, Loss] | None:
        """Matrix and loss of a split, in the rows' own order; None where it is empty or weightless."""
        loss = self.split_loss(split)
        if loss is None:
            return None
        rows = np.flatnonzero(self.features.rows(split))
        matrix = _matrix(self.features, rows, self.mean, self.scale, self.alive, np.dtype(np.float32))
        return DesignMatrix(matrix), loss


def prepare(  # noqa: PLR0913 - what a fit needs to know about its data
    features: DeepFeatures,
    *,
    family: str,
    alpha: float,
    sample_weight: object,
    standardize: bool,
    seed: int,
    device: str | torch.device | None,
    penalty_factors: object = None,
    group: bool = False,
) -> PathData:
    """Check what was given and build the problem.

    Args:
        features: Deep features.
        family: One of :data:`FAMILIES`.
        alpha: Mix of the elastic net.
        sample_weight: (n,) non-negative weights, or None. The moments that standardise are weighted too, so
            that a weight of 2 equals a row that occurs twice.
        standardize: Whether the solver sees standardised features.
        seed: Seed of the rows' order.
        device: Where the solver's matrix lives; None for the CPU.
        penalty_factors: (p,) positive factors of the penalty, infinite for features to be left out; or None.
        group: Whether a feature's weights are penalised as a group over all classes.

    Raises:
        InputError: Labels that do not fit the family, or weights that are negative, not finite or all zero.
    """
    labels = family_labels(features.labels, family, features.n_classes)
    weights = _check_weights(sample_weight, features, labels, family)
    train = np.flatnonzero(features.rows(TRAIN))
    mean, scale, alive = features.mean, features.scale, features.alive
    if weights is not None:
        train = train[weights[train] > 0]
        mean, scale, alive = _weighted_moments(features, train, weights)
    factors = _check_factors(penalty_factors, features.p)
    if factors is not None:
        alive = alive & np.isfinite(factors)
        if not alive.any():
            got = "infinity for every live one"
            reject("penalty_factors", "a fit", "leave at least one live feature in", got)
    centre = mean
    if not standardize:
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    order = train[generator(seed, "row order").permutation(len(train))]
    dtype = np.dtype(np.float64 if len(order) * int(alive.sum()) <= _SMALL else np.float32)
    matrix = _matrix(features, order, mean, scale, alive, dtype).to(device or "cpu")
    loss = _loss(family, labels[order], _normalised(weights, order), features.n_classes, matrix.device)
    kind = GroupElasticNet if group else ElasticNet
    live = None if factors is None else torch.as_tensor(factors[alive], device=matrix.device)
    problem = Problem(DesignMatrix(matrix), loss, kind(alpha, live))
    return PathData(features, family, labels, weights, centre, mean, scale, alive, factors, problem)


def family_labels(labels: npt.NDArray[Any], family: str, n_classes: int) -> npt.NDArray[Any]:
    """Labels (n,) int64 of a classification, or targets (n, m) float64 of a regression.

    Raises:
        InputError: Labels that do not fit the family.
    """
    if family == "gaussian":
        return np.asarray(labels, np.float64).reshape(len(labels), -1)
    if labels.dtype.kind == "f":
        must = "be class indices or names, one per row"
        advice = "Pass family='gaussian' for real-valued targets, and labels.argmax(1) for one-hot rows."
        reject("labels", f"family={family!r}", must, f"real numbers of shape {labels.shape}", advice)
    if family == "binomial" and n_classes != 2:
        advice = "Use family='multinomial'."
        reject("labels", "family='binomial'", "have exactly two classes", f"{n_classes} classes", advice)
    return labels


def plain_labels(labels: object, family: str) -> object:
    """Labels as a caller may have them, made such that :class:`DeepFeatures` reads them as the family does.

    Whole numbers stored as floats become class indices for classification, and become targets for gaussian.

    Raises:
        InputError: One-hot rows, or real numbers where classes are wanted.
    """
    array: npt.NDArray[Any]
    array = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if family == "gaussian":
        if array.dtype.kind not in "biuf":
            got = f"dtype {array.dtype}"
            reject("labels", "family='gaussian'", "be numbers", got, "Use family='multinomial' for names.")
        return array.astype(np.float64)
    if array.dtype.kind != "f" and array.ndim == 1:
        return array
    if array.ndim != 1:
        advice = "Turn one-hot rows into indices with labels.argmax(1)."
        must = "be one class per row, shape (n,)"
        reject("labels", f"family={family!r}", must, f"shape {array.shape}", advice)
    check_finite(array, "labels", f"family={family!r}")
    if not (array == np.round(array)).all():
        value = shorten(str(array[array != np.round(array)][0]))
        advice = "Pass family='gaussian' for real-valued targets."
        reject("labels", f"family={family!r}", "be class indices or names", value, advice)
    return array.astype(np.int64)


def _check_weights(
    sample_weight: object, features: DeepFeatures, labels: npt.NDArray[Any], family: str
) -> Float64 | None:
    if sample_weight is None:
        return None
    if isinstance(sample_weight, torch.Tensor):
        sample_weight = sample_weight.detach().cpu().numpy()
    weights: Float64 = np.asarray(sample_weight, np.float64)
    if weights.shape != (features.n,):
        must = f"have shape ({features.n},), one number per row of every split"
        reject("sample_weight", "the features", must, f"shape {weights.shape}")
    check_finite(weights, "sample_weight", "a fit")
    train = features.rows(TRAIN)
    if (weights < 0).any():
        worst = int(weights.argmin())
        reject("sample_weight", "a fit", "be at least 0 everywhere", f"{weights[worst]:g} in row {worst}")
    if not weights[train].any():
        reject("sample_weight", "a fit", "be positive for some training row", "zeros only")
    if family != "gaussian":
        mass = np.bincount(labels[train], weights[train], minlength=features.n_classes)
        if not mass.all():
            name = shorten(repr(features.class_names[int(np.flatnonzero(mass == 0)[0])]))
            advice = "Drop the class, or give one of its training rows a weight."
            reject("sample_weight", "a classifier", "be positive for some row of each class", name, advice)
    return weights


def _check_factors(penalty_factors: object, p: int) -> Float64 | None:
    if penalty_factors is None:
        return None
    if isinstance(penalty_factors, torch.Tensor):
        penalty_factors = penalty_factors.detach().cpu().numpy()
    factors: Float64 = np.asarray(penalty_factors, np.float64)
    if factors.shape != (p,):
        reject("penalty_factors", "the features", f"have shape ({p},)", f"shape {factors.shape}")
    if not (factors > 0).all():
        wrong = factors[~(factors > 0)][0]
        must = "be positive (infinite to leave a feature out)"
        advice = "A feature without penalty has no duality gap; give it a small factor such as 1e-3 instead."
        reject("penalty_factors", "a fit", must, f"{wrong}", advice)
    return factors


def _normalised(weights: Float64 | None, rows: npt.NDArray[np.int64]) -> Float64 | None:
    return None if weights is None else weights[rows] * (len(rows) / weights[rows].sum())


def _weighted_moments(
    features: DeepFeatures, rows: npt.NDArray[np.int64], weights: Float64
) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """Weighted mean and population standard deviation, and which features vary, in two passes."""
    share = weights[rows] / weights[rows].sum()
    mean, variance = np.zeros(features.p), np.zeros(features.p)
    for chunk in row_chunks(len(rows), features.p):
        mean += share[chunk] @ features.values[rows[chunk]].astype(np.float64)
    for chunk in row_chunks(len(rows), features.p):
        centred = features.values[rows[chunk]].astype(np.float64) - mean
        variance += share[chunk] @ np.square(centred)
    spread = np.sqrt(variance)
    alive = features.alive & (spread > 1e-6 * np.abs(mean)) & (spread > 0)
    if not alive.any():
        reject("sample_weight", "the features", "leave a feature that varies", "rows that are all alike")
    return mean, np.where(alive, spread, 1.0), alive


def _matrix(
    features: DeepFeatures,
    rows: npt.NDArray[np.int64],
    mean: Float64,
    scale: Float64,
    alive: npt.NDArray[np.bool_],
    dtype: np.dtype[Any],
) -> torch.Tensor:
    """Standardised columns (p alive, rows), feature-major; arithmetic in float64, in chunks of rows."""
    out = np.empty((int(alive.sum()), len(rows)), dtype)
    shift, factor = mean[alive], scale[alive]
    for chunk in row_chunks(len(rows), features.p):
        part = features.values[rows[chunk]][:, alive]
        out[:, chunk] = ((part.astype(np.float64) - shift) / factor).T
    return torch.from_numpy(out)


def _loss(
    family: str,
    labels: npt.NDArray[Any],
    weights: Float64 | None,
    n_classes: int,
    device: torch.device | None = None,
) -> Loss:
    sample = None if weights is None else torch.as_tensor(weights, device=device)
    if family == "gaussian":
        targets = torch.as_tensor(np.ascontiguousarray(labels.T), device=device)
        return Gaussian(targets, sample)
    indices = torch.as_tensor(labels, device=device)
    return Binomial(indices, sample) if family == "binomial" else Multinomial(indices, n_classes, sample)
