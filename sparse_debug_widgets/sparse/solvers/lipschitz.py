"""Smoothness constants: how long a gradient step may be.

For minibatches of size B drawn from n examples the gradient estimate is smooth in expectation with

    L(B) = n (B - 1) / (B (n - 1)) * L + (n - B) / (B (n - 1)) * L_max

(Gower et al. 2019; Gazagnadou, Gower and Salmon 2019), L the smoothness of the whole loss and L_max that of
the worst example: between L_max for single examples and L for the full batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses import Loss


def gram_norm(rows: Tensor, weights: Tensor | None, iterations: int = 30) -> float:
    """Largest eigenvalue of ``X^T diag(s) X / n`` for rows X (n, a), by power iteration.

    A power iteration approaches from below; the factor 1.01 covers what is left after the last of them.
    """
    if rows.shape[1] == 0:
        return 0.0
    vector = torch.linspace(1.0, 1.1, rows.shape[1], dtype=rows.dtype, device=rows.device)
    value = 0.0
    for _ in range(iterations):
        vector = vector / vector.norm().clamp_min(1e-30)
        image = rows @ vector
        if weights is not None:
            image = image * weights.to(rows.dtype)
        vector = rows.T @ image / len(rows)
        previous, value = value, float(vector.norm())
        if abs(value - previous) <= 1e-3 * value:
            break
    return 1.01 * value


def row_norm(rows: Tensor, weights: Tensor | None) -> float:
    """Largest ``s_i ||x_i||^2`` over the rows (n, a)."""
    squares = torch.linalg.vector_norm(rows, dim=1).square()
    if weights is not None:
        squares = squares * weights.to(squares.dtype)
    return float(squares.max())


class LocalCurvature:
    """Largest eigenvalue of the Hessian at a point, tracked along the path.

    Near-separable tails have a Hessian tens of times below the global bound; steps that know it are as much
    longer. The eigenvector is kept from call to call, so a few products suffice.
    """

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(shape, generator=generator, dtype=torch.float64)
        self._vector = start.to(device, dtype)
        self._fresh = True

    def state(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The eigenvector, and whether it has never been used."""
        return self._vector.cpu().numpy(), np.array([self._fresh])

    def restore(self, vector: npt.NDArray[Any], fresh: npt.NDArray[np.bool_]) -> None:
        """Take over another one's state."""
        self._vector = torch.from_numpy(vector).clone().to(self._vector)
        self._fresh = bool(fresh[0])

    def estimate(self, loss: Loss, rows: Tensor, active: Tensor, response: Tensor) -> float:
        """Rayleigh estimate at mean responses (C, n) over the active features' rows (n, a)."""
        vector = self._vector[:, active]
        value = 0.0
        for _ in range(60 if self._fresh else 4):
            norm = vector.norm()
            if float(norm) == 0.0:
                return 0.0
            vector = vector / norm
            image = loss.weigh(loss.hessian_product(response, vector @ rows.T))
            vector = image @ rows / loss.n
            previous, value = value, float(vector.norm())
            if abs(value - previous) <= 0.003 * value:
                break
        self._fresh = False
        # Entries of inactive features keep a trace of the start, so that features that enter are seen.
        self._vector[:, active] = vector / max(value, 1e-30) + 1e-3 * self._vector[:, active]
        return value


def expected_smoothness(whole: float, single: float, n: int, batch: int) -> float:
    """Expected smoothness L(B) of minibatch gradients.

    Args:
        whole: Smoothness L of the mean loss.
        single: Smoothness L_max of the worst single loss.
        n: Examples.
        batch: Batch size B, at most n.

    >>> expected_smoothness(2.0, 50.0, 100, 1), expected_smoothness(2.0, 50.0, 100, 100)
    (50.0, 2.0)
    """
    if n == 1:
        return single
    share = (n - batch) / (batch * (n - 1))
    return (n * (batch - 1)) / (batch * (n - 1)) * whole + share * single
