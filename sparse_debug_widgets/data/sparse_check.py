"""A plain sparse fit, to measure for the model card whether a planted flaw can be found and silenced.

Slow and simple on purpose, and independent of the package's own path solver (rooms beside each other do not
import each other): FISTA on the multinomial elastic net of the decision layer, a few strengths, warm starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sparse_debug_widgets.core.seeding import generator

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SparseFit:
    """A sparse decision layer on standardised features.

    Attributes:
        weight: (C, p).
        bias: (C,).
        mean, scale: (p,) of the features.
    """

    weight: Floats
    bias: Floats
    mean: Floats
    scale: Floats

    def accuracy(self, features: Floats, labels: Ints, silenced: tuple[int, ...] = ()) -> float:
        """Share of right answers, with some features held at their training mean."""
        z = (features - self.mean) / self.scale
        z[:, list(silenced)] = 0
        return float(((z @ self.weight.T + self.bias).argmax(1) == labels).mean())


def five_point_fit(features: Floats, labels: Ints, *, alpha: float = 0.99, seed: int = 0) -> SparseFit:
    """The sparsest fit whose validation accuracy is within 5 points of the best (10 % held out).

    Args:
        features: (n, p) raw deep features.
        labels: (n,) class indices.
        alpha: the elastic net's mix.
        seed: of the held-out tenth.
    """
    order = generator(seed, "sparse check").permutation(len(labels))
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    mean, scale = features[kept].mean(0), features[kept].std(0)
    scale[scale < 1e-8] = 1
    z = ((features[kept] - mean) / scale).astype(np.float32)
    onehot = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[kept]]
    fit = SparseFit(np.zeros((onehot.shape[1], z.shape[1]), np.float32), np.log(onehot.mean(0)), mean, scale)
    strongest = np.abs((onehot.mean(0) - onehot).T @ z).max() / len(z) / alpha
    fits, scores = [], []
    for strength in strongest * np.geomspace(1, 0.05, 16):
        fit = _fista(fit, z, onehot, float(strength), alpha)
        fits.append(fit)
        scores.append(fit.accuracy(features[held], labels[held]))
    return fits[int(np.argmax(np.array(scores) >= max(scores) - 0.05))]


def _fista(start: SparseFit, z: Floats, onehot: Floats, strength: float, alpha: float) -> SparseFit:
    n = len(z)
    step = float(1 / (0.5 * np.linalg.norm(np.column_stack([z, np.ones(n, np.float32)]), 2) ** 2 / n))
    weight, bias = start.weight, start.bias
    ahead_weight, ahead_bias, t = weight, bias, 1.0
    for _ in range(300):
        residual = (_softmax(z @ ahead_weight.T + ahead_bias) - onehot) / n
        moved = ahead_weight - step * residual.T @ z
        shrunk = np.sign(moved) * np.maximum(np.abs(moved) - step * strength * alpha, 0)
        new_weight = shrunk / (1 + step * strength * (1 - alpha))
        new_bias = ahead_bias - step * residual.sum(0)
        new_t = (1 + math.sqrt(1 + 4 * t * t)) / 2
        ahead_weight = new_weight + (t - 1) / new_t * (new_weight - weight)
        ahead_bias = new_bias + (t - 1) / new_t * (new_bias - bias)
        change = float(np.abs(new_weight - weight).max())
        weight, bias, t = new_weight, new_bias, new_t
        if change < 1e-4:
            break
    return SparseFit(weight, bias, start.mean, start.scale)


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: Floats = odds / odds.sum(axis=1, keepdims=True)
    return share


def area_under_curve(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """The chance that a positive example scores above a negative one, ties counted half."""
    ranks, n_positive = rankdata(scores), int(positive.sum())
    wins = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * (len(scores) - n_positive)))
