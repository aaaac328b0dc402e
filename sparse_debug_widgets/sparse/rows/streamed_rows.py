"""Features that do not fit in memory: a row source that reads them from a file, as many as fit at a time.

Products over all features read the file once from end to end. The features at work stay in memory as far as
their share of the budget goes; only the rest of them is read for every product. The arithmetic is that of
:class:`DesignMatrix`, piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import refuse
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix, copy_share
from sparse_debug_widgets.sparse.rows.feature_file import FeatureFile
from sparse_debug_widgets.sparse.rows.memory_meter import Shares
from sparse_debug_widgets.sparse.rows.row_source import Block, Indices, RowSource, Total, alone
from sparse_debug_widgets.sparse.rows.weighted_products import cross_products, symmetric_products


class StreamedRows(RowSource):
    """Standardised features in a file.

    Args:
        file: The file, with the rows of this process.
        shares: How the memory budget is shared out.
        device: Where products are computed.
        dtype: Precision of the products; the file's if None.
        n: Examples of all processes together; those in the file if None.
        total: Adds up the processes' sums.
    """

    def __init__(
        self,
        file: FeatureFile,
        shares: Shares,
        device: torch.device,
        dtype: torch.dtype | None = None,
        n: int | None = None,
        total: Total = alone,
    ) -> None:
        self._file, self.shares, self._device = file, shares, device
        self._dtype = dtype or (torch.float64 if file.dtype == np.float64 else torch.float32)
        self._total = total
        self._room: Tensor | None = None
        self.p, self.n_local = file.p, file.n
        self.n = file.n if n is None else n

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the products."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """The device of products."""
        return self._device

    @property
    def copy_share(self) -> float:
        """As in memory, so that the solver takes the same decisions."""
        return copy_share(self.n, self.p, self._dtype)

    def affords(self, numbers: int) -> bool:
        """Say whether the budget holds so many numbers, where no block of features is asked for."""
        return 8 * numbers <= self.shares.grams + self.shares.resident

    def total(self, partial: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self._total(partial)

    def read(self, features: Tensor, low: int = 0, high: int | None = None) -> Tensor:
        """Some features (m,) of the examples ``low ... high``, (m, high - low)."""
        raw = self._file.read(features.cpu().numpy(), low, high)
        return torch.from_numpy(raw).to(self._device, self._dtype)

    def pieces(self, features: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Places among some features (m,) and their values, as many at a time as a chunk holds."""
        step = max(1, self.shares.chunk // (8 * max(1, self.n_local)))
        for low in range(0, len(features), step):
            part = slice(low, min(low + step, len(features)))
            yield part, self.read(features[part])

    def _every(self) -> Tensor:
        return torch.arange(self.p, device=self._device)

    def _predict(self, weights: Tensor, *, quick: bool) -> Tensor:
        weights = weights.to(self._device, torch.float64)
        used = weights.any(0).nonzero()[:, 0]
        out = weights.new_zeros(len(weights), self.n_local)
        for part, values in self.pieces(used):
            piece, chosen = DesignMatrix(values), weights[:, used[part]]
            out += piece.quick_logits(chosen) if quick else piece.logits(chosen)
        return out

    def _gradient(self, residuals: Tensor, *, quick: bool) -> Tensor:
        out = torch.zeros(len(residuals), self.p, dtype=torch.float64, device=self._device)
        for part, values in self.pieces(self._every()):
            piece = DesignMatrix(values, self.n)
            out[:, part] = piece.quick_gradient(residuals) if quick else piece.gradient(residuals)
        return self.total(out)

    def logits(self, weights: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self._predict(weights, quick=False)

    def gradient(self, residuals: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self._gradient(residuals, quick=False)

    def quick_logits(self, weights: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self._predict(weights, quick=True)

    def quick_gradient(self, residuals: Tensor) -> Tensor:
        """See :class:`RowSource`."""
        return self._gradient(residuals, quick=True)

    def working(self, dtype: torch.dtype) -> StreamedRows:
        """The same file, read in another precision."""
        if dtype == self._dtype:
            return self
        return StreamedRows(self._file, self.shares, self._device, dtype, self.n, self._total)

    def block(self, features: Tensor) -> Block:
        """Some features, in memory as far as their share of the budget goes."""
        if self._room is None:
            # Made once: memory that is not written to is not taken from the system.
            size = min(self.p, self.shares.resident // (self._dtype.itemsize * max(1, self.n_local)))
            self._room = torch.empty(size, self.n_local, dtype=self._dtype, device=self._device)
        return _StreamedBlock(self, self._room, features[:0]).grown(features)

    def gather(self, features: Tensor) -> Tensor:
        """The values of some features, if they fit in the features' share of the budget."""
        chosen = features.nonzero()[:, 0] if features.dtype == torch.bool else features
        needed = len(chosen) * self.n_local * self._dtype.itemsize
        if needed > self.shares.resident:
            refuse(
                f"The features at work need {needed / 1e6:.0f} MB, and memory_budget leaves "
                f"{self.shares.resident / 1e6:.0f} MB for them. Raise it, or pass solver='working_set', "
                "which reads them in pieces."
            )
        return self.read(chosen)

    def parts(self, features: Tensor, beside: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """See :class:`RowSource`."""
        step = max(1, self.shares.chunk // (8 * max(1, len(features) + beside)))
        for low in range(0, self.n_local, step):
            high = min(low + step, self.n_local)
            yield slice(low, high), self.read(features, low, high)

    def grams(
        self, left: Sequence[Indices], right: Sequence[Indices] | None, curvatures: Tensor
    ) -> list[Tensor]:
        """See :class:`RowSource`; one pass over the features concerned, for all sets together."""
        others = left if right is None else right
        sizes = [(len(a), len(b)) for a, b in zip(left, others, strict=True)]
        meter = self._file.meter
        meter.check_grams(sum(len(b) ** 2 for b in others), self._dtype.itemsize, self.shares.grams)
        used = np.unique(np.concatenate([*left, *others]))
        used = used[used > 0] - 1
        place = np.zeros(self.p + 1, np.int64)
        place[used + 1] = np.arange(1, len(used) + 1)
        local = [place[a] for a in left]
        opposite = None if right is None else [place[b] for b in right]
        flat = torch.zeros(sum(a * b for a, b in sizes), dtype=self._dtype, device=self._device)
        for part, values in self.parts(torch.from_numpy(used).to(self._device)):
            if opposite is None:
                made = symmetric_products(values, local, curvatures[:, part])
            else:
                made = cross_products(values, local, opposite, curvatures[:, part])
            meter.sample()
            low = 0
            for product in made:
                flat[low : low + product.numel()] += product.reshape(-1)
                low += product.numel()
        flat = self.total(flat).div_(self.n)
        ends = np.cumsum([a * b for a, b in sizes]).tolist()
        return [flat[end - a * b : end].view(a, b) for end, (a, b) in zip(ends, sizes, strict=True)]


class _StreamedBlock(Block):
    """Features at work: the first of them in memory, the others read for every product.

    Args:
        source: Where they are read from.
        buffer: Room (r, n) for those in memory.
        features: All of them (m,), those in memory first.
    """

    def __init__(self, source: StreamedRows, buffer: Tensor, features: Tensor) -> None:
        self._source = source
        self._buffer = buffer
        self._features = features
        self._held = min(len(buffer), len(features))

    def _some(self, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Places (k,) among the wanted ones, increasing, and their values, in pieces."""
        source = self._source
        step = max(1, source.shares.chunk // (8 * max(1, source.n_local)))
        inside = wanted[wanted < self._held]
        for low in range(0, len(inside), step):
            part = inside[low : low + step]
            # Neighbours are a view; a copy of others is as small as a chunk.
            first, last = int(part[0]), int(part[-1]) + 1
            yield part, self._buffer[first:last] if last - first == len(part) else self._buffer[part]
        outside = wanted[wanted >= self._held]
        for place, values in source.pieces(self._features[outside]):
            yield outside[place], values

    def predict(self, weights: Tensor) -> Tensor:
        """``weights @ X``; only features with a weight are read."""
        weights = weights.to(self._source.dtype)
        out = weights.new_zeros(len(weights), self._source.n_local)
        for places, values in self._some(weights.any(0).nonzero()[:, 0]):
            out += _whole(values).predict(weights[:, places])
        return out

    def gradient(self, residuals: Tensor, wanted: Tensor | None = None) -> Tensor:
        """``residuals @ X.T``."""
        residuals = residuals.to(self._source.dtype)
        out = torch.zeros(len(residuals), len(self._features), dtype=torch.float64, device=residuals.device)
        for places, values in self._some(torch.arange(len(self._features), device=residuals.device)):
            out[:, places] = _whole(values).gradient(residuals)
        return out

    def grown(self, features: Tensor) -> Block:
        """The block with more features; what there is room for is read once."""
        taken = min(len(self._buffer) - self._held, len(features))
        for place, values in self._source.pieces(features[:taken]):
            self._buffer[self._held + place.start : self._held + place.stop] = values
        return _StreamedBlock(self._source, self._buffer, torch.cat([self._features, features]))


def _whole(values: Tensor) -> Block:
    """The block of all rows of a matrix (k, n)."""
    return DesignMatrix(values).block(torch.arange(len(values), device=values.device))
