"""Start a path from any model: a linear layer, a sparse layer, arrays, or another path."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.checks import check_finite, reject
from sparse_debug_widgets.sparse.path.data import PathData
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.solvers.solver import Solution

Float64 = npt.NDArray[np.float64]


def warm_start(start: object, data: PathData, lambda_: float) -> list[Solution]:
    """A model as the solution that a path goes on from.

    The certificate decides what is proved, wherever a path starts; a bad start costs time only.

    Args:
        start: A module with ``weight`` and ``bias`` (``nn.Linear``, :class:`SparseDecisionLayer`) or a pair
            of arrays ``(weight, bias)``, in the features' raw units; or a :class:`RegularizationPath`, whose
            point nearest to ``lambda_`` is taken. None for a cold start.
        data: The fit.
        lambda_: The first strength of the path.

    Raises:
        InputError: Not such a model, or shapes that do not fit the features.
    """
    if start is None:
        return []
    raw, bias = _raw(start, lambda_)
    rows, p = data.problem.loss.n_outputs, data.features.p
    if raw.shape != (rows, p) or bias.shape != (rows,):
        must = f"have weights of shape {(rows, p)} and intercepts of shape {(rows,)}"
        reject("start", "this fit", must, f"{raw.shape} and {bias.shape}")
    check_finite(raw, "start", "a fit")
    check_finite(bias, "start", "a fit")
    device = data.problem.design.device
    weights = torch.as_tensor((raw * data.scale)[:, data.alive], device=device)
    # A dead feature is constant on the training rows, so all it did there goes into the intercept.
    intercept = torch.as_tensor(bias + raw @ data.centre, device=device)
    certificate = certify(data.problem, weights, intercept, lambda_)
    return [Solution(lambda_, weights, certificate, 0, "gap")]


def _raw(start: object, lambda_: float) -> tuple[Float64, Float64]:
    if isinstance(start, RegularizationPath):
        index = start.select(lambda_=lambda_)
        raw = start.weights_at(index) / start.scale
        return raw, start.intercepts_at(index) - raw @ start.mean
    if isinstance(start, nn.Module):
        weight, bias = getattr(start, "weight", None), getattr(start, "bias", None)
        if not isinstance(weight, torch.Tensor):
            reject("start", "a warm start", "have a weight matrix", type(start).__name__)
        shift = np.zeros(len(weight)) if bias is None else _array(bias)
        return _array(weight), shift
    if not isinstance(start, tuple | list) or len(start) != 2:
        must = "be a linear layer, a sparse decision layer, a path, or a pair (weight, bias)"
        reject("start", "a warm start", must, type(start).__name__)
    return np.atleast_2d(_array(start[0])), np.atleast_1d(_array(start[1]))


def _array(values: object) -> Float64:
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    return np.array(values, np.float64)
