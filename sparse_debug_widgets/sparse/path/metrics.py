"""Losses and accuracies of every point of a path on the three splits, and of the model's own layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.mapped import release
from sparse_debug_widgets.sparse.features.labels import TEST, TRAIN, VALIDATION
from sparse_debug_widgets.sparse.features.standardize import row_chunks
from sparse_debug_widgets.sparse.path.data import PathData
from sparse_debug_widgets.sparse.problem.losses import Binomial, Gaussian, Loss, Multinomial
from sparse_debug_widgets.sparse.solvers.solver import Solution

Float64 = npt.NDArray[np.float64]


def accuracy(loss: Loss, response: Tensor) -> float:
    """Weighted share of right predictions, or R^2 for squared error, at mean responses (C, n)."""
    if isinstance(loss, Multinomial):
        return float(loss.average((response.argmax(0) == loss.labels).double()))
    if isinstance(loss, Binomial):
        return float(loss.average(((response > 0.5) == (loss.targets > 0.5)).double()[0]))
    if not isinstance(loss, Gaussian):
        return float("nan")
    centred = loss.targets - loss.average(loss.targets)[:, None]
    total = float(loss.average(centred.square().sum(0)))
    left = float(loss.average((response - loss.targets).square().sum(0)))
    return 1.0 - left / total if total > 0 else float("nan")


class SplitScores:
    """Scores a solution on training, validation and test rows."""

    def __init__(self, data: PathData) -> None:
        self._train = data.problem.loss
        self._others = {split: data.split(split) for split in (VALIDATION, TEST)}

    def __call__(self, solution: Solution) -> tuple[Float64, Float64]:
        """Losses (3,) and accuracies (3,); NaN where a split is empty."""
        certificate = solution.certificate
        losses, accuracies = np.full(3, np.nan), np.full(3, np.nan)
        losses[TRAIN] = certificate.loss
        accuracies[TRAIN] = accuracy(self._train, certificate.response)
        weights, intercept = solution.weights.cpu(), solution.intercept.cpu()
        for split, held_out in self._others.items():
            if held_out is None:
                continue
            design, loss = held_out
            logits = design.logits(weights) + intercept[:, None]
            losses[split] = loss.mean(logits)
            accuracies[split] = accuracy(loss, loss.mean_response(logits))
        return losses, accuracies


def dense_layer(data: PathData) -> tuple[Float64 | None, Float64 | None]:
    """The model's own layer in standardised units, with as many rows as the fit; None if it does not fit."""
    raw = _dense_raw(data)
    if raw is None:
        return None, None
    weight, bias = raw
    return weight * data.scale, bias + weight @ data.mean


def _dense_raw(data: PathData) -> tuple[Float64, Float64] | None:
    features, rows = data.features, data.problem.loss.n_outputs
    if features.dense_weight is None or features.dense_bias is None:
        return None
    weight, bias = features.dense_weight, features.dense_bias
    if rows == 1 and len(weight) == 2:
        return weight[1:] - weight[:1], bias[1:] - bias[:1]
    if rows == 2 and len(weight) == 1:
        return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return (weight, bias) if len(weight) == rows else None


def dense_scores(data: PathData) -> Float64:
    """Accuracies (3,) of the model's own layer on the splits; NaN if it is unknown or a split is empty."""
    scores = np.full(3, np.nan)
    raw = _dense_raw(data)
    if raw is None:
        return scores
    weight, bias = raw
    features = data.features
    logits = np.empty((len(bias), features.n))
    for chunk in row_chunks(features.n, features.p):
        logits[:, chunk] = weight @ np.asarray(features.values[chunk]).T.astype(np.float64) + bias[:, None]
        release(features.values)
    for split in (TRAIN, VALIDATION, TEST):
        loss = data.split_loss(split)
        if loss is not None:
            rows = np.flatnonzero(features.rows(split))
            scores[split] = accuracy(loss, loss.mean_response(torch.from_numpy(logits[:, rows])))
    return scores
