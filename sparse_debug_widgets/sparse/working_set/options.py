"""The solver's options and the name it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sparse_debug_widgets.sparse.objective import Problem
from sparse_debug_widgets.sparse.solver import RunSettings, Solution, SolverRun
from sparse_debug_widgets.sparse.working_set import compact, squared_error
from sparse_debug_widgets.sparse.working_set.compact import CompactRun
from sparse_debug_widgets.sparse.working_set.engine import WorkingSetRun
from sparse_debug_widgets.sparse.working_set.tuning import Tuning


@dataclass(frozen=True)
class WorkingSet:
    """Options of the working-set solver; see the room's README for what it does.

    Attributes:
        predict: Whether a strength starts from the secant through the two strengths before.
        couple: Whether coupled Newton steps alternate with block steps.
        batched: Whether the CPU takes the way that a GPU takes: the classes' models in padded batches, solved
            by accelerated proximal steps, instead of one by one by compiled coordinate descent.
        compact: Whether small problems with few classes take their own way, of compiled loops alone.
        tuning: Thresholds; they change the speed, never what is certified.
    """

    predict: bool = True
    couple: bool = True
    batched: bool = False
    compact: bool = True
    tuning: Tuning = field(default_factory=Tuning)

    name = "working_set"

    def begin(self, problem: Problem, settings: RunSettings, history: Sequence[Solution]) -> SolverRun:
        """See :class:`~sparse_debug_widgets.sparse.solver.PathSolver`."""
        if squared_error.suits(problem, settings) and not self.batched:
            return squared_error.begin(problem, settings, history)
        run: CompactRun | WorkingSetRun
        plain = self.predict and self.couple and not self.batched
        if self.compact and plain and compact.suits(problem, settings):
            run = CompactRun(problem, settings, self.tuning)
        else:
            ways = {"predict": self.predict, "couple": self.couple, "batched": self.batched}
            run = WorkingSetRun(problem, settings, self.tuning, **ways)
        for solution in list(history)[-2:]:
            run.adopt(solution)
        return run
