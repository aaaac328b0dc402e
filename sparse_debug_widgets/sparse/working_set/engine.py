"""The path engine: what is kept from one strength to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.certificate import Certificate, certify
from sparse_debug_widgets.sparse.objective import Problem
from sparse_debug_widgets.sparse.polish import polish
from sparse_debug_widgets.sparse.saga import Saga
from sparse_debug_widgets.sparse.solver import RunSettings, Solution, State, Tick
from sparse_debug_widgets.sparse.working_set import state
from sparse_debug_widgets.sparse.working_set.coupled import CoupledGram
from sparse_debug_widgets.sparse.working_set.fresh import certify_fresh
from sparse_debug_widgets.sparse.working_set.grams import Grams
from sparse_debug_widgets.sparse.working_set.point import Point, Points
from sparse_debug_widgets.sparse.working_set.preconditioner import BlockPreconditioner
from sparse_debug_widgets.sparse.working_set.rows import WorkingRows
from sparse_debug_widgets.sparse.working_set.strength import Strength
from sparse_debug_widgets.sparse.working_set.tuning import Tuning

_WIDE = 400_000
"""Up to this many logits they are kept in float64."""
_EXACT = 1e-5
"""Below this tolerance a float64 matrix is used as it is; else a float32 copy serves all but certificates."""


@dataclass(eq=False)
class Counters:
    """Work done, for benchmarks and tests."""

    blocks: int = 0
    newtons: int = 0
    products: int = 0
    certificates: int = 0
    factorisations: int = 0
    halvings: int = 0


class WorkingSetRun:
    """The working-set solver at work on one problem; a :class:`SolverRun`.

    Args:
        problem: The problem.
        settings: Tolerance, budget, stopping rule.
        tuning: Thresholds.
        predict: Whether a strength starts from the secant through the two strengths before.
        couple: Whether coupled Newton steps alternate with block steps.
    """

    def __init__(
        self, problem: Problem, settings: RunSettings, tuning: Tuning, *, predict: bool, couple: bool
    ) -> None:
        self.problem = problem
        self.settings = settings
        self.tuning = tuning
        self.couple = couple and problem.loss.name != "gaussian"
        self.counters = Counters()
        design, loss = problem.design, problem.loss
        exact = settings.tol < _EXACT
        self.values = design.values if exact else design.values.float()
        wide = exact or loss.n * loss.n_outputs <= _WIDE
        self.wide = torch.float64 if wide else torch.float32
        self.noise = 1e-10 if self.values.dtype == torch.float64 else 2e-7
        self.factor = torch.ones(design.p + 1, dtype=torch.float64, device=design.device)
        self.factor[0] = 0.0
        if problem.penalty.factors is not None:
            self.factor[1:] = problem.penalty.factors
        self.points = Points(problem, self.factor, self.values.dtype)
        self.rows = WorkingRows(self.values)
        self.grams = Grams(loss.n_outputs, self.values)
        self.coupled = CoupledGram()
        self.preconditioner: BlockPreconditioner | None = None
        self.last_products = 0
        self._predict = predict
        self._trail: list[tuple[Tensor, Tensor]] = []
        self._gradient = problem.null_gradient
        self._lambda = math.inf
        self._point = self._null()

    def adopt(self, solution: Solution) -> None:
        """Take over a solution at a larger strength: a resumed path, or a warm start."""
        weights = solution.weights.to(self._gradient)
        intercept = solution.intercept.to(weights)
        logits = solution.certificate.logits.to(self.wide)
        point = self.points.at(torch.cat([intercept[:, None], weights], 1), logits)
        self._remember(point, solution.certificate.gradient, solution.lambda_)

    def solve(self, index: int, lambda_: float, tick: Tick) -> Solution:
        """Solve one strength, starting from what earlier strengths left."""
        strength = Strength(self, lambda_, tick)
        point, gradient = self._start(lambda_), None
        while True:
            point = strength.improve(point, gradient)
            point, certificate = self._certify(point, lambda_, thorough=strength.spent)
            if strength.accepts(certificate.gap):
                break
            gradient = strength.admit(point, certificate)
        reason = strength.reason(certificate.gap)
        solution = Solution(lambda_, point.weights[:, 1:].clone(), certificate, strength.steps, reason)
        if reason in ("stalled", "max_epochs"):
            return self._rescue(index, solution, tick)
        self._remember(point, certificate.gradient, lambda_)
        return solution

    def _rescue(self, index: int, stalled: Solution, tick: Tick) -> Solution:
        """Go on where the steps no longer descend: far from any warm start, or nearly singular.

        Small problems are polished with the exact Hessian; else, first-order steps take over.
        """
        lambda_, tol = stalled.lambda_, self.settings.tol
        tick()
        weights, intercept = polish(self.problem, stalled.weights, stalled.intercept, lambda_)
        certificate = certify(self.problem, weights, intercept, lambda_, tol)
        better = stalled
        if certificate.gap < stalled.certificate.gap:
            better = replace(stalled, weights=weights, certificate=certificate)
        if better.certificate.gap > tol and stalled.reason == "stalled":
            found = Saga().begin(self.problem, self.settings, [better]).solve(index, lambda_, tick)
            if found.certificate.gap < better.certificate.gap:
                better = replace(found, iterations=stalled.iterations + found.iterations)
        better = replace(better, reason="gap") if better.certificate.gap <= tol else better
        self.adopt(better)
        return better

    def state(self) -> State:
        """What a run that repeats this one bit by bit must know; see :mod:`working_set.state`."""
        return state.take(self)

    def restore(self, saved: State) -> None:
        """Go on where the run stopped whose state this is."""
        state.put(self, saved)

    def _null(self) -> Point:
        loss, design = self.problem.loss, self.problem.design
        weights = torch.zeros(loss.n_outputs, design.p + 1, dtype=torch.float64, device=design.device)
        weights[:, 0] = self.problem.null_intercept
        return self.points.at(weights, weights[:, :1].expand(-1, loss.n).to(self.wide).contiguous())

    def _remember(self, point: Point, gradient: Tensor, lambda_: float) -> None:
        self._trail = [*self._trail[-1:], (point.weights, point.logits)]
        self._point, self._gradient, self._lambda = point, gradient, lambda_

    def _start(self, lambda_: float) -> Point:
        """The start for a strength; puts to work the features that it may need."""
        penalty, point = self.problem.penalty, self._point
        if self._predict and len(self._trail) == 2:
            (older, older_logits), (weights, logits) = self._trail
            guess = self.points.at(2 * weights - older, 2 * logits - older_logits)
            l1, l2 = penalty.l1(lambda_), penalty.l2(lambda_)
            if guess.objective(l1, l2) < point.objective(l1, l2):
                point = guess
        previous = max(lambda_, min(self._lambda, self.problem.lambda_max))
        strong = self._gradient.abs() >= penalty.l1(2 * lambda_ - previous) * self.factor[1:]
        self.rows.require((strong | (point.weights[:, 1:] != 0)).any(0))
        return point

    def _certify(self, point: Point, lambda_: float, *, thorough: bool) -> tuple[Point, Certificate]:
        """The point with its intercept optimised and its predictions made anew, and what is proved of it."""
        self.counters.certificates += 1
        weights, tol = point.weights, self.settings.tol
        found = certify_fresh(
            self.problem, self.values, weights[:, 1:], weights[:, 0], lambda_, tol=tol, thorough=thorough
        )
        complete = torch.cat([found.intercept[:, None], weights[:, 1:]], 1)
        logits = found.logits.to(self.wide)
        return self.points.complete(complete, logits, found.response, found.loss), found
