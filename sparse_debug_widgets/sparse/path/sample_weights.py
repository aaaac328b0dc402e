"""Sample weights and penalty factors that people pass in, and the moments that weights imply."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import check_finite, reject, shorten
from sparse_debug_widgets.core.mapped import release
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.labels import TRAIN
from sparse_debug_widgets.sparse.features.standardize import SMALLEST, row_chunks
from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.sparse.rows.processes import Processes

Float64 = npt.NDArray[np.float64]


def check_weights(
    sample_weight: object,
    features: DeepFeatures,
    labels: npt.NDArray[np.int64],
    family: str,
    processes: Processes,
) -> Float64 | None:
    """Sample weights (n,) of this process's rows, or None.

    Raises:
        InputError: Weights of another length, negative, not finite, or zero for all rows or a whole class.
    """
    processes.all_equal(sample_weight is None, "sample_weight", "be given in every process or in none")
    if sample_weight is None:
        return None
    weights = processes.together(lambda: _plausible(sample_weight, features.n))
    train = features.rows(TRAIN)
    if not processes.sum_array(weights[train].sum()) > 0:
        reject("sample_weight", "a fit", "be positive for some training row", "zeros only")
    if not FAMILIES[family].numbers:
        own = np.bincount(labels[train], weights[train], minlength=features.n_classes)
        mass = processes.sum_array(own)
        if not mass.all():
            name = shorten(repr(features.class_names[int(np.flatnonzero(mass == 0)[0])]))
            advice = "Drop the class, or give one of its training rows a weight."
            reject("sample_weight", "a classifier", "be positive for some row of each class", name, advice)
    return weights


def _plausible(sample_weight: object, n: int) -> Float64:
    if isinstance(sample_weight, torch.Tensor):
        sample_weight = sample_weight.detach().cpu().numpy()
    weights: Float64 = np.asarray(sample_weight, np.float64)
    if weights.shape != (n,):
        must = f"have shape ({n},), one number per row of every split"
        reject("sample_weight", "the features", must, f"shape {weights.shape}")
    check_finite(weights, "sample_weight", "a fit")
    if (weights < 0).any():
        worst = int(weights.argmin())
        reject("sample_weight", "a fit", "be at least 0 everywhere", f"{weights[worst]:g} in row {worst}")
    return weights


def check_factors(penalty_factors: object, p: int) -> Float64 | None:
    """Penalty factors (p,), or None.

    Raises:
        InputError: Another shape, or factors that are not positive.
    """
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


def weighted_moments(
    features: DeepFeatures, rows: npt.NDArray[np.int64], weights: Float64, processes: Processes
) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """Weighted mean and population standard deviation, and which features vary, in two passes.

    Raises:
        InputError: No feature varies over the rows with a weight.
    """
    share = weights[rows] / processes.sum_array(weights[rows].sum())
    mean, variance = np.zeros(features.p), np.zeros(features.p)
    for chunk in row_chunks(len(rows), features.p):
        mean += share[chunk] @ features.values[rows[chunk]].astype(np.float64)
        release(features.values)
    mean = processes.sum_array(mean)
    for chunk in row_chunks(len(rows), features.p):
        centred = features.values[rows[chunk]].astype(np.float64) - mean
        variance += share[chunk] @ np.square(centred)
        release(features.values)
    spread = np.sqrt(processes.sum_array(variance))
    alive = features.alive & (spread > 1e-6 * np.abs(mean)) & (spread > SMALLEST)
    if not alive.any():
        reject("sample_weight", "the features", "leave a feature that varies", "rows that are all alike")
    return mean, np.where(alive, spread, 1.0), alive
