"""The path engine for small problems: the working-set method over lists of entries, in compiled loops.

The general way (:mod:`working_set.engine`) spends some 700 small operations of the tensor library on a
strength, and for small problems these are most of its time. Here everything is a vector over the entries at
work, and every job that touches examples is one compiled loop. The method is the same, and so is what proves
each strength: :func:`certify`, float64, from fresh predictions.
"""

from __future__ import annotations

import numpy as np
import torch

from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.losses import Binomial, Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.row_products import thin
from sparse_debug_widgets.sparse.solvers.sharpen import Sharpener, can_sharpen, exact_hessians
from sparse_debug_widgets.sparse.solvers.solver import RunSettings, Solution, State, Tick
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Float64
from sparse_debug_widgets.sparse.solvers.working_set.compact.memory import Memory
from sparse_debug_widgets.sparse.solvers.working_set.compact.rows import ExampleAnswers
from sparse_debug_widgets.sparse.solvers.working_set.compact.strength import CompactStrength
from sparse_debug_widgets.sparse.solvers.working_set.engine import WorkingSetRun
from sparse_debug_widgets.sparse.solvers.working_set.memory import Counters
from sparse_debug_widgets.sparse.solvers.working_set.rescue import rescue
from sparse_debug_widgets.sparse.solvers.working_set.tuning import Tuning

VALUES = 4_000_000
"""Entries of a feature matrix up to which a problem is small."""
_TOL = 1e-5
"""Steps over entries are float32: tighter tolerances are left to exact Newton steps, or the general way."""
_TIGHTEST = 1e-8


def suits(problem: Problem, settings: RunSettings) -> bool:
    """Say if a problem is solved here: few classes, a small float64 matrix in this process, by the gap."""
    values = problem.design.whole
    return (
        isinstance(problem.loss, Multinomial | Binomial)
        and values is not None
        and values.dtype == torch.float64
        and values.numel() <= VALUES
        and settings.stopping == "duality_gap"
        and settings.tol >= (_TIGHTEST if exact_hessians(problem) else _TOL)
        and not problem.penalty.grouped
        and thin(problem.loss.n_outputs, values)
    )


class CompactRun:
    """A path of a small problem; a :class:`SolverRun`.

    Args:
        problem: A problem that :func:`suits`.
        settings: Tolerance and budget.
        tuning: Thresholds.
        exact: Whether exact Newton steps are taken first, where they are the way to the tolerance.
    """

    def __init__(
        self, problem: Problem, settings: RunSettings, tuning: Tuning, *, exact: bool = True
    ) -> None:
        self._memory = Memory(problem, settings, tuning)
        self._tuning = tuning
        sharp = exact and can_sharpen(problem, settings.tol)
        self._sharpener = Sharpener(problem, settings.tol) if sharp else None

    @property
    def counters(self) -> Counters:
        """Work done so far."""
        return self._memory.counters

    def adopt(self, solution: Solution) -> None:
        """Take over a solution at a larger strength: a resumed path, or a warm start."""
        weights = np.concatenate([solution.intercept.numpy()[:, None], solution.weights.numpy()], 1)
        self._memory.remember(weights, solution.certificate, solution.lambda_)

    def solve(self, index: int, lambda_: float, tick: Tick) -> Solution:
        """Solve one strength, starting from what earlier strengths left."""
        memory = self._memory
        problem, tol = memory.problem, memory.settings.tol
        if self._sharpener is not None:
            older = None if memory.older is None else torch.from_numpy(memory.older[0])
            sharp = self._sharpener.ahead(torch.from_numpy(memory.weights), older, lambda_, tick)
            memory.counters.certificates += 1 + sharp.steps
            if sharp.certificate.gap <= tol or tol < _TOL:
                solution = sharp.solution(lambda_)
                if sharp.certificate.gap > tol:
                    solution = self._finely(index, solution, tick)
                self.adopt(solution)
                return solution
        start, answer, newest = self._start(lambda_)
        strength = CompactStrength(memory, lambda_, tick)
        weights = memory.entries.take(start)
        known = memory.entries.take(memory.gradient) if newest else None
        while True:
            # A step that leaves the range of floating point is refused like one that climbs.
            with np.errstate(over="ignore", invalid="ignore"):
                weights, answer = strength.improve(weights, answer, known)
            point = torch.from_numpy(memory.entries.spread(weights))
            memory.counters.certificates += 1
            certificate = certify(problem, point[:, 1:], point[:, 0], lambda_, tol)
            weights[memory.entries.feature == 0] = certificate.intercept.numpy()
            if certificate.gap <= tol or strength.spent:
                break
            weights, known = strength.admit(weights, certificate)
            answer = ExampleAnswers.of(certificate)
        reason = strength.reason(certificate.gap)
        solution = Solution(lambda_, point[:, 1:].clone(), certificate, strength.steps, reason)
        if reason != "gap":
            solution = rescue(problem, memory.settings, index, solution, tick)
        self.adopt(solution)
        return solution

    def _finely(self, index: int, start: Solution, tick: Tick) -> Solution:
        """The strength by float64 steps, from the best point that is known."""
        problem, settings, tuning = self._memory.problem, self._memory.settings, self._tuning
        run = WorkingSetRun(problem, settings, tuning, predict=True, couple=True, exact=False)
        run.adopt(start)
        return run.solve(index, start.lambda_, tick)

    def state(self) -> State:
        """See :class:`SolverRun`."""
        return self._memory.state() | ({} if self._sharpener is None else self._sharpener.state())

    def restore(self, saved: State) -> None:
        """See :class:`SolverRun`."""
        self._memory.restore(saved)
        if self._sharpener is not None:
            self._sharpener.restore(saved)

    def _start(self, lambda_: float) -> tuple[Float64, ExampleAnswers, bool]:
        """The start (C, p + 1) for a strength, and whether it is the newest point; puts entries to work."""
        memory, penalty = self._memory, self._memory.problem.penalty
        weights, answer, newest = memory.weights, memory.answer, True
        if memory.older is not None:
            older, older_logits = memory.older
            guess = 2.0 * weights - older
            guessed = memory.rows.answer(2.0 * answer.logits - older_logits)
            l1, l2 = penalty.l1(lambda_) * memory.factor, penalty.l2(lambda_) * memory.factor

            def value(point: Float64, loss: float) -> float:
                return loss + float(np.abs(point).sum(0) @ l1) + 0.5 * float(np.square(point).sum(0) @ l2)

            if value(guess, guessed.loss) < value(weights, answer.loss):
                weights, answer, newest = guess, guessed, False
        previous = max(lambda_, min(memory.lambda_, memory.problem.lambda_max))
        strong = np.abs(memory.gradient) >= penalty.l1(2.0 * lambda_ - previous) * memory.factor
        strong[:, 0] = True
        memory.require(strong | (weights != 0))
        return weights, answer, newest
