"""The distance of the loss's Hessian from rank one: the paper's simulation (appendix F.1, Fig. 5 to 7)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_int, check_real, reject
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RankOneErrors(Result):
    """Errors of rank-one approximations of the Hessian, by number of classes and confidence.

    Attributes:
        n_classes: (C,) numbers of classes.
        confidences: (P,) probabilities of the predicted class.
        gradient_errors: (C, P, R) ||H - g g^T / (1 - p)||_F / ||H||_F, the paper's approximation.
        best_errors: (C, P, R) the same for the best rank-one matrix.
        alignments: (C, P, R) |cosine| between the gradient and the leading eigenvector.
    """

    kind: ClassVar[str] = "rank_one_errors"
    arrays: ClassVar[Mapping[str, str]] = {
        "n_classes": "C index",
        "confidences": "P float",
        "gradient_errors": "C P R float",
        "best_errors": "C P R float",
        "alignments": "C P R float",
    }

    n_classes: npt.NDArray[np.int64]
    confidences: Array
    gradient_errors: Array
    best_errors: Array
    alignments: Array

    def to_frame(self) -> pd.DataFrame:
        """One row per number of classes and confidence: means with 95 % confidence intervals."""
        import pandas as pd

        repeats = self.gradient_errors.shape[2]
        half = 1.96 / np.sqrt(repeats)
        rows = []
        for i, classes in enumerate(self.n_classes):
            for j, confidence in enumerate(self.confidences):
                row: dict[str, float] = {"n_classes": int(classes), "confidence": float(confidence)}
                for name in ("gradient_errors", "best_errors", "alignments"):
                    sample = getattr(self, name)[i, j]
                    row[name] = float(sample.mean())
                    row[f"{name}_ci"] = float(half * sample.std(ddof=1)) if repeats > 1 else float("nan")
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Error against the number of classes, a line per confidence."""
        means = self.gradient_errors.mean(axis=2)
        return figures.lines(
            self.n_classes,
            {f"p = {p:g}": means[:, j] for j, p in enumerate(self.confidences)},
            title="Error of rank one against the number of classes",
            x_title="classes",
            y_title="||H - g g^T / (1 - p)|| / ||H||",
            log_x=True,
        )


def rank_one_errors(
    n_classes: Sequence[int] = (10, 30, 100, 300, 1000),
    confidences: Sequence[float] = (0.9, 0.99, 0.999, 0.9999),
    *,
    n_dimensions: int = 200,
    n_repeats: int = 20,
    seed: int = 0,
) -> RankOneErrors:
    """Linear models with random weights; the predicted class has probability p, the rest share 1 - p.

    Args:
        n_classes: Numbers of classes, each at least 2.
        confidences: Probabilities of the predicted class, in (0, 1).
        n_dimensions: Of the input.
        n_repeats: Random models per pair.
        seed: Of the weights.

    Raises:
        InputError: Numbers out of range, or none.

    References:
        Singla and others, "Understanding Impacts of High-Order Loss Approximations and Features in Deep
        Learning Interpretation", ICML 2019, appendix F.1; ``docs/methods/saliency.md``.
    """
    start = time.perf_counter()
    with_what = "the rank-one simulation"
    if not n_classes or not confidences:
        reject("n_classes and confidences", with_what, "name at least one each", "none")
    for classes in n_classes:
        check_int(classes, "n_classes", with_what, low=2, high=20_000)
    for p in confidences:
        check_real(p, "confidences", with_what, low=0, high=1, open_low=True, open_high=True)
    check_int(n_dimensions, "n_dimensions", with_what)
    check_int(n_repeats, "n_repeats", with_what)
    found = np.empty((3, len(n_classes), len(confidences), n_repeats))
    for i, classes in enumerate(n_classes):
        for r in range(n_repeats):
            rng = generator(seed, "rank one", classes, r)
            weights = rng.standard_normal((n_dimensions, classes))
            for j, p in enumerate(confidences):
                probabilities = np.full(classes, (1 - p) / (classes - 1))
                probabilities[0] = p
                found[:, i, j, r] = rank_one_of(weights, probabilities)
    params: dict[str, Any] = {"n_dimensions": n_dimensions, "n_repeats": n_repeats}
    seconds = time.perf_counter() - start
    return RankOneErrors(
        provenance=Provenance(method="rank_one_errors", params=params, seed=seed, seconds=seconds),
        n_classes=np.asarray(n_classes, np.int64),
        confidences=np.asarray(confidences, np.float64),
        gradient_errors=found[0],
        best_errors=found[1],
        alignments=found[2],
    )


def rank_one_of(jacobian: Array, probabilities: Array, target: int = 0) -> tuple[float, float, float]:
    """Error of g g^T / (1 - p), error of the best rank one, and alignment, for H = J A J^T.

    Everything follows from small matrices: with A = L L^T the eigenvalues of H are those of
    ``L^T (J^T J) L``.

    Args:
        jacobian: (d, C).
        probabilities: (C,), summing to 1.
        target: The class whose loss it is.
    """
    root = np.sqrt(probabilities)
    # J L without forming L: J diag(q) - (J p) q^T
    factor = jacobian * root - np.outer(jacobian @ probabilities, root)
    # The smaller of the two Gram matrices has the same nonzero eigenvalues.
    wide = factor.shape[0] < factor.shape[1]
    values, vectors = np.linalg.eigh(factor @ factor.T if wide else factor.T @ factor)
    leading = vectors[:, -1] if wide else factor @ vectors[:, -1]
    residual = probabilities.copy()
    residual[target] -= 1
    g = jacobian @ residual
    square = float((values**2).sum())
    scale = 1 / max(1 - probabilities[target], np.finfo(float).tiny)
    bent, size = float(((factor.T @ g) ** 2).sum()), float(g @ g)
    by_gradient = max(square - 2 * scale * bent + (scale * size) ** 2, 0.0)
    best = max(square - float(values[-1]) ** 2, 0.0)
    cosine = abs(float(leading @ g)) / max(
        float(np.linalg.norm(leading) * np.sqrt(size)), np.finfo(float).tiny
    )
    norm = max(square, np.finfo(float).tiny)
    return float(np.sqrt(by_gradient / norm)), float(np.sqrt(best / norm)), cosine
