"""Solve one strength to rounding, for a layer that must not depend on how it was found."""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.losses import Loss
from sparse_debug_widgets.sparse.problem.objective import Problem

_ROUNDS = 60
_MOST_WORK = 4e9
"""Multiplications that one Hessian may take."""


def polish(problem: Problem, weights: Tensor, intercept: Tensor, lambda_: float) -> tuple[Tensor, Tensor]:
    """Newton's method on the support with the exact coupled Hessian, until the gradient is rounding noise.

    Entries that would change sign leave the support; violators enter it, the strongest first. Meant for
    points that are certified already, and for supports of up to a few thousand entries; beyond that, the
    point comes back as it is. A step is kept only where it lowers the objective.

    Args:
        problem: The problem; float64 features in memory, no group penalty, else the point comes back as is.
        weights: (C, p) float64.
        intercept: (C,) float64.
        lambda_: Strength.

    Returns:
        Weights and intercept at least as good.
    """
    design, penalty = problem.design, problem.penalty
    values = design.whole
    if penalty.grouped or design.dtype != torch.float64 or values is None:
        return weights, intercept
    l1, l2 = (
        torch.as_tensor(value, dtype=torch.float64, device=design.device)
        for value in _strengths(problem, lambda_)
    )
    point = torch.cat([intercept[:, None], weights], 1)
    value = problem.objective(weights, intercept, lambda_)
    entering = torch.zeros_like(point, dtype=torch.bool)
    for _ in range(_ROUNDS):
        gradient = _gradient(problem, point)
        sign = torch.where(entering & (point == 0), -gradient.sign(), point.sign())
        face = (sign != 0) & (l2 + l1 > 0)
        face[:, 0] = True
        if float(face.sum()) ** 2 * design.n > _MOST_WORK:
            break
        slope = (gradient + l1 * sign + l2 * point)[face]
        violation = torch.where(face, 0.0, gradient.abs() - l1)
        if float(slope.abs().max()) <= 1e-14 and float(violation.max()) <= 1e-13:
            break
        hessian = _hessian(problem.loss, values, _response(problem, point), face)
        hessian.diagonal().add_(l2.expand_as(point)[face])
        step = _newton(_definite(hessian), slope, face, sign, point)
        trial, new = _descend(problem, point, step, sign, l1, lambda_, value)
        if trial is None:
            break
        settled = value - new <= 1e-15 * value
        point, value = trial, new
        entering = torch.zeros_like(face)
        worst = torch.where(point != 0, 0.0, _gradient(problem, point).abs() - l1)
        worst[:, 0] = 0.0
        if float(worst.max()) > 1e-13:
            entering = worst >= 0.5 * worst.max()
        elif settled:
            break
    certificate = certify(problem, point[:, 1:], point[:, 0], lambda_)
    return point[:, 1:].contiguous(), certificate.intercept


def _strengths(problem: Problem, lambda_: float) -> tuple[list[float], list[float]]:
    """Factors (p + 1,) of the absolute values and of half the squares; 0 for the intercept."""
    penalty, p = problem.penalty, problem.design.p
    factors = [1.0] * p if penalty.factors is None else penalty.factors.tolist()
    return [0.0] + [penalty.l1(lambda_) * f for f in factors], [0.0] + [
        penalty.l2(lambda_) * f for f in factors
    ]


def _response(problem: Problem, point: Tensor) -> Tensor:
    return problem.loss.mean_response(problem.design.logits(point[:, 1:]) + point[:, :1])


def _gradient(problem: Problem, point: Tensor) -> Tensor:
    """Gradient (C, p + 1) of the loss, intercept first."""
    residuals = problem.loss.weigh(problem.loss.subtract_targets(_response(problem, point)))
    intercept = residuals.sum(1, keepdim=True) / problem.loss.n
    return torch.cat([intercept, problem.design.gradient(residuals)], 1)


def _hessian(loss: Loss, values: Tensor, response: Tensor, face: Tensor) -> Tensor:
    """Exact Hessian over the face (C, p + 1): one block row per class."""
    rows = torch.cat([torch.ones_like(values[:1]), values])
    parts = []
    for c in range(len(face)):
        unit = torch.zeros_like(response)
        unit[c] = 1.0
        # Column c of each example's Hessian in the logits, (C, n).
        column = loss.weigh(loss.hessian_product(response, unit)) / loss.n
        left = rows[face[c]]
        parts.append(torch.cat([(left * column[d]) @ rows[face[d]].T for d in range(len(face))], 1))
    return torch.cat(parts)


def _definite(hessian: Tensor) -> Tensor:
    """Curvature for the directions that change nothing, such as a shift of all intercepts."""
    small = 1e-13 * hessian.diagonal().mean()
    hessian.diagonal().add_(small)
    return hessian


def _newton(hessian: Tensor, slope: Tensor, face: Tensor, sign: Tensor, point: Tensor) -> Tensor:
    """Newton's step (C, p + 1), to be subtracted; entries that would enter with the wrong sign stay out."""
    kept = torch.ones(len(slope), dtype=torch.bool, device=slope.device)
    outside, wanted = (point == 0)[face], sign[face]
    outside &= wanted != 0
    while True:
        found = torch.zeros_like(slope)
        found[kept] = torch.linalg.solve(hessian[kept][:, kept], slope[kept])
        wrong = kept & outside & (found * wanted > 0)
        if not bool(wrong.any()):
            break
        kept &= ~wrong
    step = torch.zeros_like(point)
    step[face] = found
    return step


def _descend(
    problem: Problem, point: Tensor, step: Tensor, sign: Tensor, l1: Tensor, lambda_: float, value: float
) -> tuple[Tensor | None, float]:
    """Along the step, entries that cross zero held at zero, until the objective does not rise."""
    size = 1.0
    while size > 1e-6:
        trial = point - size * step
        trial = torch.where((trial.sign() != sign) & (l1 > 0), 0.0, trial)
        new = problem.objective(trial[:, 1:], trial[:, 0], lambda_)
        if new <= value * (1.0 + 4e-16):
            return trial, new
        size *= 0.5
    return None, value
