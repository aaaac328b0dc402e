"""The features at work: their rows in one contiguous matrix, with the intercept as feature 0.

Weights over the features at work are (C, m + 1) matrices whose first column is the intercept. Predictions are
``weights @ X`` and gradients ``residuals @ X.T / n``, the two shapes of product that are fastest for a
feature-major X.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LARGE = 1 << 28
"""Bytes of a matrix from which on copies of its rows are kept small."""


class WorkingRows:
    """Rows of the feature-major matrix that are at work; grows as features enter.

    Args:
        values: All features, (p, n) in working precision.

    Attributes:
        columns: Columns (m + 1,) int64 of a global (C, p + 1) matrix that are at work; column 0 first.
        matrix: Their rows, (m, n).
        version: Changes whenever rows are dropped or reordered.
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self.p, self.n = values.shape
        self._buffer: Tensor | None = None
        large = values.numel() * values.element_size() >= _LARGE
        # From this share of the features on, the whole matrix is used in place of a copy of some rows.
        self._share = 0.4 if large else 0.75
        self._capacity = min(self.p, max(64, int(self._share * self.p)))
        self.columns = torch.zeros(1, dtype=torch.long, device=values.device)
        self.matrix = values[:0]
        self.position = torch.full((self.p + 1,), -1, dtype=torch.long, device=values.device)
        self.position[0] = 0

    @property
    def is_whole(self) -> bool:
        """Whether every feature is at work."""
        return len(self.columns) == self.p + 1

    def require(self, features: Tensor) -> None:
        """Put features (bool (p,)) to work, and drop others if they have become too many."""
        if self.is_whole:
            if int(features.sum()) >= 0.7 * self._share * self.p:
                return
            self._start(features)
            return
        missing = (features & (self.position[1:] < 0)).nonzero()[:, 0]
        if len(missing) == 0 and len(self.columns) <= 2 * int(features.sum()) + 65:
            return
        if len(self.columns) + len(missing) > 1.5 * int(features.sum()) + 33:
            self._start(features)
            return
        self._append(missing)

    def restore(self, columns: Tensor) -> None:
        """Put the columns (m + 1,) to work that were so in another run, in the same order."""
        if len(columns) > 1:
            self._append(columns[1:] - 1)

    def local(self, entries: Tensor) -> Tensor:
        """Columns at work of a global (C, p + 1) matrix, as a copy."""
        return entries[:, self.columns]

    def predict(self, weights: Tensor) -> Tensor:
        """Logits (C, n) in working precision of weights (C, m + 1), intercept included."""
        weights = weights.to(self._values.dtype)
        return torch.addmm(weights[:, :1], weights[:, 1:], self.matrix)

    def predict_some(self, weights: Tensor) -> Tensor:
        """Like :meth:`predict`, for weights of which only few columns are not zero."""
        used = weights[:, 1:].any(0).nonzero()[:, 0]
        weights = weights.to(self._values.dtype)
        if 2 * len(used) > len(self.columns):
            return torch.addmm(weights[:, :1], weights[:, 1:], self.matrix)
        return torch.addmm(weights[:, :1], weights[:, 1 + used], self.matrix[used])

    def gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ X.T / n``, (C, m + 1) float64."""
        out = residuals.new_empty(residuals.shape[0], len(self.columns), dtype=torch.float64)
        out[:, 0] = residuals.sum(1)
        out[:, 1:] = residuals @ self.matrix.T
        return out.div_(self.n)

    def _start(self, features: Tensor) -> None:
        """Start over with these features only."""
        self.position.fill_(-1)
        self.position[0] = 0
        self.columns = self.columns[:1]
        self.matrix = self._values[:0]
        self._append(features.nonzero()[:, 0])

    def _append(self, features: Tensor) -> None:
        held = len(self.columns) - 1
        total = held + len(features)
        if total > self._capacity:
            self.columns = torch.arange(self.p + 1, device=self.columns.device)
            self.position = self.columns.clone()
            self.matrix = self._values
            self._buffer = None
            return
        if self._buffer is None:
            self._buffer = self._values.new_empty(self._capacity, self.n)
        torch.index_select(self._values, 0, features, out=self._buffer[held:total])
        self.matrix = self._buffer[:total]
        self.position[features + 1] = torch.arange(held + 1, total + 1, device=features.device)
        self.columns = torch.cat([self.columns, features + 1])
