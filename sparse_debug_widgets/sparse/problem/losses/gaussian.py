"""Squared error."""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses.loss import Loss
from sparse_debug_widgets.sparse.rows.row_source import Total, alone


class Gaussian(Loss):
    """Half the squared error, of one output or several.

    Args:
        targets: (m, n) float64.
        weights: Sample weights (n,) float64 that sum to n, or None.
        n: Examples of all processes together; the columns of ``targets`` if None.
        total: Adds up the processes' sums.
    """

    name = "gaussian"
    curvature = 1.0
    bend = 1.0
    quadratic = True

    def __init__(
        self, targets: Tensor, weights: Tensor | None = None, *, n: int | None = None, total: Total = alone
    ) -> None:
        self.targets = targets
        self.n_outputs = len(targets)
        self._share(targets.shape[1], weights, n, total)
        self._centre = self.average(targets)

    def mean_response(self, logits: Tensor) -> Tensor:
        """The logits themselves."""
        return logits.clone()

    def subtract_targets(self, response: Tensor) -> Tensor:
        """Prediction minus the target."""
        return response.sub_(self.targets.to(response.dtype))

    def losses(self, logits: Tensor) -> Tensor:
        """``||z - y||^2 / 2``, summed over outputs."""
        return 0.5 * (logits - self.targets.to(logits.dtype)).square().sum(0)

    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """``-(||u||^2 / 2 + <u, y>)`` at u = ``scale * v``."""
        # Feasible residuals have weighted mean zero, so centring y changes no sum and saves digits.
        centred = self.targets - self._centre[:, None]
        return -(scale * residuals * (0.5 * scale * residuals + centred)).sum(0)

    def curvatures(self, response: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(response)

    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """The direction itself."""
        return direction.clone()

    def null_intercept(self) -> Tensor:
        """Weighted means of the targets."""
        return self._centre.clone()

    def intercept_hessian(self, response: Tensor) -> Tensor:
        """The identity."""
        return torch.eye(self.n_outputs, dtype=torch.float64, device=response.device)
