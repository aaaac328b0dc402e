"""Iterates of the working-set solver, and what is seen of them through the features at work."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses import Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows import recycled

_DENSE = 4_000_000
"""Up to this many logits, targets are kept as a dense matrix."""


@dataclass(frozen=True, eq=False)
class Point:
    """An iterate.

    Attributes:
        weights: (C, p + 1) float64, the intercept first.
        logits: (C, n) predictions.
        response: Mean response (C, n) in the precision of the matrix products.
        loss: Weighted mean loss.
        norms: Weighted l1 norm and squared l2 norm of the penalised weights.
    """

    weights: Tensor
    logits: Tensor
    response: Tensor
    loss: float
    norms: tuple[float, float]

    def objective(self, l1: float, l2: float) -> float:
        """The objective at strengths l1 and l2."""
        return self.loss + l1 * self.norms[0] + 0.5 * l2 * self.norms[1]


class Points:
    """Makes points of a problem.

    Args:
        problem: The problem.
        factor: Penalty factors (p + 1,) float64, 0 for the intercept.
        dtype: Precision of the matrix products.
    """

    def __init__(self, problem: Problem, factor: Tensor, dtype: torch.dtype) -> None:
        self._loss = problem.loss
        self._factor = factor
        self._dtype = dtype
        self._targets: Tensor | None = None
        if isinstance(problem.loss, Multinomial) and problem.loss.n_local * problem.loss.n_outputs <= _DENSE:
            labels = problem.loss.labels
            shape = (problem.loss.n_outputs, problem.loss.n_local)
            self._targets = torch.zeros(shape, dtype=dtype, device=labels.device)
            self._targets.scatter_(0, labels[None], 1.0)

    def at(self, weights: Tensor, logits: Tensor) -> Point:
        """The point with these weights (C, p + 1) and their logits."""
        response, value = self._loss.evaluate(logits)
        return self.complete(weights, logits, response, value)

    def complete(self, weights: Tensor, logits: Tensor, response: Tensor, loss: float) -> Point:
        """The point, its mean response and loss being known."""
        sums = torch.stack([weights.abs().sum(0), weights.square().sum(0)]) @ self._factor
        l1, l2 = sums.tolist()
        return Point(weights, logits, recycled.cast(response, self._dtype), loss, (l1, l2))

    def residuals(self, point: Point) -> Tensor:
        """Weighted residuals (C, n) in the precision of the matrix products."""
        if self._targets is not None:
            return self._loss.weigh(point.response - self._targets)
        return self._loss.weigh(self._loss.subtract_targets(recycled.copy(point.response)))


@dataclass(frozen=True, eq=False)
class Strengths:
    """Penalty factors over the columns at work; 0 for the intercept.

    Attributes:
        l1: (m + 1,) float64.
        l2: (m + 1,) float64.
        smallest_l1: Smallest factor of an absolute value of any feature; 0 if it does not matter.
        scale: (m + 1,) factors of squared residuals in :meth:`measure`.
    """

    l1: Tensor
    l2: Tensor
    smallest_l1: float
    scale: Tensor

    @classmethod
    def of(cls, l1: float, l2: float, factor: Tensor) -> Strengths:
        """The strengths l1 and l2 times a factor per column; the intercept's is 0."""
        scale = (2.0 * l2 * factor).clamp_(min=1e-300).reciprocal_()
        scale[0] = 10.0
        # With little l2 the other dual point may be the better one.
        least = float(factor[1:].min()) if len(factor) > 1 and l2 < 1e-3 * l1 else 0.0
        return cls(l1 * factor, l2 * factor, l1 * least, scale)

    def residual(self, weights: Tensor, gradient: Tensor) -> Tensor:
        """Least element (C, m + 1) of the subdifferential of the objective."""
        slope = torch.addcmul(gradient, self.l2, weights)
        at_zero = torch.where(slope.abs() > self.l1, slope - self.l1 * slope.sign(), 0.0)
        return torch.where(weights != 0, torch.addcmul(slope, self.l1, weights.sign()), at_zero)

    def measure(self, residual: Tensor, objective: float) -> float:
        """Estimate what an optimality residual adds to the duality gap: the better of its two dual points.

        Left as it is, the dual point pays ``sum r^2 / (2 l2)``; shrunk until it is feasible, it pays the
        share by which the largest residual exceeds l1.
        """
        square = float(residual.square().sum(0) @ self.scale)
        if self.smallest_l1 <= 0.0:
            return square
        share = float(residual[:, 1:].abs().max()) / self.smallest_l1 if residual.shape[1] > 1 else 0.0
        intercept = 10.0 * float(residual[:, 0].square().sum())
        return min(square, share * objective + intercept)


@dataclass(frozen=True, eq=False)
class View:
    """A point seen through the features at work.

    Attributes:
        point: The point.
        weights: (C, m + 1) float64.
        gradient: Gradient of the loss, (C, m + 1) float64.
        residual: Optimality residual, (C, m + 1).
        strengths: Penalty.
        objective: Objective at the point.
        floor: What gaps are relative to.
        measure: Optimality measure, in units of the objective.
    """

    point: Point
    weights: Tensor
    gradient: Tensor
    residual: Tensor
    strengths: Strengths
    objective: float
    floor: float
    measure: float
