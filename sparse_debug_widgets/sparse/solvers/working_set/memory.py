"""The memory of a working-set run, from one strength to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set.batched_grams import BatchedGrams
from sparse_debug_widgets.sparse.solvers.working_set.class_models import ClassModels
from sparse_debug_widgets.sparse.solvers.working_set.coupled import CoupledGram
from sparse_debug_widgets.sparse.solvers.working_set.grams import Grams
from sparse_debug_widgets.sparse.solvers.working_set.point import Point, Points
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import BlockPreconditioner
from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows
from sparse_debug_widgets.sparse.solvers.working_set.tuning import Tuning

_WIDE = 400_000
"""Up to this many logits they are kept in float64."""
_SEARCHED = 1_000_000
"""Up to this many logits a certificate on the way searches for the best dual scale."""
_LARGE = 1 << 26
"""Bytes of features and per-example arrays from which on freed memory is given back after every strength."""
_ARRAYS = 10
"""Float64 arrays of all classes and examples, and a quarter of the features, that may lie idle in between."""
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


class Memory:
    """The problem, the models of it, and the last two points of the path.

    Args:
        problem: The problem.
        settings: Tolerance, budget, stopping rule.
        tuning: Thresholds.
        couple: Whether coupled Newton steps alternate with block steps.
        batched: Whether the classes' models are solved in batches on the CPU too.

    Attributes:
        trail: Weights and logits of up to two strengths, the newest last.
        point: The newest point.
        gradient: Its gradient (C, p).
        lambda_: Its strength.
        large: Whether freed memory is worth giving back.
        spare: Bytes of it that may lie idle.
        searches: Whether certificates on the way search for the best dual scale.
        proves: Whether certificates on the way are those that are recorded: where float64 costs little more,
            that is cheaper than a quick one followed, nearly always, by the other.
    """

    def __init__(
        self, problem: Problem, settings: RunSettings, tuning: Tuning, *, couple: bool, batched: bool
    ) -> None:
        self.problem = problem
        self.settings = settings
        self.tuning = tuning
        self.batched = batched
        self.couple = couple and not problem.loss.quadratic
        self.counters = Counters()
        design, loss = problem.design, problem.loss
        exact = settings.tol < _EXACT
        self.source = design if exact else design.working(torch.float32)
        self._weigh_up(exact=exact)
        self.noise = 1e-10 if self.source.dtype == torch.float64 else 2e-7
        self.factor = torch.ones(design.p + 1, dtype=torch.float64, device=design.device)
        self.factor[0] = 0.0
        if problem.penalty.factors is not None:
            self.factor[1:] = problem.penalty.factors
        self.points = Points(problem, self.factor, self.source.dtype)
        self.rows = WorkingRows(self.source)
        models = BatchedGrams if batched or design.device.type != "cpu" else Grams
        self.grams: ClassModels = models(loss.n_outputs, self.source)
        self.coupled = CoupledGram()
        self.preconditioner: BlockPreconditioner | None = None
        self.last_products = 0
        self.trail: list[tuple[Tensor, Tensor]] = []
        self.gradient = problem.null_gradient
        self.lambda_ = math.inf
        self.point = self._null()

    def _weigh_up(self, *, exact: bool) -> None:
        """Settle what depends on how large the problem is and on where its features are."""
        design, loss = self.problem.design, self.problem.loss
        whole, logits = design.whole, loss.n * loss.n_outputs
        here = whole is not None and whole.device.type == "cpu" and whole.dtype == design.dtype
        self.proves = here or design.dtype == torch.float64
        self.searches = logits <= _SEARCHED
        self.wide = torch.float64 if exact or logits <= _WIDE else torch.float32
        self.large = 4 * loss.n_local * (design.p + 8 * loss.n_outputs) >= _LARGE
        # Features in a file are read within a budget, in which idle memory counts.
        self.spare = loss.n_local * (design.p + 8 * _ARRAYS * loss.n_outputs) if whole is not None else 0

    def _null(self) -> Point:
        loss, design = self.problem.loss, self.problem.design
        weights = torch.zeros(loss.n_outputs, design.p + 1, dtype=torch.float64, device=design.device)
        weights[:, 0] = self.problem.null_intercept
        return self.points.at(weights, weights[:, :1].expand(-1, loss.n_local).to(self.wide).contiguous())

    def remember(self, point: Point, gradient: Tensor, lambda_: float) -> None:
        """Note the point that a strength ended with, and its gradient."""
        self.trail = [*self.trail[-1:], (point.weights, point.logits)]
        self.point, self.gradient, self.lambda_ = point, gradient, lambda_
