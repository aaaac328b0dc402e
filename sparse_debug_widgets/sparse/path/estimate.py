"""An estimate of what a fit needs: memory by counting, time by timing one product of this machine."""

from __future__ import annotations

import functools
import math
import time
from typing import NamedTuple

import torch

from sparse_debug_widgets.sparse.solvers.solver import TIGHT, USUAL, PathSolver, effort_of

_SMALL = 4_000_000
_SPREAD = 4.0


class FitEstimate(NamedTuple):
    """The memory and the time that a fit needs, by estimate.

    Attributes:
        memory: Bytes at most at work, beside the features themselves.
        low: Seconds it may take at best.
        high: Seconds it may take at worst, as a rule.
    """

    memory: int
    low: float
    high: float


def estimate_fit(
    n: int,
    p: int,
    n_outputs: int,
    *,
    n_lambdas: int,
    solver: PathSolver,
    tol: float | str = 1e-3,
    device: str = "cpu",
) -> FitEstimate:
    """Estimate a path fit.

    The time is that of the products with all data, and is right within a factor of four for deep features.

    Args:
        n: Training rows.
        p: Features.
        n_outputs: Rows of the weights.
        n_lambdas: Strengths.
        solver: The solver with its options.
        tol: Duality gap to reach, or "auto".
        device: Where it runs.
    """
    memory, effort = fit_memory(n, p, n_outputs, solver), effort_of(solver)
    if isinstance(tol, str):
        tol = TIGHT if effort.tight and n * p <= _SMALL else USUAL
    harder = max(1.0, 1.0 + 0.5 * math.log10(USUAL / tol))
    products = effort.products * harder
    once = 2.0 * n * p * n_outputs / _flops(device)
    middle = n_lambdas * (effort.overhead + products * once)
    return FitEstimate(memory, middle / _SPREAD, middle * _SPREAD)


def fit_memory(n: int, p: int, n_outputs: int, solver: PathSolver) -> int:
    """Bytes that a fit in memory is at most at work with, beside the features themselves."""
    width, effort = 8 if n * p <= _SMALL else 4, effort_of(solver)
    matrix = n * p * width
    working = min(p, max(64, 0.75 * p)) * n * (4 if effort.single else width)
    grams = n_outputs * min(p, n) ** 2 * 4 if effort.grams else 0
    predictions = 8 * n_outputs * n * 8
    return int(matrix + working + grams + predictions + 3 * n_outputs * p * 8)


@functools.cache
def _flops(device: str) -> float:
    """Floating-point operations a second of a product as skinny as those of a fit."""
    left = torch.full((10, 512), 0.5, dtype=torch.float32, device=device)
    right = torch.full((512, 2048), 0.5, dtype=torch.float32, device=device)
    best = math.inf
    for _ in range(4):
        began = time.perf_counter()
        float((left @ right).sum())
        best = min(best, time.perf_counter() - began)
    return 2.0 * left.numel() * right.shape[1] / best
