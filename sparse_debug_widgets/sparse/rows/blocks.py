"""Working sets of a matrix in memory: some of its rows, where they lie, copied, or widened part by part."""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows.row_products import (
    gradient,
    picked_gradient,
    picks,
    predict,
    scattered,
    thin,
)
from sparse_debug_widgets.sparse.rows.row_source import Block

_PART = 256


class Places(Block):
    """Some rows of a matrix on the CPU, where they are; copied only for many classes.

    Args:
        values: The matrix (p, n).
        rows: The rows (m,) int64.
        copy: Their copies, if they have been made already.
    """

    def __init__(self, values: Tensor, rows: Tensor, copy: Block | None = None) -> None:
        self._values = values
        self._rows = rows
        self._copy = copy

    def predict(self, weights: Tensor) -> Tensor:
        """``weights @ X``."""
        if not scattered(weights, self._values):
            return self._copied().predict(weights)
        weights = weights.to(self._values.dtype)
        used = weights.any(0).nonzero()[:, 0]
        if 2 * len(used) > len(self._rows):
            return predict(weights, self._values, self._rows)
        return predict(weights[:, used], self._values, self._rows[used])

    def gradient(self, residuals: Tensor, wanted: Tensor | None = None) -> Tensor:
        """``residuals @ X.T``."""
        if wanted is not None and picks(wanted, self._values):
            return picked_gradient(residuals.to(self._values.dtype), self._values, self._rows, wanted)
        if not thin(len(residuals), self._values):
            return self._copied().gradient(residuals)
        return gradient(residuals.to(self._values.dtype), self._values, self._rows)

    def grown(self, features: Tensor) -> Block:
        """The block with more rows."""
        rows = torch.cat([self._rows, features])
        return Places(self._values, rows, None if self._copy is None else self._copy.grown(features))

    def _copied(self) -> Block:
        if self._copy is None:
            self._copy = Copies.of(self._values, self._rows)
        return self._copy


class Copies(Block):
    """Rows of a matrix, gathered into a buffer that leaves room for more.

    Args:
        values: The matrix (p, n).
        buffer: Room for rows, (capacity, n), the first ``size`` of them filled.
        size: Rows held.
        capacity: Rows that the buffer is given when it is made.
    """

    def __init__(self, values: Tensor, buffer: Tensor, size: int, capacity: int) -> None:
        self._values = values
        self._buffer = buffer
        self._capacity = capacity
        self.matrix = buffer[:size]

    @classmethod
    def of(cls, values: Tensor, rows: Tensor, share: float = 0.75) -> Copies:
        """Copies of some rows, with room for this share of all; the matrix itself if it is just these."""
        if torch.equal(rows, torch.arange(len(values), device=rows.device)):
            return cls(values, values, len(values), len(values))
        capacity = max(64, int(share * len(values)), len(rows))
        made = cls(values, values.new_empty(capacity, values.shape[1]), 0, capacity)
        made.grown(rows)
        return cls(values, made._buffer, len(rows), capacity)

    def predict(self, weights: Tensor) -> Tensor:
        """``weights @ X``; only the rows with a weight are read where they are few."""
        weights = weights.to(self.matrix.dtype)
        used = weights.any(0).nonzero()[:, 0]
        if 2 * len(used) > len(self.matrix):
            return weights @ self.matrix
        return weights[:, used] @ self.matrix[used]

    def gradient(self, residuals: Tensor, wanted: Tensor | None = None) -> Tensor:
        """``residuals @ X.T``."""
        return (residuals.to(self.matrix.dtype) @ self.matrix.T).double()

    def grown(self, features: Tensor) -> Block:
        """The block with more rows."""
        held, total = len(self.matrix), len(self.matrix) + len(features)
        if total > len(self._buffer):
            room = self._values.new_empty(max(total, self._capacity), self._values.shape[1])
            room[:held] = self.matrix
            self._buffer = room
        torch.index_select(self._values, 0, features, out=self._buffer[held:total])
        return Copies(self._values, self._buffer, total, self._capacity)


class Widened(Block):
    """Some rows of a matrix in half precision, made wide a few at a time whenever they are used.

    Args:
        values: The matrix (p, n), float16 or bfloat16.
        rows: The rows (m,) int64.
        dtype: Precision of the products.
    """

    def __init__(self, values: Tensor, rows: Tensor, dtype: torch.dtype) -> None:
        self._values = values
        self._rows = rows
        self._dtype = dtype

    def predict(self, weights: Tensor) -> Tensor:
        """``weights @ X``."""
        used = weights.any(0).nonzero()[:, 0]
        weights = weights.to(self._dtype)
        out = weights.new_zeros(len(weights), self._values.shape[1])
        for part in torch.split(used, _PART):
            out.addmm_(weights[:, part], self._values[self._rows[part]].to(self._dtype))
        return out

    def gradient(self, residuals: Tensor, wanted: Tensor | None = None) -> Tensor:
        """``residuals @ X.T``."""
        left = residuals.to(self._dtype)
        parts = [left @ self._values[part].to(self._dtype).T for part in torch.split(self._rows, _PART)]
        return torch.cat([left[:, :0], *parts], 1).double()

    def grown(self, features: Tensor) -> Block:
        """The block with more rows."""
        return Widened(self._values, torch.cat([self._rows, features]), self._dtype)
