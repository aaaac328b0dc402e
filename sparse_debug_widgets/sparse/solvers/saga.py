"""Minibatch SAGA for the elastic-net path: Algorithm 1 of the paper, as matrix products.

The table holds one number per example and output, (C, n), never a gradient per example; the average gradient
is updated with every table entry, so the two agree at all times (``docs/methods/paths.md``). Kept beside the
paper's algorithm because they make it good:

- the table keeps mean responses: targets cancel in the differences that SAGA uses;
- rows are shuffled once and cut into contiguous blocks, whose order is drawn anew every epoch;
- epochs run over the features that strong rules admit; the certificate re-admits violators;
- every few epochs predictions, table and average gradient are refreshed at the current point and the
  intercept is set to its optimum; from there the gap over the active features costs nothing;
- the step is 1 / L(B), with the minibatch smoothness L(B) of the local Hessian (power iteration), never more
  than the global bound implies is safe, halved whenever the objective rises;
- guarded Anderson extrapolation over epochs, and a secant prediction from the last two strengths, both kept
  only if the objective falls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse.problem.certificate import Certificate, certify
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.solvers.anderson import Anderson
from sparse_debug_widgets.sparse.solvers.lipschitz import (
    LocalCurvature,
    expected_smoothness,
    gram_norm,
    row_norm,
)
from sparse_debug_widgets.sparse.solvers.screening import any_row, strong_entries, violating_entries
from sparse_debug_widgets.sparse.solvers.solver import RunSettings, Solution, State, Tick

_EPOCHS_PER_CHECK = 2
_CURVATURE_EVERY = 8
_LOOK_BEHIND = 5
_STALLED_CHECKS = 50
_ROUGH = 1e-4
_LARGE = 100_000
"""Epochs run in float32 for tolerances of at least _ROUGH on more values than this; certificates never do."""


class StepSizeWarning(UserWarning):
    """The step chosen by the user is longer than the smoothness of the loss allows."""


@dataclass(frozen=True)
class Saga:
    """Options of the SAGA solver.

    Attributes:
        batch_size: Rows per minibatch; by default as many as keep a block busy, at least 8 blocks an epoch.
        step: A fixed step for all strengths; by default the step follows from the smoothness.
        accelerate: Anderson extrapolation over epochs and secant prediction along the path.
        table_device: Where the table lives, for example "cpu" beside features on a GPU; by default with the
            features.
    """

    batch_size: int | None = None
    step: float | None = None
    accelerate: bool = True
    table_device: str | None = None

    name = "saga"
    groups = True
    needs_all_rows = True

    def begin(self, problem: Problem, settings: RunSettings, history: Sequence[Solution]) -> _SagaRun:
        """See :class:`~sparse_debug_widgets.sparse.solvers.solver.PathSolver`."""
        return _SagaRun(self, problem, settings, history)


@dataclass(eq=False)
class _View:
    """The active features' rows, and their smoothness."""

    rows: Tensor
    active: Tensor
    smooth: float
    smooth_single: float


@dataclass(eq=False)
class _Point:
    """An iterate over the active features, with what was computed from it."""

    weights: Tensor
    intercept: Tensor
    offsets: Tensor
    objective: float


