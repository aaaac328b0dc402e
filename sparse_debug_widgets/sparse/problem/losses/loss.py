"""The interface of the losses of the elastic-net path, and what follows from their answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows.row_source import Total

_NEWTON_STEPS = 100
_FLAT = 1e-14


class Assessment(NamedTuple):
    """The view of all examples at one point, in one pass if a loss can do that.

    Attributes:
        response: Mean responses (C, n_local).
        loss: Weighted mean loss.
        slope: Weighted mean residual (C,) float64: the gradient in the intercept.
        conjugate: Weighted mean of ``conjugates(residuals, 1.0)``, if it was to be had on the way.
    """

    response: Tensor
    loss: float
    slope: Tensor
    conjugate: float | None


class Loss(ABC):
    """One loss, bound to the training targets of this process's examples.

    Attributes:
        n: Number of training examples, of all processes together.
        n_local: Number of examples of this process.
        n_outputs: Rows C of the weight matrix.
        weights: Sample weights (n_local,) float64 that sum to n over all processes, or None for all ones.
        total: Turns a sum over this process's examples into the sum over all.
    """

    name: ClassVar[str]
    curvature: ClassVar[float]
    """Largest eigenvalue that the Hessian of one example's loss can have."""
    bend: ClassVar[float]
    """Largest second derivative that one example's loss can have in one logit."""
    quadratic: ClassVar[bool] = False
    """The Hessian is the same everywhere."""
    couples: ClassVar[bool] = False
    """The outputs of one example depend on each other, as the shares of a softmax do."""

    n: int
    n_local: int
    n_outputs: int
    weights: Tensor | None
    total: Total

    def _share(self, n_local: int, weights: Tensor | None, n: int | None, total: Total) -> None:
        """Note which share of the examples this process has."""
        self.n_local, self.n = n_local, n_local if n is None else n
        self.weights, self.total = weights, total

    @abstractmethod
    def mean_response(self, logits: Tensor) -> Tensor:
        """Gradient of A: class probabilities, or the logits themselves for squared error, (C, b)."""

    @abstractmethod
    def subtract_targets(self, response: Tensor) -> Tensor:
        """Residuals v = response - y (C, n) of all examples, written over ``response``."""

    @abstractmethod
    def losses(self, logits: Tensor) -> Tensor:
        """Loss of each example, (n,), without sample weights."""

    @abstractmethod
    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """Minus the convex conjugate of each example's loss at ``scale * residuals``, (n,).

        Args:
            residuals: ``mean_response - y`` of a feasible point, (C, n) float64.
            scale: Shrinkage in [0, 1]; the shrunk residuals stay in the conjugate's domain.
        """

    @abstractmethod
    def curvatures(self, response: Tensor) -> Tensor:
        """Diagonal of each example's Hessian in the logits, (C, n)."""

    @abstractmethod
    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """Each example's Hessian times a direction in the logits, (C, n), without sample weights."""

    @abstractmethod
    def null_intercept(self) -> Tensor:
        """The intercept (C,) float64 that is optimal when all weights are zero."""

    @abstractmethod
    def intercept_hessian(self, response: Tensor) -> Tensor:
        """Hessian (C, C) float64 of the weighted mean loss in the intercept; positive definite."""

    def canonical_intercept(self, intercept: Tensor) -> Tensor:
        """The representative of an intercept among those with equal predictions."""
        return intercept

    def average(self, values: Tensor) -> Tensor:
        """Weighted mean over examples of (..., n) values, accumulated in float64."""
        if self.weights is not None:
            values = values * self.weights
        return self.total(values.sum(-1, dtype=torch.float64)) / self.n

    def weigh(self, values: Tensor) -> Tensor:
        """Multiply (C, n) values by the sample weights, in the values' own precision."""
        return values if self.weights is None else values * self.weights.to(values.dtype)

    def mean(self, logits: Tensor) -> float:
        """Weighted mean loss at logits (C, n)."""
        return float(self.average(self.losses(logits)))

    def evaluate(self, logits: Tensor) -> tuple[Tensor, float]:
        """Mean responses (C, n) and weighted mean loss at logits (C, n), sharing what they share."""
        return self.mean_response(logits), self.mean(logits)

    def assess(self, offsets: Tensor, intercept: Tensor) -> Assessment:
        """Compute what a certificate needs at predictions (C, n_local) and an intercept (C,), in float64."""
        response, value = self.evaluate(offsets + intercept[:, None])
        slope = self.average(self.subtract_targets(response.clone()))
        return Assessment(response, value, slope, None)

    def residuals(self, logits: Tensor) -> Tensor:
        """Gradient of each example's loss in the logits, (C, n), without sample weights."""
        return self.subtract_targets(self.mean_response(logits))

    def optimise_intercept(self, offsets: Tensor, intercept: Tensor, slack: float = _FLAT) -> Tensor:
        """Minimise the loss over the intercept, the rest of the logits held fixed.

        Newton steps, damped (Levenberg) until the loss falls: at sure predictions the Hessian nearly
        vanishes, and a full step would leave the range of floating point.

        Args:
            offsets: Logits without the intercept, (C, n) float64.
            intercept: Start, (C,) float64.
            slack: Stop when no component of the mean residual exceeds this.

        Returns:
            The optimal intercept (C,).
        """
        value = self.mean(offsets + intercept[:, None])
        damping = 0.0
        for _ in range(_NEWTON_STEPS):
            response = self.mean_response(offsets + intercept[:, None])
            hessian = self.intercept_hessian(response)
            gradient = self.average(self.subtract_targets(response))
            if float(gradient.abs().max()) <= slack:
                break
            while True:
                damped = hessian + damping * torch.eye(
                    len(hessian), dtype=hessian.dtype, device=hessian.device
                )
                step = torch.linalg.solve(damped, gradient)
                trial = intercept - step
                new = self.mean(offsets + trial[:, None])
                # Rounding noise of the loss itself must not stop the last, tiny steps.
                if new <= value + 1e-15 * (1.0 + abs(value)):
                    break
                damping = max(10.0 * damping, 1e-6)
                # Damped beyond the largest curvature, a step that still does not descend is rounding noise.
                if damping > 10.0 * self.curvature:
                    return self.canonical_intercept(intercept)
            intercept, value = trial, new
            damping = 0.1 * damping if damping > 1e-6 else 0.0
        return self.canonical_intercept(intercept)
