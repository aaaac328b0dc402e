"""The memory of a run over a small problem, from one strength to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.row_source import Indices
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Entries, Float64, Mask
from sparse_debug_widgets.sparse.solvers.working_set.compact.models import ClassModels, CoupledModel
from sparse_debug_widgets.sparse.solvers.working_set.compact.newton import Preconditioner
from sparse_debug_widgets.sparse.solvers.working_set.compact.rows import ExampleAnswers, Rows
from sparse_debug_widgets.sparse.solvers.working_set.memory import Counters
from sparse_debug_widgets.sparse.solvers.working_set.tuning import Tuning

_LIMIT, _MOST, _WORK = 400, 800, 4e9
"""See :mod:`working_set.coupled`."""
_CROWD, _SPARE = 1.4, 16

Arrays = dict[str, npt.NDArray[np.generic]]


class Memory:
    """The problem, the entries at work, the models over them, and the last two points of the path.

    Args:
        problem: The problem.
        settings: Tolerance and budget.
        tuning: Thresholds.

    Attributes:
        factor: Penalty factors (p + 1,), 0 for the intercept.
        entries: The entries at work: gradients are computed for them.
        modelled: Those of them that the models cover: only they move.
        weights: Newest weights (C, p + 1).
        answer: What the examples answer to them.
        gradient: Their gradient (C, p + 1), 0 for intercepts.
        older: Weights and logits of the strength before, if there is one.
        lambda_: The newest strength.
    """

    def __init__(self, problem: Problem, settings: RunSettings, tuning: Tuning) -> None:
        self.problem, self.settings, self.tuning = problem, settings, tuning
        self.counters = Counters()
        self.rows = Rows(problem)
        classes, width = problem.loss.n_outputs, problem.design.p + 1
        self.factor = np.ones(width)
        self.factor[0] = 0.0
        if problem.penalty.factors is not None:
            self.factor[1:] = problem.penalty.factors.numpy()
        self.entries = self.modelled = Entries(np.arange(classes) * width, classes, width)
        self.coupled = CoupledModel()
        self.models = ClassModels(classes, problem.design.n)
        self.preconditioner: Preconditioner | None = None
        self.last_products = 0
        self.weights = np.zeros((classes, width))
        self.weights[:, 0] = problem.null_intercept.numpy()
        self.answer = self.rows.answer(np.repeat(self.weights[:, :1], self.rows.n, 1))
        self.gradient = self.with_intercept(problem.null_gradient)
        self.older: tuple[Float64, Float64] | None = None
        self.lambda_ = math.inf
        self._known = False

    def with_intercept(self, gradient: Tensor) -> Float64:
        """A gradient (C, p) at an optimal intercept, as (C, p + 1)."""
        out = np.zeros((gradient.shape[0], gradient.shape[1] + 1))
        out[:, 1:] = gradient.numpy()
        return out

    def couples(self) -> bool:
        """Say whether one model over all entries modelled is small enough."""
        count, n = len(self.modelled), self.rows.n
        return count <= max(_LIMIT, min(_MOST, n // 8)) and count * count * n <= _WORK

    def require(self, wanted: Mask) -> None:
        """Put entries (C, p + 1) to work, beside those that are modelled."""
        self.entries = Entries.of(wanted | self.modelled.mask)

    def model(self, near: Mask) -> Indices:
        """Have the models cover the entries at work where a mask (e,) holds; drop others if they are many.

        Returns:
            Places (a,) of the entries modelled among those at work.
        """
        if len(self.modelled) > _CROWD * int(near.sum()) + _SPARE:
            place = self.entries.place[self.modelled.flat]
            kept = near[place] | (self.modelled.feature == 0)
            self.models.keep(self.modelled, kept)
            self.modelled = self.modelled.chosen(kept)
        self.modelled = self.modelled.grown(self.entries.chosen(near).mask)
        return self.entries.place[self.modelled.flat]

    def remember(self, weights: Float64, certificate: Certificate, lambda_: float) -> None:
        """Note the point (C, p + 1) that a strength ended with."""
        self.older = (self.weights, self.answer.logits) if self._known else None
        self.weights, self.answer = weights, ExampleAnswers.of(certificate)
        self.gradient, self.lambda_, self._known = self.with_intercept(certificate.gradient), lambda_, True

    def state(self) -> Arrays:
        """Return the state from which another run repeats this one bit by bit.

        What the general way knows too has the name that it has there, so that either can go on, though not
        bit by bit, from the other's states: a process without compiled loops takes that way.
        """
        answer, weights = self.answer, self.weights
        norms = [float(np.abs(weights).sum(0) @ self.factor), float(np.square(weights).sum(0) @ self.factor)]
        state: Arrays = {
            "weights": weights,
            "logits": answer.logits,
            "response": answer.response,
            "gradient": self.gradient[:, 1:],
            "numbers": np.array([self.lambda_, answer.loss, *norms, self.last_products]),
            "known": np.array([int(self._known) + (self.older is not None)]),
            "modelled": self.modelled.flat,
        }
        if self.older is not None:
            state["older_weights"], state["older_logits"] = self.older
        if self.preconditioner is not None:
            made = self.preconditioner
            state |= {"inverse": made.inverse, "inverse_flat": made.flat, "inverse_scale": made.scale}
        return state | self.coupled.state() | self.models.state()

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Make a fresh memory that of a state."""

        def array(name: str) -> Float64:
            return np.array(state[name], np.float64)

        self.lambda_, loss, *_, products = array("numbers").tolist()
        self.answer = ExampleAnswers(array("logits"), np.array(state["response"], np.float32), loss)
        self.weights, self.gradient[:, 1:] = array("weights"), array("gradient")
        self._known = int(array("known")[0]) > 0
        self.older = None
        if "older_weights" in state:
            self.older = array("older_weights"), array("older_logits")
        if "modelled" not in state:
            return
        self.last_products = int(products)
        self.modelled = Entries(np.array(state["modelled"], np.int64), *self.weights.shape)
        if "inverse" in state:
            inverse = np.array(state["inverse"], np.float32)
            places = np.array(state["inverse_flat"], np.int64)
            self.preconditioner = Preconditioner(inverse, places, array("inverse_scale"))
        self.coupled.restore(state)
        self.models.restore(state)
