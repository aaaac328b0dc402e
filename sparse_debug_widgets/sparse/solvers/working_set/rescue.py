"""The fallback if steps no longer descend: far from any warm start, or nearly singular."""

from __future__ import annotations

from dataclasses import replace

from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.solvers.polish import polish
from sparse_debug_widgets.sparse.solvers.saga import Saga
from sparse_debug_widgets.sparse.solvers.solver import RunSettings, Solution, Tick


def rescue(problem: Problem, settings: RunSettings, index: int, stalled: Solution, tick: Tick) -> Solution:
    """Go on from a solution above the tolerance; what comes back is at least as good.

    Small problems are polished with the exact Hessian; else, first-order steps take over, where all rows
    are in the memory of this process.

    Args:
        problem: The problem.
        settings: Tolerance and budget.
        index: Position on the path.
        stalled: The solution.
        tick: Called now and then.
    """
    lambda_, tol = stalled.lambda_, settings.tol
    tick()
    weights, intercept = polish(problem, stalled.weights, stalled.intercept, lambda_)
    certificate = certify(problem, weights, intercept, lambda_, tol)
    better = stalled
    if certificate.gap < stalled.certificate.gap:
        better = replace(stalled, weights=weights, certificate=certificate)
    here = problem.design.whole is not None
    if here and better.certificate.gap > tol and stalled.reason == "stalled":
        found = Saga().begin(problem, settings, [better]).solve(index, lambda_, tick)
        if found.certificate.gap < better.certificate.gap:
            better = replace(found, iterations=stalled.iterations + found.iterations)
    return replace(better, reason="gap") if better.certificate.gap <= tol else better