class _SagaRun:
    """SAGA at work on one problem; see :class:`~sparse_debug_widgets.sparse.solvers.solver.SolverRun`."""

    def __init__(
        self, options: Saga, problem: Problem, settings: RunSettings, history: Sequence[Solution]
    ) -> None:
        self._options = options
        self._problem = problem
        self._settings = settings
        self._history = list(history)[-2:]
        design, loss = problem.design, problem.loss
        rough = settings.tol >= _ROUGH and design.n * design.p > _LARGE
        self._dtype = torch.float32 if rough else design.dtype
        self._curvature = LocalCurvature((loss.n_outputs, design.p), self._dtype, design.device)
        self._view: _View | None = None
        self._warned = False
        batch = options.batch_size or min(256, max(32, math.ceil(loss.n / 8)))
        blocks = math.ceil(loss.n / min(batch, loss.n))
        self._edges = np.linspace(0, loss.n, blocks + 1).astype(int).tolist()
        self._batch = math.ceil(loss.n / blocks)

    # -- one strength ------------------------------------------------------------------------------------

    def solve(self, index: int, lambda_: float, tick: Tick) -> Solution:
        """Solve one strength, starting from what earlier strengths left."""
        problem, settings = self._problem, self._settings
        weights, intercept, active = self._start(lambda_)
        rng = generator(settings.seed, "saga", index)
        aim, epochs = settings.tol, 0
        while True:
            reason = "gap"
            if bool(active.any()):
                view = self._look_at(active)
                inner = _Inner(self, view, lambda_, aim, settings.max_epochs - epochs)
                point, used, reason = inner.run(weights[:, view.active], intercept, rng, tick)
                epochs += used
                weights = torch.zeros_like(weights)
                weights[:, view.active] = point.weights.double()
                intercept = point.intercept
            tick()
            certificate = certify(problem, weights, intercept, lambda_, settings.tol)
            intercept = certificate.intercept
            if settings.stopping == "duality_gap" and certificate.gap <= settings.tol:
                reason = "gap"
                break
            new = any_row(violating_entries(certificate.gradient, problem.penalty, lambda_)) & ~active
            if epochs >= settings.max_epochs:
                reason = "max_epochs"
                break
            if bool(new.any()):
                active = active | new
            elif reason != "gap":
                break
            else:
                aim *= 0.3
        return self._remember(Solution(lambda_, weights, certificate, epochs, reason))

    def state(self) -> State:
        """See :class:`~sparse_debug_widgets.sparse.solvers.solver.SolverRun`."""
        state: dict[str, npt.NDArray[Any]] = {}
        for place, solution in enumerate(self._history):
            held = {"weights": solution.weights, "intercept": solution.intercept}
            held["gradient"] = solution.certificate.gradient
            state |= {f"{name}_{place}": tensor.cpu().numpy() for name, tensor in held.items()}
        state["lambdas"] = np.array([solution.lambda_ for solution in self._history])
        state["curvature"], state["fresh"] = self._curvature.state()
        return state

    def restore(self, saved: State) -> None:
        """See :class:`~sparse_debug_widgets.sparse.solvers.solver.SolverRun`."""
        device = self._problem.design.device
        self._history = []
        for place, lambda_ in enumerate(saved["lambdas"].tolist()):
            names = ("weights", "intercept", "gradient")
            held = (saved[f"{name}_{place}"] for name in names)
            weights, intercept, gradient = (torch.from_numpy(array).clone().to(device) for array in held)
            empty = torch.empty(0, dtype=torch.float32)
            # Only where the point lies and how it slopes is read again.
            certificate = Certificate(intercept, *4 * (math.nan,), empty, empty, gradient, empty)
            self._history.append(Solution(lambda_, weights, certificate, 0, "gap"))
        self._curvature.restore(saved["curvature"], saved["fresh"])

    def _start(self, lambda_: float) -> tuple[Tensor, Tensor, Tensor]:
        """Start point (C, p), (C,) and active features (p,) for a strength."""
        problem = self._problem
        if not self._history:
            weights = torch.zeros_like(problem.null_gradient)
            intercept, gradient = problem.null_intercept, problem.null_gradient
            previous = max(lambda_, problem.lambda_max)
        else:
            last = self._history[-1]
            weights, intercept, gradient = last.weights, last.intercept, last.certificate.gradient
            previous = max(lambda_, last.lambda_)
        entries = strong_entries(gradient, problem.penalty, lambda_, previous) | (weights != 0)
        if self._options.accelerate and len(self._history) == 2:
            older = self._history[0]
            guess = 2 * weights - older.weights
            guess_intercept = 2 * intercept - older.intercept
            new = problem.objective(guess, guess_intercept, lambda_)
            if new < problem.objective(weights, intercept, lambda_):
                weights, intercept = guess, guess_intercept
                entries = entries | (weights != 0)
        return weights, intercept, any_row(entries)

    def _remember(self, solution: Solution) -> Solution:
        self._history = [*self._history[-1:], solution]
        return solution

    def _look_at(self, active: Tensor) -> _View:
        """The rows of the active features, row-major; kept while the active features stay the same."""
        if self._view is not None and torch.equal(self._view.active, active):
            return self._view
        design, loss = self._problem.design, self._problem.loss
        rows = design.gather(active).to(self._dtype).T.contiguous()
        smooth = loss.curvature * gram_norm(rows, loss.weights)
        self._view = _View(rows, active, smooth, loss.curvature * row_norm(rows, loss.weights))
        return self._view

    def step(self, view: _View, response: Tensor) -> float:
        """Step length at a point: 1 / L(B) with the local Hessian, or what the user asked for."""
        loss = self._problem.loss
        local = view.smooth
        if not loss.quadratic:
            local = min(view.smooth, 1.1 * self._curvature.estimate(loss, view.rows, view.active, response))
        share = local / view.smooth if view.smooth > 0 else 1.0
        if self._options.step is not None:
            self._check_step(view)
            return self._options.step
        bound = expected_smoothness(local, share * view.smooth_single, loss.n, self._batch)
        return 1.0 / max(bound, 1e-30)

    def _check_step(self, view: _View) -> None:
        step = self._options.step
        if step is not None and step * view.smooth > 1.0 and not self._warned:
            self._warned = True
            notice(
                f"step={step:g} is longer than 1/L = {1.0 / view.smooth:g}, L the smoothness of the loss "
                f"over {view.rows.shape[1]} features: SAGA may diverge. Leave step=None to have it chosen.",
                StepSizeWarning,
            )


