"""Logistic loss of two classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sparse_debug_widgets.sparse.problem.losses.loss import Loss
from sparse_debug_widgets.sparse.rows.row_source import Total, alone


class Binomial(Loss):
    """Logistic loss with one logit; the second class is the positive one.

    Args:
        labels: 0 or 1 for each example, (n,).
        weights: Sample weights (n,) float64 that sum to n, or None.
        n: Examples of all processes together; the number of labels if None.
        total: Adds up the processes' sums.
    """

    name = "binomial"
    curvature = 0.25
    bend = 0.25

    def __init__(
        self, labels: Tensor, weights: Tensor | None = None, *, n: int | None = None, total: Total = alone
    ) -> None:
        self.targets = labels.double()[None]
        self.n_outputs = 1
        self._share(len(labels), weights, n, total)

    def mean_response(self, logits: Tensor) -> Tensor:
        """Probability of the second class."""
        return torch.sigmoid(logits)

    def subtract_targets(self, response: Tensor) -> Tensor:
        """Probability minus the label."""
        return response.sub_(self.targets.to(response.dtype))

    def losses(self, logits: Tensor) -> Tensor:
        """``log(1 + e^z) - y z``."""
        # softplus(-z) for positives and softplus(z) for negatives: no cancellation for sure predictions.
        sign = 1 - 2 * self.targets.to(logits.dtype)
        return softplus(sign * logits, threshold=50.0)[0]

    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """Entropy of the probability ``y + scale * v``."""
        shrunk = (self.targets + scale * residuals).clamp_(0.0, 1.0)
        entropies: Tensor = torch.special.entr(shrunk) + torch.special.entr(1 - shrunk)
        return entropies[0]

    def curvatures(self, response: Tensor) -> Tensor:
        """``p (1 - p)``."""
        return response * (1 - response)

    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """``p (1 - p) d``."""
        return response * (1 - response) * direction

    def null_intercept(self) -> Tensor:
        """Log-odds of the weighted frequency."""
        return torch.logit(self.average(self.targets))

    def intercept_hessian(self, response: Tensor) -> Tensor:
        """Mean of ``p (1 - p)``."""
        return self.average(self.curvatures(response.double()))[:, None] + 1e-14
