"""CASO with lambda_1 > 0: proximal gradient ascent, with its optimality conditions as certificate.

``max  g^T D + 1/2 D^T H D - lambda_1 ||D||_1 - lambda_2 ||D||_2^2`` (Definition 3). Its smooth part has
curvature at most 2 lambda_2 (plus whatever H has below 0), so that the step 1 / (2 lambda_2) needs no line
search. Two misprints of the paper: its Corollary 1 allows steps up to lambda_2 - L/2, which diverge; its
proximal map lacks a factor 1/2, the threshold is step * lambda_1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.prox import soft_threshold
from sparse_debug_widgets.saliency.curvature.hessian import Hessian, Quadratic
from sparse_debug_widgets.saliency.curvature.krylov import SecondOrder


@dataclass
class Sparse:
    """Solutions for several lambda_1.

    Attributes:
        delta: (K, B, d).
        violation: (K, B) largest violation of the optimality conditions, in units of ||g||_inf.
        steps: (K, B) iterations.
    """

    delta: Tensor
    violation: npt.NDArray[np.float64]
    steps: npt.NDArray[np.int64]


def apply_many(hessian: Hessian, vectors: Tensor, active: Tensor) -> Tensor:
    """H v for (K, B, d); rows k without an active example are left 0."""
    products = torch.zeros_like(vectors)
    for k in torch.nonzero(active.any(1)).flatten().tolist():
        products[k] = hessian(vectors[k])
    return products


def kkt_violation(delta: Tensor, slope: Tensor, lambda1: Tensor) -> Tensor:
    """Distance (K, B) from optimality: 0 must lie in ``slope - lambda_1 * subgradient(|D|)``.

    Args:
        delta: (K, B, d).
        slope: (K, B, d) gradient of the smooth part at delta.
        lambda1: (K, B).
    """
    strength = lambda1[:, :, None]
    off = (slope - strength * delta.sign()).abs()
    return torch.where(delta != 0, off, (slope.abs() - strength).clamp_min(0)).amax(2)


def fista(
    quadratic: Quadratic,
    second: SecondOrder,
    lambda1: Tensor,
    *,
    tol: float,
    max_steps: int,
) -> Sparse:
    """Accelerated proximal gradient with the fixed step 1 / (2 lambda_2).

    The objective is strongly concave with modulus 2 lambda_2 - L = 2 c_1, so the momentum is the constant one
    for that (linear rate) and not the sequence for the general case. Each example and lambda_1 stops by
    itself; an entry at ``lambda_1 >= ||g||_inf`` is exactly 0 without an iteration.

    Args:
        quadratic: Gradient and Hessian.
        second: lambda_2 and the ends of the spectrum.
        lambda1: (K, B).
        tol: Violation of the optimality conditions to reach, in units of ||g||_inf.
        max_steps: At most so many iterations.
    """
    g = quadratic.gradient
    shift = torch.from_numpy(second.twice_lambda2).to(g)[None, :, None]
    lipschitz = torch.from_numpy(second.twice_lambda2 - second.smallest).to(g)[None, :, None]
    modulus = shift - torch.from_numpy(second.largest).to(g)[None, :, None]
    root = (modulus.clamp_min(0) / lipschitz).sqrt()
    momentum = (1 - root) / (1 + root)
    threshold = (lambda1 / lipschitz[:, :, 0])[:, :, None]
    units = g.abs().amax(1).clamp_min(torch.finfo(g.dtype).tiny)
    delta = g.new_zeros((*lambda1.shape, g.shape[1]))
    curved, ahead, ahead_curved = (torch.zeros_like(delta) for _ in range(3))
    violation = kkt_violation(delta, g.expand_as(delta), lambda1) / units
    steps = torch.zeros_like(lambda1, dtype=torch.long)
    active = violation > tol
    for _ in range(max_steps):
        if not bool(active.any()):
            break
        rows = active[:, :, None]
        slope = g + ahead_curved - shift * ahead
        new = torch.where(rows, soft_threshold(ahead + slope / lipschitz, threshold), delta)
        # H is applied to the iterates only; at the point ahead it follows by linearity.
        new_curved = torch.where(rows, apply_many(quadratic.hessian, new, active), curved)
        ahead = new + momentum * (new - delta)
        ahead_curved = new_curved + momentum * (new_curved - curved)
        delta, curved = new, new_curved
        now = kkt_violation(delta, g + curved - shift * delta, lambda1) / units
        violation = torch.where(active, now, violation)
        steps += active
        active = active & (violation > tol)
    return Sparse(delta, violation.double().cpu().numpy(), steps.cpu().numpy())


def backtracking(
    quadratic: Quadratic,
    second: SecondOrder,
    lambda1: Tensor,
    *,
    rate: float = 0.1,
    decay: float = 0.5,
    n_steps: int = 10,
) -> Sparse:
    """The paper's solver: FISTA with backtracking from a rate of 0.1, 10 iterations, from 0.

    Each example has a line search of its own (the public code shares one over the batch), and the momentum
    is that of the public code, (k - 2) / (k + 1) clipped at 0. The certificate tells how far 10 iterations
    have come.

    Args:
        quadratic: Gradient and Hessian.
        second: lambda_2.
        lambda1: (K, B).
        rate: First step tried in each iteration.
        decay: Factor of the step while the test fails.
        n_steps: Iterations.
    """
    g = quadratic.gradient
    shift = torch.from_numpy(second.twice_lambda2).to(g)[None, :, None]
    units = g.abs().amax(1).clamp_min(torch.finfo(g.dtype).tiny)
    delta = g.new_zeros((*lambda1.shape, g.shape[1]))
    before, curved, curved_before = (torch.zeros_like(delta) for _ in range(3))
    everyone = torch.ones_like(lambda1, dtype=torch.bool)
    for k in range(1, n_steps + 1):
        weight = max(0.0, (k - 2) / (k + 1))
        ahead = delta + weight * (delta - before)
        ahead_curved = curved + weight * (curved - curved_before)
        slope = g + ahead_curved - shift * ahead
        step = torch.full_like(lambda1, rate)
        new, new_curved, search = ahead, ahead_curved, everyone
        while bool(search.any()):
            rows = search[:, :, None]
            tried = soft_threshold(ahead + step[:, :, None] * slope, (step * lambda1)[:, :, None])
            new = torch.where(rows, tried, new)
            new_curved = torch.where(rows, apply_many(quadratic.hessian, new, search), new_curved)
            move = new - ahead
            # The objective is quadratic: the paper's test is a bound on the curvature along the move.
            bend = (move * (shift * move - (new_curved - ahead_curved))).sum(2)
            search = search & (bend > (move * move).sum(2) / step * (1 + 1e-6)) & (step > 1e-12)
            step = torch.where(search, step * decay, step)
        before, curved_before, delta, curved = delta, curved, new, new_curved
    violation = kkt_violation(delta, g + curved - shift * delta, lambda1) / units
    steps = np.full(tuple(lambda1.shape), n_steps)
    return Sparse(delta, violation.double().cpu().numpy(), steps)
