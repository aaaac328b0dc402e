"""One layer of a path, solved to rounding: it does not depend on how it was found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.path.data import prepare
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.path.request import PathRequest
from sparse_debug_widgets.sparse.solvers.polish import polish

Float64 = npt.NDArray[np.float64]


def polished(
    path: RegularizationPath, index: int, features: DeepFeatures, request: PathRequest
) -> tuple[Float64, Float64]:
    """Weights (C, p) and intercept (C,) at an index, standardised units, solved to rounding.

    Args:
        path: A fitted path.
        index: One of its strengths.
        features: Those that it was fitted on.
        request: The settings that say what problem it solves: family, alpha, weights of the rows.
    """
    data = prepare(features, request)
    weights = path.weights_at(index)
    start = torch.tensor(weights[:, data.alive]), torch.tensor(path.intercepts_at(index))
    better, intercept = polish(data.problem, *start, float(path.lambdas[index]))
    weights[:, data.alive] = better.numpy()
    return weights, intercept.numpy()
