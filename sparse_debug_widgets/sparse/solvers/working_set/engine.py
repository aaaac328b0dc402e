"""The path engine: one strength after the other, each certified."""

from __future__ import annotations

import torch

from sparse_debug_widgets.sparse.problem.certificate import Certificate, certify
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.solvers.sharpen import Sharpener, can_sharpen
from sparse_debug_widgets.sparse.solvers.solver import RunSettings, Solution, State, Tick
from sparse_debug_widgets.sparse.solvers.working_set import state
from sparse_debug_widgets.sparse.solvers.working_set.heap import Heap
from sparse_debug_widgets.sparse.solvers.working_set.memory import Counters, Memory
from sparse_debug_widgets.sparse.solvers.working_set.point import Point
from sparse_debug_widgets.sparse.solvers.working_set.rescue import rescue
from sparse_debug_widgets.sparse.solvers.working_set.strength import Strength
from sparse_debug_widgets.sparse.solvers.working_set.tuning import Tuning


class WorkingSetRun:
    """The working-set solver at work on one problem; a :class:`SolverRun`.

    Args:
        problem: The problem.
        settings: Tolerance, budget, stopping rule.
        tuning: Thresholds.
        predict: Whether a strength starts from the secant through the two strengths before.
        couple: Whether coupled Newton steps alternate with block steps.
        batched: Whether the classes' models are solved in batches on the CPU too.
        exact: Whether exact Newton steps are taken first, where they are the way to the tolerance.
    """

    def __init__(
        self,
        problem: Problem,
        settings: RunSettings,
        tuning: Tuning,
        *,
        predict: bool,
        couple: bool,
        batched: bool = False,
        exact: bool = True,
    ) -> None:
        sharp = exact and settings.stopping == "duality_gap" and can_sharpen(problem, settings.tol)
        self._sharpener = Sharpener(problem, settings.tol) if sharp else None
        self._memory = Memory(problem, settings, tuning, couple=couple, batched=batched)
        self._predict = predict
        recycled.recycling(self)
        self._heap = Heap(self._memory.spare) if self._memory.large else None

    @property
    def counters(self) -> Counters:
        """Work done so far."""
        return self._memory.counters

    def adopt(self, solution: Solution) -> None:
        """Take over a solution at a larger strength: a resumed path, or a warm start."""
        weights = solution.weights.to(self._memory.gradient)
        intercept = solution.intercept.to(weights)
        logits = solution.certificate.logits.to(self._memory.wide)
        point = self._memory.points.at(torch.cat([intercept[:, None], weights], 1), logits)
        self._memory.remember(point, solution.certificate.gradient, solution.lambda_)

    def solve(self, index: int, lambda_: float, tick: Tick) -> Solution:
        """Solve one strength, starting from what earlier strengths left."""
        if self._sharpener is not None:
            trail = [weights for weights, _ in self._memory.trail]
            newest = trail[-1] if trail else self._memory.point.weights
            sharp = self._sharpener.ahead(newest, trail[0] if len(trail) == 2 else None, lambda_, tick)
            if sharp.certificate.gap <= self._memory.settings.tol:
                solution = sharp.solution(lambda_)
                self.adopt(solution)
                return solution
        strength = Strength(self._memory, lambda_, tick)
        point, gradient = self._start(lambda_), None
        while True:
            point = strength.improve(point, gradient)
            point, certificate = self._certify(point, lambda_, thorough=strength.spent)
            if strength.accepts(certificate.gap) and not self._memory.proves:
                # What is recorded is proved in float64, whatever the steps were taken in.
                certificate = self._proof(point, lambda_, search=True)
            if strength.accepts(certificate.gap):
                break
            gradient = strength.admit(point, certificate)
        reason = strength.reason(certificate.gap)
        solution = Solution(lambda_, point.weights[:, 1:].clone(), certificate, strength.steps, reason)
        if reason in ("stalled", "max_epochs"):
            solution = rescue(self._memory.problem, self._memory.settings, index, solution, tick)
            self.adopt(solution)
            return solution
        self._memory.remember(point, certificate.gradient, lambda_)
        if self._heap is not None:
            self._heap.tidy()
        return solution

    def _proof(self, point: Point, lambda_: float, *, search: bool) -> Certificate:
        weights, tol = point.weights, self._memory.settings.tol
        return certify(self._memory.problem, weights[:, 1:], weights[:, 0], lambda_, tol, search=search)

    def state(self) -> State:
        """Return the state from which a run repeats this one bitwise; see :mod:`working_set.state`."""
        known = {} if self._sharpener is None else self._sharpener.state()
        return {**state.take(self._memory), **known}

    def restore(self, saved: State) -> None:
        """Go on where the run stopped whose state this is."""
        state.put(self._memory, saved)
        if self._sharpener is not None:
            self._sharpener.restore(saved)

    def _start(self, lambda_: float) -> Point:
        """The start for a strength; puts to work the features that it may need."""
        penalty, point = self._memory.problem.penalty, self._memory.point
        if self._predict and len(self._memory.trail) == 2:
            (older, older_logits), (weights, logits) = self._memory.trail
            guess = self._memory.points.at(2 * weights - older, 2 * logits - older_logits)
            l1, l2 = penalty.l1(lambda_), penalty.l2(lambda_)
            if guess.objective(l1, l2) < point.objective(l1, l2):
                point = guess
        previous = max(lambda_, min(self._memory.lambda_, self._memory.problem.lambda_max))
        strong = self._memory.gradient.abs() >= penalty.l1(2 * lambda_ - previous) * self._memory.factor[1:]
        self._memory.rows.require((strong | (point.weights[:, 1:] != 0)).any(0))
        return point

    def _certify(self, point: Point, lambda_: float, *, thorough: bool) -> tuple[Point, Certificate]:
        """The point with its intercept optimised and its predictions made anew, and what is proved of it."""
        self._memory.counters.certificates += 1
        weights, tol, memory = point.weights, self._memory.settings.tol, self._memory
        if memory.proves:
            found = self._proof(point, lambda_, search=thorough or memory.searches)
        else:
            part = weights[:, 1:], weights[:, 0], lambda_
            found = certify(memory.problem, *part, tol, search=thorough, quick=memory.source)
        complete = torch.cat([found.intercept[:, None], weights[:, 1:]], 1)
        logits = recycled.cast(found.logits, self._memory.wide)
        return self._memory.points.complete(complete, logits, found.response, found.loss), found
