"""The features at work: their rows in one contiguous matrix, with the intercept as feature 0.

Weights over the features at work are (C, m + 1) matrices whose first column is the intercept. Predictions are
``weights @ X`` and gradients ``residuals @ X.T / n``, the two shapes of product that are fastest for a
feature-major X.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows.row_source import RowSource


class WorkingRows:
    """Rows of the feature-major matrix that are at work; grows as features enter.

    Args:
        source: All features, in working precision.

    Attributes:
        columns: Columns (m + 1,) int64 of a global (C, p + 1) matrix that are at work; column 0 first.
        position: Place (p + 1,) int64 of each global column among them, or -1.
    """

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self.p, self.n = source.p, source.n
        # From this share of the features on, the whole matrix is used in place of a copy of some rows.
        self._share = source.copy_share
        self._capacity = min(self.p, max(64, int(self._share * self.p)))
        self.columns = torch.zeros(1, dtype=torch.long, device=source.device)
        self._block = source.block(self.columns[:0])
        self.position = torch.full((self.p + 1,), -1, dtype=torch.long, device=source.device)
        self.position[0] = 0

    @property
    def is_whole(self) -> bool:
        """True if every feature is at work."""
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
        """Logits (C, n_local) in working precision of weights (C, m + 1), intercept included."""
        logits = self._block.predict(weights[:, 1:])
        return logits.add_(weights[:, :1].to(logits.dtype))

    def gradient(self, residuals: Tensor, wanted: Tensor | None = None) -> Tensor:
        """``residuals @ X.T / n``, (C, m + 1) float64; at least the wanted entries (C, m + 1) bool of it."""
        out = residuals.new_empty(residuals.shape[0], len(self.columns), dtype=torch.float64)
        out[:, 0] = residuals.sum(1)
        out[:, 1:] = self._block.gradient(residuals, None if wanted is None else wanted[:, 1:])
        return self._source.total(out).div_(self.n)

    def _start(self, features: Tensor) -> None:
        """Start over with these features only."""
        self.position.fill_(-1)
        self.position[0] = 0
        self.columns = self.columns[:1]
        self._block = self._source.block(self.columns[:0])
        self._append(features.nonzero()[:, 0])

    def _append(self, features: Tensor) -> None:
        held = len(self.columns) - 1
        total = held + len(features)
        if total > self._capacity:
            self.columns = torch.arange(self.p + 1, device=self.columns.device)
            self.position = self.columns.clone()
            self._block = self._source.block(self.columns[:-1])
            return
        self._block = self._block.grown(features)
        self.position[features + 1] = torch.arange(held + 1, total + 1, device=features.device)
        self.columns = torch.cat([self.columns, features + 1])
