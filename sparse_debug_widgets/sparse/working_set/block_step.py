"""The block step: every class's own quadratic model solved by coordinate descent. It finds the support."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.row_source import Indices
from sparse_debug_widgets.sparse.working_set.grams import ClassGram
from sparse_debug_widgets.sparse.working_set.kernels import coordinate_descent
from sparse_debug_widgets.sparse.working_set.point import View
from sparse_debug_widgets.sparse.working_set.rows import WorkingRows

_SWEEPS = 100


def block_step(
    rows: WorkingRows,
    grams: Sequence[ClassGram],
    view: View,
    *,
    damping: float,
    tol: float,
) -> tuple[Tensor, Tensor]:
    """Solve the classes' models, each with the others held fixed.

    Args:
        rows: Features at work; they cover the Grams' entries.
        grams: Models, one per class.
        view: Where the step starts.
        damping: Factor of the models' Hessians.
        tol: Largest decrease, by any one coordinate in the last sweep, at which a class is solved.

    Returns:
        New weights (C, m + 1), and the decrease (C,) of the gradient along the step that each class's model
        predicts, ``d' H_c d``.
    """
    descend = coordinate_descent()
    weights, gradient, strengths = view.weights, view.gradient, view.strengths
    old, slope = weights.cpu().numpy(), gradient.cpu().numpy()
    l1 = strengths.l1.cpu().numpy().astype(np.float32)
    l2 = strengths.l2.cpu().numpy().astype(np.float32)
    position = rows.position.cpu().numpy()
    new = old.copy()
    bent = np.zeros(len(grams))
    for c, gram in enumerate(grams):
        columns: Indices = position[gram.entries]
        start = slope[c, columns].astype(np.float32)
        model, point = start.copy(), old[c, columns].astype(np.float32)
        first = point.copy()
        descend(
            gram.matrix, model, point, l1[columns], l2[columns], np.float32(damping), np.float32(tol), _SWEEPS
        )
        moved = point != first
        new[c, columns[moved]] = point[moved]
        bent[c] = float((point - first) @ (model - start)) / damping
    return torch.from_numpy(new).to(weights.device), torch.from_numpy(bent)
