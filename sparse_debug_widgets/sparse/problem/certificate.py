r"""Duality-gap certificates: a proof of how far a point is from the optimum.

Take a point whose intercept is optimal (``sum_i s_i v_i = 0`` for its residuals v) and the gradient
``G = sum_i s_i v_i z_i / n``. With l1 = lambda alpha and l2 = lambda (1 - alpha), every scale t in [0, 1]
gives a lower bound on the optimal objective,

    D(t) = (1/n) sum_i s_i (-loss_i^*(t v_i)) - sum_{c,j} (t |G_cj| - l1)_+^2 / (2 l2)

(Fenchel duality; the conjugate of cross-entropy at v_i is the negative entropy of the shrunk probabilities).
The certificate keeps the best t; with alpha = 1 the last term forces t |G_cj| <= l1. Everything is float64
and computed from the weights alone: predictions that a solver has updated step by step drift, and are
never certified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses import Assessment, Loss
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.rows.row_source import RowSource

_SLACK = 1e-13
_QUICK_SLACK = 1e-10
_SHARE = 1e-3
"""Of the tolerance, as much of the gap may come from an intercept that is not quite optimal."""
_ATTEMPTS = 6
_NEAR = 1e-2


@dataclass(frozen=True, eq=False)
class Certificate:
    """The proof of how near one point of the path is to the optimum.

    Attributes:
        intercept: The optimal intercept for these weights, (C,) float64; the certificate is for it.
        loss: Weighted mean loss.
        primal: Objective F(W, intercept).
        dual: Proven lower bound on the optimal objective.
        gap: ``(primal - dual) / min(primal, null objective)``, at least 0.
        logits: Predictions (C, n) float64 with the intercept, for solvers that go on from them.
        response: Mean response (C, n) float64 at the point.
        gradient: Gradient G (C, p) float64 of the loss at the point.
        slope: Gradient (C,) float64 of the loss in the intercept: what is left of it.
    """

    intercept: Tensor
    loss: float
    primal: float
    dual: float
    gap: float
    logits: Tensor
    response: Tensor
    gradient: Tensor
    slope: Tensor


def certify(
    problem: Problem,
    weights: Tensor,
    intercept: Tensor,
    lambda_: float,
    tol: float = 0.0,
    *,
    search: bool = True,
    quick: RowSource | None = None,
    optimise: bool = True,
) -> Certificate:
    """Optimise the intercept and bound the distance to the optimum.

    A quick certificate takes the products with the features at the speed of their storage: short float32
    products whose results are summed in float64, with rounding errors below 1e-6 of the objective. The dual
    bound holds for any probabilities, so errors of the predictions do not weaken it; the sums over examples
    and the intercept's optimality are float64 here too. It guides a solver; what is recorded is not quick.

    Args:
        problem: The problem.
        weights: (C, p).
        intercept: (C,), a start for the intercept's optimisation.
        lambda_: Strength.
        tol: The search for a better scale is left out once the gap is at most this.
        search: Whether to search at all: some thirty passes over the examples, which a point that will be
            improved anyway need not cost.
        quick: The rows of the features in the precision of a solver's steps, for a quick certificate.
        optimise: Whether the intercept is made optimal first; what it costs that it is not, the gap counts.

    Returns:
        The certificate; its ``gap`` is never below the true relative suboptimality.
    """
    design, loss, penalty = problem.design, problem.loss, problem.penalty
    weights = weights.to(design.device, torch.float64)
    start = intercept.to(design.device, torch.float64)
    offsets = design.logits(weights) if quick is None else quick.quick_logits(weights)
    slack = _SLACK if quick is None else _QUICK_SLACK
    if optimise:
        cost = _SHARE * tol, problem.null_objective
        intercept, found, logits = settle(loss, offsets, start, slack, cost)
    else:
        intercept = loss.canonical_intercept(start)
        found, logits = loss.assess(offsets, intercept), offsets.add_(intercept[:, None])
    residuals = loss.subtract_targets(recycled.copy(found.response))
    weighed = loss.weigh(residuals)
    gradient = design.gradient(weighed) if quick is None else design.quick_gradient(weighed)
    primal = found.loss + penalty.value(weights, lambda_)
    floor = min(primal, problem.null_objective)
    leftover = _leftover(found.slope, intercept)

    def bound(scale: float) -> float:
        known = found.conjugate if scale == 1.0 else None
        conjugates = float(loss.average(loss.conjugates(residuals, scale))) if known is None else known
        return conjugates - penalty.conjugate(gradient, scale, lambda_) - scale * leftover

    feasible, beyond = penalty.feasible_scale(gradient, lambda_), penalty.l2(lambda_) > 0.0
    dual = _best_bound(bound, feasible, beyond, primal - tol * floor, search=search)
    # Objectives are non-negative, so zero is a lower bound too: it caps the gap of a hopeless point.
    gap = max(0.0, primal - max(dual, 0.0)) / floor if floor > 0.0 else 0.0
    dual = max(dual, 0.0)
    known = logits, found.response, gradient, found.slope
    return Certificate(intercept, found.loss, primal, dual, gap, *known)


def _leftover(slope: Tensor, intercept: Tensor) -> float:
    """Bound the cost of an intercept (C,) that leaves a slope (C,): the dual point is infeasible by as much.

    That is the slope times the distance to the optimal intercept, bounded generously here.
    """
    return float(slope.abs().sum()) * (1.0 + 2.0 * float(intercept.abs().max()))


def settle(
    loss: Loss, offsets: Tensor, intercept: Tensor, slack: float, cost: tuple[float, float] = (0.0, 0.0)
) -> tuple[Tensor, Assessment, Tensor]:
    """Optimal intercept (C,), what is seen there, and the logits (C, n_local) there.

    Args:
        loss: The loss.
        offsets: Predictions without the intercept, (C, n_local) float64; overwritten.
        intercept: A start, (C,) float64.
        slack: Mean residual that is small enough.
        cost: As much may be left as costs this share of the loss, or of this objective where that is less.
    """
    intercept = loss.canonical_intercept(intercept)
    hessian: Tensor | None = None
    for attempt in range(_ATTEMPTS):
        found = loss.assess(offsets, intercept)
        share, most = cost
        cheap = share > 0.0 and _leftover(found.slope, intercept) <= share * min(found.loss, most)
        if attempt == _ATTEMPTS - 1 or cheap or float(found.slope.abs().max()) <= slack:
            break
        if hessian is None:
            hessian = loss.intercept_hessian(found.response)
        step = torch.linalg.solve(hessian, found.slope)
        largest = float(step.abs().max())
        if attempt < 4 and largest < 0.3:
            intercept = loss.canonical_intercept(intercept - step)
        else:
            intercept = loss.optimise_intercept(offsets, intercept)
        if largest > _NEAR:
            # After shorter steps the Hessian is the same up to their length, and serves the next one too.
            hessian = None
    return intercept, found, offsets.add_(intercept[:, None])


def _best_bound(
    bound: Callable[[float], float], feasible: float, beyond: bool, enough: float, *, search: bool
) -> float:
    """Maximise a concave bound over scales in [0, 1]; stop early once it is high enough.

    Args:
        bound: The dual objective as a function of the scale.
        feasible: Scale up to which the penalty's conjugate vanishes; a good guess.
        beyond: Whether scales beyond ``feasible`` are finite.
        enough: A value that needs no improvement.
        search: Whether other scales than the two likely ones are tried.
    """
    best = bound(1.0 if beyond else feasible)
    if beyond and feasible < 1.0 and best < enough:
        best = max(best, bound(feasible))
    if best >= enough or not search:
        return best
    found = minimize_scalar(
        lambda scale: -bound(scale),
        bounds=(0.0, 1.0 if beyond else feasible),
        method="bounded",
        options={"maxiter": 30},
    )
    return max(best, -float(found.fun))
