"""The problem that every path solver solves, and its null model.

``F(W, b) = (1/n) sum_i s_i loss_i + lambda * ((1 - alpha)/2 ||W||_F^2 + alpha ||W||_1)`` over standardised
features, the intercept b not penalised (``docs/methods/paths.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses import Loss
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet
from sparse_debug_widgets.sparse.rows.row_source import RowSource


@dataclass(frozen=True, eq=False)
class Problem:
    """Features, loss and penalty of one path; only the strength lambda is left open.

    Attributes:
        design: Standardised features of the training examples, (p, n).
        loss: Loss bound to the training targets and weights.
        penalty: The elastic net with its mix.
    """

    design: RowSource
    loss: Loss
    penalty: ElasticNet

    @cached_property
    def null_intercept(self) -> Tensor:
        """Intercept (C,) of the model without features."""
        return self.loss.null_intercept().to(self.design.device)

    @cached_property
    def null_gradient(self) -> Tensor:
        """Gradient (C, p) of the loss at the model without features."""
        logits = self.null_intercept[:, None].expand(-1, self.design.n_local).contiguous()
        return self.design.gradient(self.loss.weigh(self.loss.residuals(logits)))

    @cached_property
    def null_objective(self) -> float:
        """Objective of the model without features, the same at every strength."""
        return self.loss.mean(self.null_intercept[:, None].expand(-1, self.design.n_local))

    @cached_property
    def lambda_max(self) -> float:
        """Smallest strength with W = 0, from the same features that the solver sees."""
        return self.penalty.lambda_max(self.null_gradient)

    @cached_property
    def steepest(self) -> Tensor:
        """Largest second derivative (p,) that the loss can have in a weight of each feature."""
        design, weights = self.design, self.loss.weights
        sums = torch.zeros(design.p, dtype=torch.float64, device=design.device)
        for part, values in design.parts(torch.arange(design.p, device=design.device)):
            squares = values.double().square()
            sums += squares.sum(1) if weights is None else squares @ weights[part]
        return design.total(sums) * (self.loss.bend / self.loss.n)

    def objective(self, weights: Tensor, intercept: Tensor, lambda_: float) -> float:
        """F at weights (C, p) and intercept (C,), from fresh float64 predictions."""
        logits = self.design.logits(weights) + intercept[:, None]
        return self.loss.mean(logits) + self.penalty.value(weights, lambda_)
