"""One strength at work: block steps find the support, coupled Newton steps polish on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.solvers.solver import Tick
from sparse_debug_widgets.sparse.solvers.working_set.memory import Memory
from sparse_debug_widgets.sparse.solvers.working_set.newton import newton_step
from sparse_debug_widgets.sparse.solvers.working_set.point import Point, Strengths, View

_MAX_DAMPING = 4.0


class Strength:
    """The work on one strength.

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
        self._ruled = False
        self._losses: list[float] = []
        self._strengths: Strengths | None = None
        self.steps = 0

    @property
    def spent(self) -> bool:
        """True if the budget, the patience or the paper's stopping rule ends the work."""
        budget = self._memory.settings.max_epochs
        return self._ruled or self._stalls >= self._memory.tuning.stalls or self.steps >= budget

    def accepts(self, gap: float) -> bool:
        """Say whether the work ends with this certified gap."""
        return self.spent or (gap <= self._memory.settings.tol and self._by_gap)

    def reason(self, gap: float) -> str:
        """Return the reason why the work ended."""
        if self._ruled:
            return "rule"
        if gap <= self._memory.settings.tol:
            return "gap"
        return "max_epochs" if self.steps >= self._memory.settings.max_epochs else "stalled"

    @property
    def _by_gap(self) -> bool:
        return self._memory.settings.stopping == "duality_gap"

    def improve(self, point: Point, gradient: Tensor | None) -> Point:
        """Take steps until the point should pass its certificate, or the work is spent.

        Args:
            point: Start.
            gradient: Its gradient (C, m + 1) over the features at work, if it is known.
        """
        while not self.spent:
            view = self._look(point, gradient)
            if self._by_gap and view.measure <= self._aim * view.floor:
                break
            moved, expected = self._step(view)
            if moved is None:
                gradient = view.gradient
                continue
            self._apply_rule(view, moved)
            point, gradient = moved, None
            if self._by_gap and expected <= self._aim * view.floor:
                break
        return point

    def admit(self, point: Point, certificate: Certificate) -> Tensor:
        """Go on after a certificate that failed: put violators to work, or aim lower.

        Returns:
            The gradient (C, m + 1) over the features at work.
        """
        rows, gap, gradient = self._memory.rows, certificate.gap, certificate.gradient
        self._stalls += gap > 0.7 * self._best
        self._best = min(gap, self._best)
        violating = (gradient.abs() > self._l1 * self._memory.factor[1:]) & (point.weights[:, 1:] == 0)
        missing = violating.any(0) & (rows.position[1:] < 0)
        if bool(missing.any()):
            self._strengths = None
            rows.require(missing | (rows.position[1:] >= 0))
        else:
            self._aim *= 0.5
        return rows.local(torch.cat([torch.zeros_like(gradient[:, :1]), gradient], 1))

    def _look(self, point: Point, gradient: Tensor | None) -> View:
        memory, rows = self._memory, self._memory.rows
        if gradient is None:
            gradient = rows.gradient(memory.points.residuals(point))
        if self._strengths is None or len(self._strengths.l1) != len(rows.columns):
            self._strengths = Strengths.of(self._l1, self._l2, memory.factor[rows.columns])
        strengths = self._strengths
        weights = rows.local(point.weights)
        residual = strengths.residual(weights, gradient)
        objective = point.objective(self._l1, self._l2)
        floor = min(objective, memory.problem.null_objective)
        measure = strengths.measure(residual, objective)
        return View(point, weights, gradient, residual, strengths, objective, floor, measure)

    def _step(self, view: View) -> tuple[Point | None, float]:
        """One step; None if it did not lower the objective. Also the optimality measure it should reach."""
        self._tick()
        self.steps += 1
        small = None if self._newton_next else self._small(view)
        newton, self._newton_next = self._newton_next, self._memory.couple and not self._newton_next
        expected = math.inf
        if small is not None:
            new, change = small
            self._newton_next = False
        elif newton:
            new, change, expected = self._newton(view)
        else:
            new, change = self._block(view)
        moved, size = self._search(view, new, change, 3 if newton else 12)
        if not newton and size < 1.0:
            self._damping = min(_MAX_DAMPING, 1.5 * self._damping)
            self._memory.grams.stale[:] = True
            self._memory.coupled.stale = True
        if moved is None:
            self._stalls += 1
        return moved, expected if size == 1.0 else math.inf

    def _search(self, view: View, new: Tensor, change: Tensor, tries: int) -> tuple[Point | None, float]:
        """The longest of the steps 1, 1/2, 1/4, ... that does not raise the objective beyond rounding."""
        memory, size = self._memory, 1.0
        change = change.to(memory.wide)
        for _ in range(tries):
            trial = view.point.weights.clone()
            trial[:, memory.rows.columns] = new if size == 1.0 else view.weights + size * (new - view.weights)
            logits = recycled.empty_like(view.point.logits)
            torch.add(view.point.logits, change, alpha=size, out=logits)
            point = memory.points.at(trial, logits)
            value = point.objective(self._l1, self._l2)
            if value <= view.objective + memory.noise * abs(view.objective):
                self._stalls += view.objective - value < 1e-3 * memory.noise * view.objective
                return point, size
            size *= 0.5
            memory.counters.halvings += 1
        return None, size

    def _global(self, entries: Tensor) -> Tensor:
        """Entries (C, m + 1) bool as a (C, p + 1) mask that always has the intercept."""
        mask = torch.zeros(entries.shape[0], self._memory.rows.p + 1, dtype=torch.bool, device=entries.device)
        mask[:, self._memory.rows.columns] = entries
        mask[:, 0] = True
        return mask

    def _curvatures(self, point: Point) -> Tensor:
        loss = self._memory.problem.loss
        return loss.weigh(loss.curvatures(point.response))

    def _newton(self, view: View) -> tuple[Tensor, Tensor, float]:
        memory, tuning = self._memory, self._memory.tuning
        face = view.weights != 0
        face[:, 0] = True
        support, made = self._global(face), memory.preconditioner
        if made is None or made.misfit(support) > tuning.misfit or memory.last_products > tuning.slow:
            memory.preconditioner = made = None  # before another of its size is made
            memory.grams.require(support, self._curvatures(view.point), tuning.drift)
            made = memory.grams.factorise(support, self._l2)
            memory.preconditioner = made
            memory.counters.factorisations += 1
        goal = tuning.newton_target * memory.settings.tol * view.floor
        step = newton_step(
            memory.rows,
            memory.problem.loss,
            view,
            face,
            made.on(support, memory.rows),
            target=max(tuning.newton_reduction * view.measure, goal),
            max_products=tuning.max_products,
            tick=self._tick,
        )
        memory.last_products = step.products
        memory.counters.newtons += 1
        memory.counters.products += step.products
        return step.weights, step.change, step.expected

    def _small(self, view: View) -> tuple[Tensor, Tensor] | None:
        """A step on the coupled model of all classes, if it is small enough to be the cheapest."""
        memory, rows, tuning = self._memory, self._memory.rows, self._memory.tuning
        loss, source = memory.problem.loss, memory.source
        if memory.batched or not (memory.couple and loss.couples and source.device.type == "cpu"):
            return None
        if self._damping > 1.0:
            return None
        ratio = view.gradient.abs() >= (1.0 - tuning.margin) * view.strengths.l1
        wanted = self._global(ratio | (view.weights != 0)).numpy()
        if not memory.coupled.fits(wanted, rows.n):
            return None
        spare = self._global(view.gradient.abs() >= 0.85 * view.strengths.l1).numpy()
        memory.coupled.require(wanted, spare, loss, view.point.response, source, tuning.drift)
        memory.counters.blocks += 1
        new = memory.coupled.step(rows, view, tuning.descent * view.measure / max(1, int(wanted.sum())))
        return new, rows.predict(new - view.weights)

    def _block(self, view: View) -> tuple[Tensor, Tensor]:
        memory, rows, tuning = self._memory, self._memory.rows, self._memory.tuning
        memory.counters.blocks += 1
        near = view.gradient.abs() >= (1.0 - tuning.margin) * view.strengths.l1
        wanted = self._global(near | (view.weights != 0))
        curvatures = self._curvatures(view.point)
        memory.grams.require(wanted, curvatures, tuning.drift)
        tol = tuning.descent * view.measure / max(1, int(wanted.sum()))
        new, bent = memory.grams.descend(rows, view, damping=self._damping, tol=tol)
        change = rows.predict(new - view.weights)
        actual = (
            memory.source.total(recycled.copy(change).square_().mul_(curvatures).sum(1, dtype=torch.float64))
            / rows.n
        )
        wrong = actual > tuning.wrong * bent + 1e-3 * bent.max()
        memory.grams.stale |= wrong
        return new, change

    def _apply_rule(self, view: View, moved: Point) -> None:
        """The paper's stopping rules, by name."""
        settings = self._memory.settings
        if settings.stopping == "coefficient_change":
            change = float((moved.weights - view.point.weights).norm())
            self._ruled = change <= settings.tol
        elif settings.stopping == "look_behind":
            self._losses.append(moved.objective(self._l1, self._l2))
            before, after = self._losses[:-5], self._losses[-5:]
            self._ruled = bool(before) and min(before) - min(after) <= settings.tol
