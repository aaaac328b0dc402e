"""Statistics of a stream of activations after one pass: extremes and histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BINS = 64


class TopK:
    """The k largest values of each feature, for each group of rows; ties go to the earlier row.

    Args:
        n_features: F.
        n_groups: G.
        k: How many are kept.
    """

    def __init__(self, n_features: int, n_groups: int, k: int) -> None:
        self.values = np.full((n_features, n_groups, k), -np.inf)
        self.rows = np.full((n_features, n_groups, k), -1, np.int64)

    def reserve(self, n_groups: int) -> None:
        """Make room for more groups."""
        more = n_groups - self.rows.shape[1]
        if more > 0:
            wider = ((0, 0), (0, more), (0, 0))
            self.values = np.pad(self.values, wider, constant_values=-np.inf)
            self.rows = np.pad(self.rows, wider, constant_values=-1)

    def update(self, values: Array, rows: Array, groups: Array) -> None:
        """Take in a batch.

        Args:
            values: (b, F).
            rows: (b,) numbers that ascend from batch to batch.
            groups: (b,) group of each row.
        """
        k = self.values.shape[2]
        for group in np.unique(groups):
            members = groups == group
            both = np.concatenate([self.values[:, group], values[members].T], 1)
            numbers = np.concatenate(
                [self.rows[:, group], np.broadcast_to(rows[members], (len(both), members.sum()))], 1
            )
            # Stable: what came earlier stays first among equals.
            order = np.argsort(-both, axis=1, kind="stable")[:, :k]
            self.values[:, group] = np.take_along_axis(both, order, 1)
            self.rows[:, group] = np.take_along_axis(numbers, order, 1)


class StreamedHistogram:
    """Counts of each feature in at most ``BINS`` bins, whose width is the smallest power of two that fits.

    The same whatever the batches: bins that become too narrow are merged in pairs.
    """

    def __init__(self, n_features: int) -> None:
        self._counts = np.zeros((n_features, BINS), np.int64)
        self._first = np.zeros(n_features, np.int64)
        self._power = np.zeros(n_features, np.int64)
        self._only = np.full(n_features, np.nan)
        self._pending = np.zeros(n_features, np.int64)
        self.low = np.full(n_features, np.inf)
        self.high = np.full(n_features, -np.inf)

    def update(self, values: Array) -> None:
        """Take in a batch (b, F)."""
        self.low = np.minimum(self.low, values.min(0))
        self.high = np.maximum(self.high, values.max(0))
        for j in range(values.shape[1]):
            column = np.asarray(values[:, j], np.float64)
            if self.low[j] == self.high[j]:
                # Nothing is known of the spread as long as all values are equal.
                self._only[j], self._pending[j] = self.low[j], self._pending[j] + len(column)
                continue
            power = _smallest_power(self.low[j], self.high[j])
            first = int(np.floor(self.low[j] / 2.0**power))
            self._widen(j, power, first)
            if self._pending[j]:
                self._add(j, np.repeat(self._only[j], self._pending[j]))
                self._pending[j] = 0
            self._add(j, column)

    def _widen(self, j: int, power: int, first: int) -> None:
        if self._counts[j].any():
            old = np.flatnonzero(self._counts[j])
            places = (old + self._first[j]) >> (power - self._power[j])
            merged = np.zeros(BINS, np.int64)
            np.add.at(merged, places - first, self._counts[j][old])
            self._counts[j] = merged
        self._power[j], self._first[j] = power, first

    def _add(self, j: int, column: Array) -> None:
        places = np.floor(column / 2.0 ** self._power[j]).astype(np.int64) - self._first[j]
        self._counts[j] += np.bincount(places, minlength=BINS)

    def finish(self) -> tuple[Array, Array]:
        """Counts (F, BINS) and edges (F, BINS + 1); a constant feature has one bin around its value."""
        numbers = self._first[:, None] + np.arange(BINS + 1)
        edges = numbers * 2.0 ** self._power[:, None]
        counts = self._counts.copy()
        for j in np.flatnonzero(self._pending):
            edges[j] = self._only[j] - 0.5 + np.arange(BINS + 1)
            counts[j, 0] = self._pending[j]
        return counts, edges


def _smallest_power(low: float, high: float) -> int:
    power = int(np.ceil(np.log2((high - low) / BINS)))
    while np.floor(high / 2.0**power) - np.floor(low / 2.0**power) >= BINS:
        power += 1
    return power
