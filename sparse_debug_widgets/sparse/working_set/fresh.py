"""Certificates from fresh predictions, at the speed of the stored precision.

The same bound as :func:`sparse_debug_widgets.sparse.certificate.certify`. A float64 matrix is used as it is.
For a float32 matrix, products run in float32 over short chunks whose results are summed in float64: the
rounding error stays below 1e-6 of the objective, a thousandth of the tolerance, at a tenth of the time that
converting the matrix would take. The dual bound holds for any probabilities, so errors of the predictions do
not weaken it; only the sums over examples and the intercept's optimality matter, and both are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from sparse_debug_widgets.sparse.certificate import Certificate, settle
from sparse_debug_widgets.sparse.objective import Problem
from sparse_debug_widgets.sparse.row_source import RowSource

_SLACK = 1e-10


def certify_fresh(
    problem: Problem,
    source: RowSource,
    weights: Tensor,
    intercept: Tensor,
    lambda_: float,
    *,
    tol: float,
    thorough: bool,
) -> Certificate:
    """Optimise the intercept and bound the distance to the optimum, from the weights alone.

    Args:
        problem: The problem.
        source: Its rows in the precision that predictions are made in.
        weights: (C, p) float64.
        intercept: (C,) float64, a start.
        lambda_: Strength.
        tol: Gap that is good enough.
        thorough: Whether to search for the best dual scale where the likely ones are not good enough.
    """
    loss, penalty = problem.loss, problem.penalty
    offsets = source.quick_logits(weights)
    intercept, found, logits = settle(loss, offsets, intercept, _SLACK)
    residuals = loss.subtract_targets(found.response.clone())
    gradient = problem.design.quick_gradient(loss.weigh(residuals))
    primal = found.loss + penalty.value(weights, lambda_)
    floor = min(primal, problem.null_objective)
    leftover = float(found.slope.abs().sum()) * (1.0 + 2.0 * float(intercept.abs().max()))

    def bound(scale: float) -> float:
        known = found.conjugate if scale == 1.0 else None
        conjugates = float(loss.average(loss.conjugates(residuals, scale))) if known is None else known
        return conjugates - penalty.conjugate(gradient, scale, lambda_) - scale * leftover

    scales = (penalty.feasible_scale(gradient, lambda_), 1.0)
    high = scales[penalty.l2(lambda_) > 0.0]
    dual = _best_bound(bound, scales[0], high, primal - tol * floor, 25 if thorough else 0)
    gap = max(0.0, primal - max(dual, 0.0)) / floor if floor > 0.0 else 0.0
    return Certificate(intercept, found.loss, primal, max(dual, 0.0), gap, logits, found.response, gradient)


def _best_bound(
    bound: Callable[[float], float], feasible: float, high: float, enough: float, rounds: int
) -> float:
    """Maximise a concave bound over scales, by golden section where the two likely ones do not suffice.

    Args:
        bound: The dual objective as a function of the scale in [0, 1].
        feasible: Scale up to which the penalty's conjugate vanishes.
        high: Largest scale at which the conjugate is finite.
        enough: A value that needs no improvement.
        rounds: Golden-section rounds.
    """
    best = bound(high)
    if best < enough and feasible < high:
        best = max(best, bound(feasible))
    low, ratio = 0.0, 0.5 * (math.sqrt(5.0) - 1.0)
    for _ in range(rounds):
        if best >= enough:
            break
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        at_left, at_right = bound(left), bound(right)
        low, high = (low, right) if at_left > at_right else (left, high)
        best = max(best, at_left, at_right)
    return best
