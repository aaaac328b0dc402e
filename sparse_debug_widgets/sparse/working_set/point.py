"""Iterates of the working-set solver, and what is seen of them through the features at work."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.objective import Problem


@dataclass(frozen=True, eq=False)
class Point:
    """An iterate.

    Attributes:
        weights: (C, p + 1) float64, the intercept first.
        logits: (C, n) predictions.
        response: Mean response (C, n) in the precision of the matrix products.
        loss: Weighted mean loss.
    """

    weights: Tensor
    logits: Tensor
    response: Tensor
    loss: float

    @classmethod
    def at(cls, problem: Problem, weights: Tensor, logits: Tensor, dtype: torch.dtype) -> Point:
        """The point with these weights and their logits."""
        loss = problem.loss
        return cls(weights, logits, loss.mean_response(logits).to(dtype), loss.mean(logits))


@dataclass(frozen=True, eq=False)
class Strengths:
    """Penalty factors over the columns at work; 0 for the intercept.

    Attributes:
        l1: (m + 1,) float64.
        l2: (m + 1,) float64.
        smallest_l1: Smallest factor of an absolute value of any feature.
        scale: (m + 1,) curvature by which squared residuals are divided in :meth:`measure`.
    """

    l1: Tensor
    l2: Tensor
    smallest_l1: float
    scale: Tensor

    @classmethod
    def of(cls, l1: float, l2: float, factor: Tensor) -> Strengths:
        """The strengths l1 and l2 times a factor per column; the intercept's is 0."""
        scale = (2.0 * l2 * factor).clamp_(min=1e-300)
        scale[0] = 0.1
        least = float(factor[1:].min()) if len(factor) > 1 else 1.0
        return cls(l1 * factor, l2 * factor, l1 * least, scale)

    def residual(self, weights: Tensor, gradient: Tensor) -> Tensor:
        """Least element (C, m + 1) of the subdifferential of the objective."""
        slope = torch.addcmul(gradient, self.l2, weights)
        at_zero = torch.where(slope.abs() > self.l1, slope - self.l1 * slope.sign(), 0.0)
        return torch.where(weights != 0, torch.addcmul(slope, self.l1, weights.sign()), at_zero)

    def measure(self, residual: Tensor, objective: float) -> float:
        """What an optimality residual adds to the duality gap, roughly: the better of its two dual points.

        Left as it is, the dual point pays ``sum r^2 / (2 l2)``; shrunk until it is feasible, it pays the
        share by which the largest residual exceeds l1.
        """
        square = float((residual.square().sum(0) / self.scale).sum())
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
