"""The feature matrix in memory: standardised, feature-major, on one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.rows.blocks import Copies, Places, Widened
from sparse_debug_widgets.sparse.rows.row_products import gradient, predict, scattered, thin
from sparse_debug_widgets.sparse.rows.row_source import Block, Indices, RowSource, Total, alone
from sparse_debug_widgets.sparse.rows.weighted_products import (
    batched_products,
    cross_products,
    symmetric_products,
)

_CHUNK_ELEMENTS = 1 << 22
_COPY, _FEW = 1 << 20, 64
"""Values in a float64 copy of a part of the matrix, and the least examples that it has."""
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
        values: (p, n_local) contiguous; float32, float64, or float16 or bfloat16 to save memory: products and
            sums are then float32 or better all the same, of values that are made wide a few at a time.
        n: Examples of all processes together; those in ``values`` if None.
        total: Adds up the processes' sums.
        wide: Precision of the products, if it is not that of the values (float32 where these are halves).

    Attributes:
        values: The matrix.
    """

    def __init__(
        self, values: Tensor, n: int | None = None, total: Total = alone, wide: torch.dtype | None = None
    ) -> None:
        self.values = values
        self._dtype = wide or (torch.float32 if values.element_size() == 2 else values.dtype)
        self.p, self.n_local = values.shape
        self.n = self.n_local if n is None else n
        self._total = total

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the products; predictions and gradients that certify are float64 whatever it is."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """The device of the rows."""
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
        if scattered(active, self.values):
            return predict(active, self.values, rows)
        if self.values.dtype == torch.float64:
            return active @ (self.values if len(rows) == self.p else self.values[rows])
        out = recycled.empty(len(weights), self.n_local, weights.dtype, self.device)
        step = max(_FEW, _COPY // len(rows))
        for low in range(0, self.n_local, step):
            block = self.values[:, low : low + step][rows].double()
            torch.matmul(active, block, out=out[:, low : low + step])
        return out

    def gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ Z / n``, (C, p) float64, of weighted residuals (C, n_local)."""
        left = residuals.double()
        if thin(len(left), self.values):
            return self.total(gradient(left, self.values, torch.arange(self.p))).div_(self.n)
        if self.values.dtype == torch.float64:
            return self.total(left @ self.values.T).div_(self.n)
        out = left.new_zeros(len(left), self.p)
        # So few examples at a time that their float64 copy stays in the cache.
        step = max(_FEW, _COPY // self.p)
        for low in range(0, self.n_local, step):
            part = slice(low, low + step)
            out.addmm_(left[:, part], self.values[:, part].double().T)
        return self.total(out).div_(self.n)

    def quick_logits(self, weights: Tensor) -> Tensor:
        """Predictions without the intercept from short products in working precision, summed in float64."""
        values, dtype = self.values, self._dtype
        used = weights.any(0).nonzero()[:, 0]
        out = torch.zeros(weights.shape[0], self.n_local, dtype=torch.float64, device=self.device)
        narrow = weights.to(dtype)
        if 3 * len(used) > self.p and not thin(len(weights), values):
            for low in range(0, self.p, _FEATURES):
                out += narrow[:, low : low + _FEATURES] @ values[low : low + _FEATURES].to(dtype)
            return out
        for part in torch.split(used, _FEATURES):
            if thin(len(weights), values):
                out += predict(narrow[:, part], values, part)
            else:
                out += narrow[:, part] @ values[part].to(dtype)
        return out

    def quick_gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ Z.T / n`` from short products in working precision, summed in float64."""
        values, narrow = self.values, residuals.to(self._dtype)
        if thin(len(residuals), values):
            return self.total(gradient(narrow, values, torch.arange(self.p))).div_(self.n)
        out = torch.zeros(residuals.shape[0], self.p, dtype=torch.float64, device=self.device)
        for low in range(0, self.n_local, _EXAMPLES):
            part = slice(low, low + _EXAMPLES)
            out += narrow[:, part] @ values[:, part].to(self._dtype).T
        return self.total(out).div_(self.n)

    def working(self, dtype: torch.dtype) -> DesignMatrix:
        """The matrix in another precision: a copy, unless the values are in half precision."""
        if dtype == self.dtype:
            return self
        if self._halved:
            return DesignMatrix(self.values, self.n, self._total, dtype)
        return DesignMatrix(self.values.to(dtype), self.n, self._total)

    @property
    def _halved(self) -> bool:
        return self.values.element_size() == 2

    def block(self, features: Tensor) -> Block:
        """Some rows: where they are, copied, or widened when they are used."""
        if self._halved:
            return Widened(self.values, features, self._dtype)
        if self.values.device.type == "cpu":
            return Places(self.values, features)
        return Copies.of(self.values, features, self.copy_share)

    def gather(self, features: Tensor) -> Tensor:
        """Copies of some rows of the matrix."""
        return self.values[features]

    def parts(self, features: Tensor, beside: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """See :class:`RowSource`; so few examples at a time that memory stays small."""
        every = len(features) == self.p and bool((features[1:] > features[:-1]).all())
        step = max(_EXAMPLES, _CHUNK_ELEMENTS // max(1, len(features) + beside))
        for low in range(0, self.n_local, step):
            part = slice(low, min(low + step, self.n_local))
            values = self.values[:, part]
            yield part, values if every else values[features]

    def padded_grams(self, left: Tensor, right: Tensor | None, curvatures: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self.total(batched_products(self.values, left, right, curvatures)).div_(self.n)

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