class _Inner:
    """Epochs of one strength over a fixed set of active features."""

    def __init__(self, run: _SagaRun, view: _View, lambda_: float, aim: float, budget: int) -> None:
        self._run = run
        self._problem = run._problem
        self._settings = run._settings
        self._accelerate = run._options.accelerate
        self._edges = run._edges
        self._view = view
        self._penalty = run._problem.penalty.restricted(view.active)
        self._lambda = lambda_
        self._aim = 0.9 * aim
        self._budget = budget
        self._shorten = 1.0
        # Relative rounding noise of an objective computed from the stored precision.
        self._noise = 1e-12 if view.rows.dtype == torch.float64 else 2e-7

    def run(
        self, weights: Tensor, intercept: Tensor, rng: np.random.Generator, tick: Tick
    ) -> tuple[_Point, int, str]:
        """Iterate until the stopping rule holds or the budget is spent.

        Returns:
            The point, the epochs used, and why it stopped ("gap", "rule", "max_epochs", "stalled").
        """
        dtype = self._view.rows.dtype
        point = self._at(weights.to(dtype), intercept)
        anderson, epochs, checks, step = Anderson(10), 0, 0, 0.0
        best, lowest, since_best, values = math.inf, math.inf, 0, [point.objective]
        while True:
            point, response, gradient, gap = self._refresh(point)
            if self._settings.stopping == "duality_gap" and gap <= self._aim:
                return point, epochs, "gap"
            if epochs >= self._budget:
                return point, epochs, "max_epochs"
            fell = gap < 0.999 * best or point.objective < lowest * (1.0 - self._noise)
            since_best = 0 if fell else since_best + 1
            best, lowest = min(best, gap), min(lowest, point.objective)
            if since_best >= _STALLED_CHECKS and self._settings.stopping == "duality_gap":
                return point, epochs, "stalled"
            if checks % _CURVATURE_EVERY == 0:
                step = self._run.step(self._view, response)
            checks += 1
            end = self._epochs(point, response, gradient, step * self._shorten, rng, tick)
            epochs += _EPOCHS_PER_CHECK
            end, moved = self._guard(point, end, anderson)
            values.append(end.objective)
            if self._rule(moved, values):
                return end, epochs, "rule"
            point = end

    def _rule(self, moved: float, values: list[float]) -> bool:
        """The paper's two stopping rules."""
        if self._settings.stopping == "coefficient_change":
            return moved <= self._settings.tol * _EPOCHS_PER_CHECK
        if self._settings.stopping == "look_behind" and len(values) > _LOOK_BEHIND:
            return min(values[:-_LOOK_BEHIND]) - min(values[-_LOOK_BEHIND:]) <= self._settings.tol
        return False

    def _at(self, weights: Tensor, intercept: Tensor) -> _Point:
        offsets = weights @ self._view.rows.T
        value = self._problem.loss.mean(offsets + intercept.to(offsets.dtype)[:, None])
        value += self._penalty.value(weights, self._lambda)
        return _Point(weights, intercept, offsets, value)

    def _refresh(self, point: _Point) -> tuple[_Point, Tensor, Tensor, float]:
        """Optimal intercept, mean responses, gradient (C, a) and relative gap over the active features."""
        loss, penalty = self._problem.loss, self._penalty
        intercept = loss.optimise_intercept(point.offsets.double(), point.intercept, 1e-9)
        logits = point.offsets + intercept.to(point.offsets.dtype)[:, None]
        response = loss.mean_response(logits)
        residuals = loss.subtract_targets(response.clone())
        gradient = loss.weigh(residuals) @ self._view.rows / loss.n
        primal = loss.mean(logits) + penalty.value(point.weights, self._lambda)
        dual = 0.0
        wide = gradient.double()
        for scale in (1.0, penalty.feasible_scale(wide, self._lambda)):
            conjugates = float(loss.average(loss.conjugates(residuals.double(), scale)))
            dual = max(dual, conjugates - penalty.conjugate(wide, scale, self._lambda))
        gap = (primal - dual) / max(min(primal, self._problem.null_objective), 1e-300)
        return _Point(point.weights, intercept, point.offsets, primal), response, gradient, gap

    def _epochs(
        self,
        start: _Point,
        table: Tensor,
        average: Tensor,
        step: float,
        rng: np.random.Generator,
        tick: Tick,
    ) -> _Point:
        """SAGA epochs from a refreshed point; ``table`` and ``average`` are updated in place."""
        loss, penalty, rows = self._problem.loss, self._penalty, self._view.rows
        weights = start.weights
        bias = start.intercept.to(weights.dtype)
        average_bias = torch.zeros_like(bias)
        sample = None if loss.weights is None else loss.weights.to(rows.dtype)
        edges, home = self._edges, rows.device
        table = table.to(self._run._options.table_device or home)
        for _ in range(_EPOCHS_PER_CHECK):
            for block in rng.permutation(len(edges) - 1).tolist():
                tick()
                low, high = edges[block], edges[block + 1]
                part = rows[low:high]
                response = loss.mean_response(torch.addmm(bias[:, None], weights, part.T))
                change = response - table[:, low:high].to(home)
                if sample is not None:
                    change *= sample[low:high]
                table[:, low:high] = response
                slope, slope_bias = change @ part, change.sum(1)
                size = high - low
                direction = torch.add(average, slope, alpha=1.0 / size)
                weights = penalty.prox(torch.sub(weights, direction, alpha=step), step, self._lambda)
                bias = bias - step * (average_bias + slope_bias / size)
                average.add_(slope, alpha=1.0 / loss.n)
                average_bias.add_(slope_bias, alpha=1.0 / loss.n)
        return self._at(weights, bias.double())

    def _guard(self, start: _Point, end: _Point, anderson: Anderson) -> tuple[_Point, float]:
        """Keep what lowers the objective: the extrapolation, the epochs' end, or the start again."""
        before = torch.cat([start.weights, start.intercept.to(start.weights.dtype)[:, None]], 1)
        after = torch.cat([end.weights, end.intercept.to(end.weights.dtype)[:, None]], 1)
        moved = float((after - before).norm())
        rose = not end.objective <= start.objective * (1.0 + self._noise)
        if rose and self._run._options.step is None:
            self._shorten *= 0.5
        if not self._accelerate:
            return end, moved
        proposal = anderson.extrapolate(before, after)
        if proposal is not None:
            # Weights that the prox has just set to zero stay zero.
            weights = torch.where(end.weights == 0, 0.0, proposal[:, :-1])
            candidate = self._at(weights, proposal[:, -1].double())
            if candidate.objective < min(end.objective, start.objective):
                return candidate, moved
        if rose:
            anderson.reset()
            return start, moved
        return end, moved


def stop_reason_text(certificate: Certificate, reason: str, tol: float) -> str:
    """One phrase for a person: what ended the work on a strength."""
    texts = {
        "gap": f"gap {certificate.gap:.1e} reached the tolerance {tol:g}",
        "rule": f"the stopping rule held at gap {certificate.gap:.1e}",
        "max_epochs": f"max_epochs spent at gap {certificate.gap:.1e}",
        "stalled": f"neither gap nor objective fell any more, at gap {certificate.gap:.1e}",
    }
    return texts[reason]
