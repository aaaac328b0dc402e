"""The elastic-net penalty: value, proximal map, conjugate.

``lambda * ((1 - alpha)/2 ||W||_F^2 + alpha ||W||_1)`` as in glmnet; the intercept is not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_ALPHA = 1e-3
"""Below this mix, lambda_max is taken as if alpha were this: a ridge path has no lambda with W = 0."""


@dataclass(frozen=True)
class ElasticNet:
    """Penalty of one path.

    Attributes:
        alpha: Mix in [0, 1]: 1 is the lasso, 0 is ridge.
    """

    alpha: float

    def l1(self, lambda_: float) -> float:
        """Factor of the l1 norm."""
        return lambda_ * self.alpha

    def l2(self, lambda_: float) -> float:
        """Factor of half the squared norm."""
        return lambda_ * (1.0 - self.alpha)

    def value(self, weights: Tensor, lambda_: float) -> float:
        """The penalty at weights (C, p)."""
        weights = weights.double()
        absolute = float(weights.abs().sum())
        return self.l1(lambda_) * absolute + 0.5 * self.l2(lambda_) * float(weights.square().sum())

    def prox(self, points: Tensor, step: float, lambda_: float) -> Tensor:
        """Minimiser over W of ``||W - points||^2 / 2 + step * penalty(W)``.

        Equation 4 of the paper misprints its second case (it is beta < -lambda_1); this is the right map.
        """
        shrunk = torch.nn.functional.softshrink(points, step * self.l1(lambda_))
        return shrunk.div_(1.0 + step * self.l2(lambda_))

    def conjugate(self, gradient: Tensor, scale: float, lambda_: float) -> float:
        """Convex conjugate of the penalty at ``scale * gradient``; infinite where it does not exist."""
        excess = (gradient.abs() * scale - self.l1(lambda_)).clamp_(min=0.0)
        l2 = self.l2(lambda_)
        if l2 > 0.0:
            return float(excess.square().sum()) / (2.0 * l2)
        # Rounding alone must not turn a scale that was chosen to be feasible into an infeasible one.
        return 0.0 if float(excess.max()) <= 1e-12 * self.l1(lambda_) else float("inf")

    def feasible_scale(self, gradient: Tensor, lambda_: float) -> float:
        """Largest scale in [0, 1] at which the conjugate's quadratic part vanishes."""
        peak = float(gradient.abs().max()) if gradient.numel() else 0.0
        return min(1.0, self.l1(lambda_) / peak) if peak > 0.0 else 1.0

    def lambda_max(self, gradient: Tensor) -> float:
        """Smallest strength at which W = 0 is optimal, from the gradient (C, p) at the null model."""
        return float(gradient.abs().max()) / max(self.alpha, MIN_ALPHA)
