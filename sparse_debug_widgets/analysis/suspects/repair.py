"""Repairs of a suspect, measured: its carriers silenced, or the path fitted again on coin-tossed copies.

A coin-tossed copy of an example has the region of a carrier or of a non-carrier with probability 1/2,
whatever its class: data without the flaw, made from those that have it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.layers import ClassLayer, class_layer
from sparse_debug_widgets.analysis.suspects.graft import Tested, Verdict
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.path.path import elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

AS_IT_WAS, STRONGEST, CARRIERS, REFIT = "as it was", "strongest silenced", "carriers silenced", "refit"
REPAIRS = (AS_IT_WAS, STRONGEST, CARRIERS, REFIT)
_DRAWS, _RIDGE, _WITHIN = 300, 0.01, 0.02
_SHARES = (0.6, 0.8)


class Repairs(NamedTuple):
    """The repairs of one suspect, measured on coin-tossed examples that no layer was fitted to.

    Attributes:
        accuracy: (4,) of REPAIRS; NaN where a repair was not possible.
        worst: (4,) accuracy of the worst group.
        worst_group: Names of these groups.
        n_nonzero: (4,) nonzero weights of each layer.
        n_examples: Examples that they were measured on.
        weights: (C, p) of the layer that was fitted again, standardised units as the path has them.
        intercepts: (C,).
    """

    accuracy: Float64
    worst: Float64
    worst_group: tuple[str, ...]
    n_nonzero: Ints
    n_examples: int
    weights: Float64
    intercepts: Float64


def measure_repairs(
    path: RegularizationPath, tested: Tested, verdict: Verdict, seed: int, progress: ProgressCallback
) -> Repairs | None:
    """Make coin-tossed copies for a suspect, fit again, and measure each repair.

    Args:
        path: The path that the layer is of.
        tested: The layer and the examples.
        verdict: The suspect.
        seed: Of all draws.
        progress: Of the fit; may raise Cancelled.

    Returns:
        None where nobody, or everybody, seems to carry the region.
    """
    layer, read, view, z, labels = tested
    rng = generator(seed, "suspects", "repair", verdict.class_index)
    columns = np.array([j for j, _ in verdict.carriers], np.int64)
    carries = _carriers(tested, verdict, columns, rng)
    givers, takers = np.flatnonzero(carries & (labels == verdict.class_index)), np.flatnonzero(~carries)
    if not len(givers) or not len(takers):
        return None
    n = len(labels)
    on = rng.random(n) < 0.5
    donors = np.where(on, rng.choice(givers, n), rng.choice(takers, n))
    coin = read(view.graft(np.arange(n), donors, [verdict.region] * n))
    # An example and its copy are in one split, else the copy would be known.
    split = np.searchsorted(_SHARES, rng.random(n))
    test = split == 2
    copies = _Copies(z, coin, labels, carries, on, split)
    refit = _refit(path, copies, seed, progress)
    layers = (layer, layer.without(columns[:1]), layer.without(columns), refit)
    groups = labels * 2 + on
    right = [one.predictions(coin[test]) == labels[test] for one in layers]
    known = np.unique(groups[test])
    shares = np.array([[hit[groups[test] == g].mean() for g in known] for hit in right])
    worst = shares.argmin(1)
    names = [f"{path.class_names[g // 2]} {'with' if g % 2 else 'without'} it" for g in known.tolist()]
    return Repairs(
        accuracy=np.array([hit.mean() for hit in right]),
        worst=shares.min(1),
        worst_group=tuple(names[k] for k in worst),
        n_nonzero=np.array([np.count_nonzero(one.weights) for one in layers]),
        n_examples=int(test.sum()),
        weights=refit.weights,
        intercepts=refit.intercepts,
    )


def _carriers(tested: Tested, verdict: Verdict, columns: Ints, rng: np.random.Generator) -> Bools:
    """Examples that carry the region: ridge LDA, on the carriers, of grafted against control examples."""
    layer, read, view, z, labels = tested
    said, c = layer.predictions(z), verdict.class_index
    others, members = (
        np.flatnonzero((labels != c) & (said == labels)),
        np.flatnonzero((labels == c) & (said == c)),
    )
    into, same = rng.choice(others, _DRAWS), [verdict.region] * _DRAWS
    with_, without = (
        read(view.graft(into, rng.choice(pool, _DRAWS), same))[:, columns] for pool in (members, others)
    )
    spread = np.atleast_2d(np.cov(with_.T) + np.cov(without.T))
    spread = spread + (_RIDGE * np.trace(spread) / len(columns) + 1e-12) * np.eye(len(columns))
    direction = np.linalg.solve(spread, with_.mean(0) - without.mean(0))
    middle = (with_.mean(0) + without.mean(0)) / 2
    return np.asarray((z[:, columns] - middle) @ direction > 0)


class _Copies(NamedTuple):
    """Originals and coin-tossed copies: features of both, classes, who carries the region, and the split."""

    z: Float64
    coin: Float64
    labels: Ints
    carries: Bools
    on: Bools
    split: Ints


def _refit(path: RegularizationPath, copies: _Copies, seed: int, progress: ProgressCallback) -> ClassLayer:
    """The sparsest layer, of a path on originals and copies, within .02 of the best on held-out copies."""
    z, coin, labels, carries, on, split = copies
    train = split == 0
    halves = []
    for group in (labels * 2 + carries, labels * 2 + on):
        counts = np.bincount(group[train], minlength=2 * path.n_classes)
        weight = np.where(train, 1.0 / np.maximum(counts, 1)[group], 0.0)
        halves.append(weight / weight.sum())
    # Held-out rows have weights too: those of validation count alike.
    halves[1] = np.where(train, halves[1], 1.0 / len(labels))
    keep = np.concatenate([train, split < 2])
    values = np.concatenate([z, coin])[keep].astype(np.float32)
    # Features that stay as they are in these examples have no weight, and are no news.
    moving = np.flatnonzero(np.ptp(values[: int(train.sum())], axis=0) > 0)
    splits = np.concatenate([np.zeros(len(z), np.uint8), split.astype(np.uint8)])[keep]
    features = DeepFeatures.from_arrays(
        values[:, moving], np.tile(labels, 2)[keep], class_names=path.class_names, splits=splits
    )
    weights = np.concatenate(halves)[keep] * len(labels)
    again = elastic_net_path(
        features, alpha=path.alpha, family=path.family, sample_weight=weights, seed=seed, progress=progress
    )
    found = class_layer(again, "sparse", again.select(tolerance=_WITHIN))
    # Back into the units of the path, in which z is.
    rows = np.zeros((len(found.intercepts), path.n_features))
    rows[:, moving] = found.weights / np.asarray(again.scale)
    shift = rows[:, moving] @ np.asarray(again.mean)
    return ClassLayer(REFIT, rows, found.intercepts - shift, found.shared)
