"""The feature matrix in memory: standardised, feature-major, on one device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.row_products import gradient, predict, thin
from sparse_debug_widgets.sparse.row_source import Block, Indices, RowSource, Total, alone
from sparse_debug_widgets.sparse.weighted_products import cross_products, symmetric_products

_CHUNK_ELEMENTS = 1 << 22
_FEATURES = 256
_EXAMPLES = 2048
_LARGE = 1 << 28
"""Bytes of a matrix from which on copies of its rows are kept small."""


def copy_share(n: int, p: int, dtype: torch.dtype) -> float:
    """:attr:`RowSource.copy_share` of a matrix of this size."""
    return 0.4 if n * p * dtype.itemsize >= _LARGE else 0.75


class DesignMatrix(RowSource):
    """Standardised features Z, stored feature-major, of all examples or of this process's share of them.

    Args:
        values: (p, n_local) float32 or float64, contiguous.
        n: Examples of all processes together; those in ``values`` if None.
        total: Adds up the processes' sums.

    Attributes:
        values: The matrix.
    """

    def __init__(self, values: Tensor, n: int | None = None, total: Total = alone) -> None:
        self.values = values
        self.p, self.n_local = values.shape
        self.n = self.n_local if n is None else n
        self._total = total

    @property
    def dtype(self) -> torch.dtype:
        """Storage precision; predictions and gradients that certify are float64 whatever it is."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the rows live."""
        return self.values.device

    @property
    def whole(self) -> Tensor | None:
        """The matrix (p, n), unless other processes hold other rows."""
        return self.values if self._total is alone else None

    @property
    def copy_share(self) -> float:
        """See :class:`RowSource`."""
        return copy_share(self.n, self.p, self.dtype)

    def total(self, partial: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self._total(partial)

    def logits(self, weights: Tensor) -> Tensor:
        """Predictions without the intercept, (C, n_local) float64, from weights (C, p) and nothing else."""
        weights = weights.to(self.device, torch.float64)
        rows = weights.any(0).nonzero()[:, 0]
        if len(rows) == 0:
            return weights.new_zeros(weights.shape[0], self.n_local)
        active = weights[:, rows]
        if self.dtype == torch.float64:
            if thin(len(weights), self.values):
                return predict(active, self.values, rows)
            return active @ (self.values if len(rows) == self.p else self.values[rows])
        out = weights.new_empty(weights.shape[0], self.n_local)
        step = max(1, _CHUNK_ELEMENTS // len(rows))
        for low in range(0, self.n_local, step):
            block = self.values[:, low : low + step][rows].double()
            torch.matmul(active, block, out=out[:, low : low + step])
        return out

    def gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ Z / n``, (C, p) float64, of weighted residuals (C, n_local)."""
        if self.dtype == torch.float64:
            return self.total(self._times(residuals.double())) / self.n
        left = residuals.double()
        out = left.new_empty(len(left), self.p)
        step = max(1, _CHUNK_ELEMENTS // max(1, self.n_local))
        for low in range(0, self.p, step):
            out[:, low : low + step] = left @ self.values[low : low + step].double().T
        return self.total(out) / self.n

    def quick_logits(self, weights: Tensor) -> Tensor:
        """Predictions without the intercept from short products in storage precision, summed in float64."""
        values = self.values
        used = weights.any(0).nonzero()[:, 0]
        out = torch.zeros(weights.shape[0], self.n_local, dtype=torch.float64, device=self.device)
        narrow = weights.to(values.dtype)
        if thin(len(weights), values):
            for low in range(0, len(used), _FEATURES):
                part = used[low : low + _FEATURES]
                out += predict(narrow[:, part], values, part)
            return out
        if 3 * len(used) > self.p:
            for low in range(0, self.p, _FEATURES):
                out += narrow[:, low : low + _FEATURES] @ values[low : low + _FEATURES]
            return out
        for low in range(0, len(used), _FEATURES):
            part = used[low : low + _FEATURES]
            out += narrow[:, part] @ values[part]
        return out

    def quick_gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ Z.T / n`` from short products in storage precision, summed in float64."""
        values = self.values
        if self.dtype == torch.float64 or thin(len(residuals), values):
            return self.total(self._times(residuals)).div_(self.n)
        out = torch.zeros(residuals.shape[0], self.p, dtype=torch.float64, device=self.device)
        narrow = residuals.to(values.dtype)
        for low in range(0, self.n_local, _EXAMPLES):
            out += narrow[:, low : low + _EXAMPLES] @ values[:, low : low + _EXAMPLES].T
        return self.total(out).div_(self.n)

    def _times(self, residuals: Tensor) -> Tensor:
        """``residuals @ Z.T`` (C, p) float64."""
        if thin(len(residuals), self.values):
            return gradient(residuals, self.values, torch.arange(self.p))
        return residuals.to(self.dtype) @ self.values.T

    def working(self, dtype: torch.dtype) -> DesignMatrix:
        """The matrix in another precision, a copy unless it is in this one already."""
        return self if dtype == self.dtype else DesignMatrix(self.values.to(dtype), self.n, self._total)

    def block(self, features: Tensor) -> Block:
        """Copies of some rows of the matrix, or the matrix itself for all of them."""
        if self.values.device.type == "cpu":
            return _Places(self.values, features)
        return _Rows.of(self.values, features, self.copy_share)

    def gather(self, features: Tensor) -> Tensor:
        """Copies of some rows of the matrix."""
        return self.values[features]

    def grams(
        self, left: Sequence[Indices], right: Sequence[Indices] | None, curvatures: Tensor
    ) -> list[Tensor]:
        """See :class:`RowSource`."""
        if right is None:
            out = symmetric_products(self.values, left, curvatures)
        else:
            out = cross_products(self.values, left, right, curvatures)
        if self._total is not alone and out:
            flat = self.total(torch.cat([product.reshape(-1) for product in out]))
            edges = np.cumsum([0] + [product.numel() for product in out]).tolist()
            out = [
                flat[low:high].view(product.shape)
                for product, (low, high) in zip(out, pairwise(edges), strict=True)
            ]
        return [product.div_(self.n) for product in out]


class _Places(Block):
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
        if not thin(len(weights), self._values):
            return self._copied().predict(weights)
        used = weights.any(0).nonzero()[:, 0]
        if 2 * len(used) > len(self._rows):
            return predict(weights, self._values, self._rows)
        return predict(weights[:, used], self._values, self._rows[used])

    def gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ X.T``."""
        if not thin(len(residuals), self._values):
            return self._copied().gradient(residuals)
        return gradient(residuals, self._values, self._rows)

    def grown(self, features: Tensor) -> Block:
        """The block with more rows."""
        rows = torch.cat([self._rows, features])
        return _Places(self._values, rows, None if self._copy is None else self._copy.grown(features))

    def _copied(self) -> Block:
        if self._copy is None:
            self._copy = _Rows.of(self._values, self._rows)
        return self._copy


class _Rows(Block):
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
    def of(cls, values: Tensor, rows: Tensor, share: float = 0.75) -> _Rows:
        """Copies of some rows, with room for this share of all; the matrix itself if they are all rows."""
        if len(rows) == len(values):
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

    def gradient(self, residuals: Tensor) -> Tensor:
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
        return _Rows(self._values, self._buffer, total, self._capacity)
