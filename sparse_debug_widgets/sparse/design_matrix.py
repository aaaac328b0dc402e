"""The feature matrix that a solver sees: standardised, feature-major, reduced over rows in chunks.

Everything a solver asks of the rows goes through this object, and every answer is a sum over rows. A matrix
that lives in memory-mapped chunks, or whose rows are shared out over processes, is another object with the
same methods.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CHUNK_ELEMENTS = 1 << 22


class DesignMatrix:
    """Standardised features Z, stored feature-major.

    Attributes:
        values: (p, n) float32 or float64, contiguous.
        n: Examples.
        p: Features.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.p, self.n = values.shape

    @property
    def dtype(self) -> torch.dtype:
        """Storage precision; predictions and gradients that certify are float64 whatever it is."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the rows live."""
        return self.values.device

    def logits(self, weights: Tensor) -> Tensor:
        """Predictions without the intercept, (C, n) float64, from weights (C, p) and nothing else."""
        weights = weights.to(self.device, torch.float64)
        rows = weights.any(0).nonzero()[:, 0]
        if len(rows) == 0:
            return weights.new_zeros(weights.shape[0], self.n)
        active = weights[:, rows]
        if self.dtype == torch.float64:
            return active @ (self.values if len(rows) == self.p else self.values[rows])
        out = weights.new_empty(weights.shape[0], self.n)
        step = max(1, _CHUNK_ELEMENTS // len(rows))
        for low in range(0, self.n, step):
            block = self.values[:, low : low + step][rows].double()
            torch.matmul(active, block, out=out[:, low : low + step])
        return out

    def gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ Z / n``, (C, p) float64, of weighted residuals (C, n)."""
        if self.dtype == torch.float64:
            return residuals.double() @ self.values.T / self.n
        left = residuals.double()
        out = left.new_empty(len(left), self.p)
        step = max(1, _CHUNK_ELEMENTS // self.n)
        for low in range(0, self.p, step):
            out[:, low : low + step] = left @ self.values[low : low + step].double().T
        return out / self.n
