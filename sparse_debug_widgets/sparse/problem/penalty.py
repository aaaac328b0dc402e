"""The elastic-net penalty and its group variant: value, proximal map, conjugate.

``lambda * sum_j f_j ((1 - alpha)/2 ||W_:j||^2 + alpha ||W_:j||_1)`` as in glmnet, f_j = 1 unless penalty
factors are given; the intercept is not part of it. The group variant takes the l2 norm of a feature's weights
over all classes instead of the l1 norm, so that a feature enters for all classes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import softshrink

MIN_ALPHA = 1e-3
"""Below this mix, lambda_max is taken as if alpha were this: a ridge path has no lambda with W = 0."""


@dataclass(frozen=True, eq=False)
class ElasticNet:
    """Penalty of one path.

    Attributes:
        alpha: Mix in [0, 1]: 1 is the lasso, 0 is ridge.
        factors: Penalty factors (p,) float64, positive and finite, or None for all ones.
    """

    alpha: float
    factors: Tensor | None = None

    grouped: ClassVar[bool] = False

    def l1(self, lambda_: float) -> float:
        """Factor of the l1 norm, before penalty factors."""
        return lambda_ * self.alpha

    def l2(self, lambda_: float) -> float:
        """Factor of half the squared norm, before penalty factors."""
        return lambda_ * (1.0 - self.alpha)

    def restricted(self, active: Tensor) -> Self:
        """The penalty of some features (p,) bool only."""
        return self if self.factors is None else replace(self, factors=self.factors[active])

    def magnitude(self, matrix: Tensor) -> Tensor:
        """Return the terms of the l1 norm, (C, p) of (C, p): absolute values."""
        return matrix.abs()

    def pull(self, gradient: Tensor) -> Tensor:
        """Compute each entry's pull to enter, (C, p): a weight is zero where this is below ``l1``."""
        pull = self.magnitude(gradient)
        return pull if self.factors is None else pull / self.factors

    def value(self, weights: Tensor, lambda_: float) -> float:
        """The penalty at weights (C, p)."""
        weights = weights.double()
        absolute, square = self._norms(weights), weights.square().sum(0)
        if self.factors is not None:
            absolute, square = absolute * self.factors, square * self.factors
        return self.l1(lambda_) * float(absolute.sum()) + 0.5 * self.l2(lambda_) * float(square.sum())

    def _norms(self, matrix: Tensor) -> Tensor:
        """The norm of each feature's column, (p,)."""
        return matrix.abs().sum(0)

    def prox(self, points: Tensor, step: float, lambda_: float) -> Tensor:
        """Minimiser over W of ``||W - points||^2 / 2 + step * penalty(W)``.

        Equation 4 of the paper misprints its second case (it is beta < -lambda_1); this is the right map.
        """
        if self.factors is None:
            return softshrink(points, step * self.l1(lambda_)).div_(1.0 + step * self.l2(lambda_))
        factors = self.factors.to(points.dtype)
        threshold = (step * self.l1(lambda_)) * factors
        shrunk = points - torch.minimum(torch.maximum(points, -threshold), threshold)
        return shrunk.div_(1.0 + (step * self.l2(lambda_)) * factors)

    def conjugate(self, gradient: Tensor, scale: float, lambda_: float) -> float:
        """Convex conjugate of the penalty at ``scale * gradient``; infinite where it does not exist."""
        excess = (self._distinct(self.pull(gradient)) * scale - self.l1(lambda_)).clamp_(min=0.0)
        l2 = self.l2(lambda_)
        if l2 > 0.0:
            squares = excess.square_()
            if self.factors is not None:
                # (f pull - f l1)^2 / (2 f l2) = f (pull - l1)^2 / (2 l2)
                squares = squares * self.factors
            return float(squares.sum()) / (2.0 * l2)
        # Rounding alone must not turn a scale that was chosen to be feasible into an infeasible one.
        return 0.0 if float(excess.max()) <= 1e-12 * self.l1(lambda_) else float("inf")

    def _distinct(self, pull: Tensor) -> Tensor:
        """Each term of the penalty once."""
        return pull

    def feasible_scale(self, gradient: Tensor, lambda_: float) -> float:
        """Largest scale in [0, 1] at which the conjugate's quadratic part vanishes."""
        peak = float(self.pull(gradient).max()) if gradient.numel() else 0.0
        return min(1.0, self.l1(lambda_) / peak) if peak > 0.0 else 1.0

    def lambda_max(self, gradient: Tensor) -> float:
        """Smallest strength at which W = 0 is optimal, from the gradient (C, p) at the null model."""
        return float(self.pull(gradient).max()) / max(self.alpha, MIN_ALPHA)


@dataclass(frozen=True, eq=False)
class GroupElasticNet(ElasticNet):
    """Group variant: ``lambda * sum_j f_j ((1 - alpha)/2 ||W_:j||^2 + alpha ||W_:j||_2)``."""

    grouped: ClassVar[bool] = True

    def magnitude(self, matrix: Tensor) -> Tensor:
        """The norm of each feature's column, repeated for every class, (C, p)."""
        return self._norms(matrix).expand_as(matrix)

    def _norms(self, matrix: Tensor) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(matrix, dim=0)
        return norms

    def _distinct(self, pull: Tensor) -> Tensor:
        return pull[:1]

    def prox(self, points: Tensor, step: float, lambda_: float) -> Tensor:
        """Shrink each feature's column towards zero as a whole; a zero column stays zero, never NaN."""
        factors = 1.0 if self.factors is None else self.factors.to(points.dtype)
        norms = self._norms(points)
        # A norm of zero gives 1 - infinity, clamped to 0, times a column of zeros.
        kept = (1.0 - (step * self.l1(lambda_)) * factors / norms.clamp_min(1e-30)).clamp_(min=0.0)
        return points * (kept / (1.0 + (step * self.l2(lambda_)) * factors))
