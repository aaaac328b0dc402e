"""The solver's options and the name it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.solvers.sharpen import exact_hessians
from sparse_debug_widgets.sparse.solvers.solver import TIGHT, USUAL, Effort, RunSettings, Solution, SolverRun
from sparse_debug_widgets.sparse.solvers.working_set import compact, squared_error
from sparse_debug_widgets.sparse.solvers.working_set.compact import CompactRun
from sparse_debug_widgets.sparse.solvers.working_set.engine import WorkingSetRun
from sparse_debug_widgets.sparse.solvers.working_set.tuning import Tuning


@dataclass(frozen=True)
class WorkingSet:
    """Options of the working-set solver; ``docs/methods/solver.md`` says what it does.

    Attributes:
        predict: Whether a strength starts from the secant through the two strengths before.
        couple: Whether coupled Newton steps alternate with block steps.
        batched: Whether the CPU takes the way that a GPU takes: the classes' models in padded batches, solved
            by accelerated proximal steps, instead of one by one by compiled coordinate descent.
        compact: Whether small problems with few classes take their own way, of compiled loops alone.
        exact: Whether tight tolerances are reached with exact Hessians, where these are small.
        tuning: Thresholds; they change the speed, never what is certified.
    """

    predict: bool = True
    couple: bool = True
    batched: bool = False
    compact: bool = True
    # Not in the repr, by which checkpoints of earlier versions know their solver.
    exact: bool = field(default=True, repr=False)
    tuning: Tuning = field(default_factory=Tuning)

    name = "working_set"
    effort = Effort(products=14.0, overhead=2e-3, tight=True, single=True, grams=True)

    def tolerance(self, problem: Problem) -> float:
        """The gap that ``tol="auto"`` asks for: tight where exact Hessians are cheap."""
        whole = problem.design.whole
        small = (
            self.exact and exact_hessians(problem) and whole is not None and whole.numel() <= compact.VALUES
        )
        small = small or squared_error.from_gram(problem)
        return TIGHT if small and not self.batched else USUAL

    def begin(self, problem: Problem, settings: RunSettings, history: Sequence[Solution]) -> SolverRun:
        """See :class:`~sparse_debug_widgets.sparse.solvers.solver.PathSolver`."""
        if squared_error.suits(problem, settings) and not self.batched:
            return squared_error.begin(problem, settings, history)
        run: CompactRun | WorkingSetRun
        plain = self.predict and self.couple and not self.batched
        fine = self.exact or settings.tol >= TIGHT
        if self.compact and fine and plain and compact.suits(problem, settings):
            run = CompactRun(problem, settings, self.tuning, exact=self.exact)
        else:
            ways = {"predict": self.predict, "couple": self.couple, "batched": self.batched}
            ways["exact"] = self.exact
            run = WorkingSetRun(problem, settings, self.tuning, **ways)
        for solution in list(history)[-2:]:
            run.adopt(solution)
        return run
