"""One strength of a small problem: steps over the entries at work until they should pass the certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.solvers.solver import Tick
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Float64, Mask
from sparse_debug_widgets.sparse.solvers.working_set.compact.loops import Float32
from sparse_debug_widgets.sparse.solvers.working_set.compact.memory import Memory
from sparse_debug_widgets.sparse.solvers.working_set.compact.models import Quadratic
from sparse_debug_widgets.sparse.solvers.working_set.compact.newton import Face, Preconditioner, newton_step
from sparse_debug_widgets.sparse.solvers.working_set.compact.rows import ExampleAnswers

_MAX_DAMPING = 4.0
_NOISE = 2e-7
_CLOSE = 1e-3
_DRIFT, _REMADE = 0.5, 0.2


@dataclass(frozen=True, eq=False)
class View:
    """A point over the entries at work.

    Attributes:
        answer: What the examples answer to it.
        task: Weights, slopes and penalty factors.
        residual: Optimality residual (e,).
        objective: The objective.
        floor: What gaps are relative to.
        measure: What the residual adds to the gap, in units of the objective.
    """

    answer: ExampleAnswers
    task: Quadratic
    residual: Float64
    objective: float
    floor: float
    measure: float


class CompactStrength:
    """The work on one strength; compare :class:`working_set.strength.Strength`.

    Args:
        memory: What is kept along the path.
        lambda_: The strength.
        tick: Called before every product with the data.
    """

    def __init__(self, memory: Memory, lambda_: float, tick: Tick) -> None:
        self._memory = memory
        self._tick = tick
        penalty = memory.problem.penalty
        self._l1, self._l2 = penalty.l1(lambda_), penalty.l2(lambda_)
        self._aim = memory.tuning.aim * memory.settings.tol
        self._damping = 1.0
        self._newton_next = False
        self._stalls = 0
        self._best = math.inf
        self._couplings = 0
        self.steps = 0
        self._reach()

    @property
    def spent(self) -> bool:
        """True if the budget or the patience ends the work."""
        return self._stalls >= self._memory.tuning.stalls or self.steps >= self._memory.settings.max_epochs

    def reason(self, gap: float) -> str:
        """Return the reason why the work ended."""
        if gap <= self._memory.settings.tol:
            return "gap"
        return "max_epochs" if self.steps >= self._memory.settings.max_epochs else "stalled"

    def improve(
        self, weights: Float64, answer: ExampleAnswers, slopes: Float64 | None
    ) -> tuple[Float64, ExampleAnswers]:
        """Take steps until the point should pass its certificate, or the work is spent.

        Args:
            weights: Weights (e,) to start from.
            answer: What the examples answer to them.
            slopes: Gradient (e,) there, if it is known.
        """
        while not self.spent:
            view = self._look(weights, answer, slopes)
            if view.measure <= self._aim * view.floor:
                break
            found, expected = self._step(view)
            if found is None:
                slopes = view.task.slopes
                continue
            (weights, answer), slopes = found, None
            if expected <= self._aim * view.floor:
                break
        return weights, answer

    def admit(self, weights: Float64, certificate: Certificate) -> tuple[Float64, Float64]:
        """Go on after a certificate that failed: put violators to work, or aim lower.

        Returns:
            Weights and gradient (e,) over the entries at work.
        """
        memory, gap = self._memory, certificate.gap
        self._stalls += gap > 0.7 * self._best
        self._best = min(gap, self._best)
        gradient = memory.with_intercept(certificate.gradient)
        matrix = memory.entries.spread(weights)
        violating = (np.abs(gradient) > self._l1 * memory.factor) & (matrix == 0)
        violating[:, 0] = False
        if (violating & ~memory.entries.mask).any():
            memory.require(memory.entries.mask | violating)
            self._reach()
        else:
            self._aim *= 0.5
        return memory.entries.take(matrix), memory.entries.take(gradient)

    def _reach(self) -> None:
        """Penalty factors of the entries at work."""
        factor = self._memory.factor[self._memory.entries.feature]
        self._factors = self._l1 * factor, self._l2 * factor
        self._scale = 1.0 / np.maximum(2.0 * self._factors[1], 1e-30)
        self._scale[factor == 0.0] = 10.0
        self._penalised = factor > 0.0
        # With little l2 the other dual point may be the better one.
        few = self._l2 >= 1e-3 * self._l1 or not self._penalised.any()
        self._least = 0.0 if few else float(self._factors[0][self._penalised].min())

    def _measure(self, residual: Float64, scale: Float64, penalised: Mask, objective: float) -> float:
        """See :meth:`working_set.point.Strengths.measure`."""
        square = float(residual * residual @ scale)
        if self._least <= 0.0:
            return square
        share = float(np.abs(residual[penalised]).max(initial=0.0)) / self._least
        intercept = 10.0 * float(np.square(residual[~penalised]).sum())
        return min(square, share * objective + intercept)

    def _value(self, weights: Float64, loss: float) -> float:
        l1, l2 = self._factors
        return loss + float(np.abs(weights) @ l1) + 0.5 * float(weights * weights @ l2)

    def _look(self, weights: Float64, answer: ExampleAnswers, slopes: Float64 | None) -> View:
        memory, (l1, l2) = self._memory, self._factors
        if slopes is None:
            slopes = memory.rows.slopes(memory.entries, answer.response)
        slope = slopes + l2 * weights
        moving = slope + l1 * np.sign(weights)
        residual = np.where(weights != 0, moving, slope - np.minimum(np.maximum(slope, -l1), l1))
        objective = self._value(weights, answer.loss)
        floor = min(objective, memory.problem.null_objective)
        measure = self._measure(residual, self._scale, self._penalised, objective)
        return View(answer, Quadratic(weights, slopes, l1, l2), residual, objective, floor, measure)

    def _step(self, view: View) -> tuple[tuple[Float64, ExampleAnswers] | None, float]:
        """One step; None if it did not lower the objective. Also the optimality measure it should reach."""
        self._tick()
        self.steps += 1
        memory, expected = self._memory, math.inf
        newton, self._newton_next = self._newton_next, False
        if newton:
            new, change, expected = self._newton(view)
        else:
            new, change = self._descend(view)
        found, size = self._search(view, new, change, 3 if newton else 12)
        if not newton and size < 1.0:
            self._damping = min(_MAX_DAMPING, 1.5 * self._damping)
            memory.models.stale[:] = True
            memory.coupled.stale = True
        if found is None:
            self._stalls += 1
        return found, expected if size == 1.0 else math.inf

    def _search(
        self, view: View, new: Float64, change: Float32, tries: int
    ) -> tuple[tuple[Float64, ExampleAnswers] | None, float]:
        """The longest of the steps 1, 1/2, 1/4, ... that does not raise the objective beyond rounding."""
        old, size = view.task.weights, 1.0
        for _ in range(tries):
            trial = new if size == 1.0 else old + size * (new - old)
            answer = self._memory.rows.answer(view.answer.logits + size * change)
            value = self._value(trial, answer.loss)
            if value <= view.objective + _NOISE * abs(view.objective):
                self._stalls += view.objective - value < _CLOSE * _NOISE * view.objective
                return (trial, answer), size
            size *= 0.5
            self._memory.counters.halvings += 1
        return None, size

    def _descend(self, view: View) -> tuple[Float64, Float32]:
        """Coordinate descent on a model: of all classes at once while that is small, else class by class."""
        memory, tuning, task = self._memory, self._memory.tuning, view.task
        memory.counters.blocks += 1
        near = (np.abs(task.slopes) >= (1.0 - tuning.margin) * task.l1) | (task.weights != 0)
        index = memory.model(near | (task.l1 == 0))
        part = Quadratic(*(vector[index] for vector in task))
        tol = tuning.descent * view.measure / len(index)
        if self._damping == 1.0 and memory.couples():
            found, change = self._coupled(part, view.answer, tol)
        else:
            found, change = self._block(part, view.answer, tol)
            self._newton_next = True
        new = task.weights.copy()
        new[index] = found
        return new, change

    def _coupled(self, part: Quadratic, answer: ExampleAnswers, tol: float) -> tuple[Float64, Float32]:
        memory = self._memory
        # A second step means that the model has drifted too far for the first: from here on it is made anew.
        drift = _DRIFT if self._couplings == 0 else _REMADE
        self._couplings += 1
        memory.coupled.require(memory.modelled, memory.rows, answer.response, drift)
        new = memory.coupled.solve(part, tol)
        return new, memory.rows.predict(memory.modelled, new - part.weights)

    def _block(self, part: Quadratic, answer: ExampleAnswers, tol: float) -> tuple[Float64, Float32]:
        memory, tuning = self._memory, self._memory.tuning
        curvatures = memory.rows.curvatures(answer.response)
        memory.models.require(memory.modelled, memory.rows, curvatures, tuning.drift)
        new, bent = memory.models.solve(memory.modelled, part, damping=self._damping, tol=tol)
        change = memory.rows.predict(memory.modelled, new - part.weights)
        actual = (change * change * curvatures).sum(1, dtype=np.float64) / memory.rows.n
        memory.models.stale |= actual > tuning.wrong * bent + 1e-3 * bent.max()
        return new, change

    def _newton(self, view: View) -> tuple[Float64, Float32, float]:
        memory, tuning, weights = self._memory, self._memory.tuning, view.task.weights
        face = (weights != 0) | (memory.entries.feature == 0)
        chosen = memory.entries.chosen(face)
        made = memory.preconditioner
        if made is None or made.misfit(chosen.mask) > tuning.misfit or memory.last_products > tuning.slow:
            curvatures = memory.rows.curvatures(view.answer.response)
            memory.models.require(memory.modelled, memory.rows, curvatures, tuning.drift)
            covered = face[memory.entries.place[memory.modelled.flat]]
            made = Preconditioner.of(memory.models.matrices, memory.modelled, covered, self._l2)
            memory.preconditioner = made
            memory.counters.factorisations += 1
        scale, penalised = self._scale[face], self._penalised[face]
        start = Face(
            chosen,
            weights[face],
            view.residual[face],
            self._factors[1][face],
            made.on(chosen),
            lambda left: self._measure(left, scale, penalised, view.objective),
        )
        goal = tuning.newton_target * memory.settings.tol * view.floor
        target = max(tuning.newton_reduction * view.measure, goal)
        most = tuning.max_products
        answer = view.answer.response
        step = newton_step(memory.rows, start, answer, target=target, max_products=most, tick=self._tick)
        memory.last_products = step.products
        memory.counters.newtons += 1
        memory.counters.products += step.products
        new = weights.copy()
        new[face] = step.weights
        return new, step.change, step.expected
