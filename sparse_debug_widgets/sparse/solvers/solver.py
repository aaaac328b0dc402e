"""The interface of a path solver, behind ``elastic_net_path(..., solver=...)``.

A *path solver* is a small frozen object that holds its options (``Saga(batch_size=512)``). ``begin`` turns it
into a *run* for one problem; the run keeps whatever it likes over the strengths of a path (tables, Gram
matrices, predictors, screening) and solves one strength after the other, largest first. All data goes
through :class:`~sparse_debug_widgets.sparse.problem.objective.Problem`, so a solver never knows whether the
rows are in memory, on a GPU, or shared out over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.problem.nearness import Nearness
from sparse_debug_widgets.sparse.problem.objective import Problem

STOPPING_RULES = ("duality_gap", "coefficient_change", "look_behind")

USUAL = 1e-3
"""The gap that ``tol="auto"`` means where a tighter one costs much more."""
TIGHT = 1e-5
"""Where that costs little: tolerances up to this one are reached with exact Hessians, if these are small."""
FINEST = 1e-13
"""The finest relative gap that can be proved: differences of objectives in float64 are rounded below that."""

State = Mapping[str, npt.NDArray[Any]]
"""What a run knows between two strengths, as arrays that can be stored."""

Tick = Callable[[], None]
"""Called at least once per minibatch; raises :class:`core.progress.Cancelled` to stop."""


@dataclass(frozen=True)
class Effort:
    """The cost of a fit, roughly, for what is said before one starts; a solver has it as ``effort``.

    Attributes:
        products: Products with all data that a strength takes at tolerance 1e-3, measured on deep features.
        overhead: Seconds that a strength takes at least, whatever the size.
        tight: Small problems are solved to :data:`TIGHT` where ``tol`` is "auto".
        single: Works on float32 copies of the features in use, whatever the size.
        grams: Keeps a Gram matrix of the features in use for each output.
    """

    products: float = 60.0
    overhead: float = 6e-3
    tight: bool = False
    single: bool = False
    grams: bool = False


def effort_of(solver: PathSolver) -> Effort:
    """The cost that a solver says it has; one that says nothing is taken for a slow one."""
    said: Effort = getattr(solver, "effort", Effort())
    return said


@dataclass(frozen=True)
class RunSettings:
    """The settings that every solver gets.

    Attributes:
        tol: Relative duality gap to reach (or the tolerance of the other stopping rules).
        max_epochs: Passes over the data that one strength may take.
        stopping: One of :data:`STOPPING_RULES`.
        seed: Seed of everything random.
    """

    tol: float
    max_epochs: int
    stopping: str = "duality_gap"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Solution:
    """One point of the path.

    Attributes:
        lambda_: Strength.
        weights: (C, p) float64, standardised units, with exact zeros.
        certificate: What is proved about it; also holds the intercept.
        iterations: Passes over the data (or outer steps) it took.
        reason: Why the solver stopped: "gap", "rule", "max_epochs" or "stalled".
        nearness: What was proved about the weights on the way, or None.
    """

    lambda_: float
    weights: Tensor
    certificate: Certificate
    iterations: int
    reason: str
    nearness: Nearness | None = None

    @property
    def intercept(self) -> Tensor:
        """The optimal intercept (C,) for these weights."""
        return self.certificate.intercept


class SolverRun(Protocol):
    """A path solver at work on one problem."""

    def solve(self, index: int, lambda_: float, tick: Tick) -> Solution:
        """Solve one strength, starting from what earlier strengths left.

        Args:
            index: Position on the path; it names the random stream, so that a resumed path repeats.
            lambda_: Strength, smaller than all before.
            tick: To be called at least once per minibatch.
        """
        ...

    def state(self) -> State:
        """Everything that decides what the run does next, beside the problem and the settings."""
        ...

    def restore(self, saved: State) -> None:
        """Go on where the run stopped whose state this is, bit by bit as that one would have."""
        ...


class PathSolver(Protocol):
    """A solver with its options."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    def begin(self, problem: Problem, settings: RunSettings, history: Sequence[Solution]) -> SolverRun:
        """Set up a run.

        Args:
            problem: The problem.
            settings: Tolerance, budget, stopping rule, seed.
            history: Up to two solutions at larger strengths, newest last: a resumed path, or a warm start.
        """
        ...
