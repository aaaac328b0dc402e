"""Mean and scale of features in one streaming pass, and features in standardised units.

The moments are accumulated in float64 chunk by chunk and merged by the update of Chan, Golub and LeVeque
(1983), so that neither a large mean nor a large n costs accuracy, and a memory map is read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.mapped import release

# Chunks that stay in the processor's cache: three times as fast as chunks of 64 MB.
_CHUNK_BYTES = 1 << 22
# A feature whose spread is within two units in the last place of its float32 values is rounding noise.
_NOISE = 2 * float(np.finfo(np.float32).eps)

SMALLEST = 1e-35
"""Spread below which a weight in raw units, about its inverse, leaves the range of float32."""

Float64 = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Mean and spread of each feature.

    Attributes:
        mean: (p,) float64.
        scale: (p,) float64, population standard deviation (divided by n); 1 where a feature is dead.
        alive: (p,) bool; dead features are constant, up to float32 rounding and its range.
    """

    mean: Float64
    scale: Float64
    alive: npt.NDArray[np.bool_]


def row_chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows that are about 4 MB of float64 each."""
    step = max(1, _CHUNK_BYTES // max(1, 8 * n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


@dataclass(frozen=True, eq=False)
class RunningMoments:
    """Count, mean, sum of squared deviations and range of each feature over some rows; can be added up.

    Attributes:
        count: Rows.
        mean: (p,) float64.
        m2: (p,) float64, squared deviations from the mean, summed.
        low: (p,) smallest values, infinite where there are no rows.
        high: (p,) largest values.
    """

    count: int
    mean: Float64
    m2: Float64
    low: Float64
    high: Float64

    @classmethod
    def none(cls, p: int) -> RunningMoments:
        """Of no rows at all."""
        return cls(0, np.zeros(p), np.zeros(p), np.full(p, np.inf), np.full(p, -np.inf))

    @classmethod
    def of(cls, part: Float64) -> RunningMoments:
        """Of the rows (k, p) of one array, which is overwritten."""
        low, high, mean = part.min(0), part.max(0), part.mean(0)
        part -= mean
        return cls(len(part), mean, np.einsum("ij,ij->j", part, part), low, high)

    def __add__(self, other: RunningMoments) -> RunningMoments:
        total = self.count + other.count
        if other.count == 0 or self.count == 0:
            return self if other.count == 0 else other
        delta = other.mean - self.mean
        m2 = self.m2 + (other.m2 + delta**2 * (self.count * other.count / total))
        mean = self.mean + delta * (other.count / total)
        return RunningMoments(
            total, mean, m2, np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        )

    def finish(self) -> Moments:
        """Mean and population standard deviation, and which features vary."""
        scale = np.sqrt(self.m2 / max(self.count, 1))
        largest = np.maximum(np.abs(self.low), np.abs(self.high))
        alive = (self.high > self.low) & (scale > np.maximum(_NOISE * largest, SMALLEST))
        return Moments(self.mean, np.where(alive, scale, 1.0), alive)


def running_moments(values: npt.NDArray[Any], rows: npt.NDArray[np.bool_]) -> RunningMoments:
    """Moments over the chosen rows (n,) bool of values (n, p), an array or a memory map."""
    found = RunningMoments.none(values.shape[1])
    for chunk in row_chunks(*values.shape):
        part = np.asarray(values[chunk])[rows[chunk]].astype(np.float64)
        if len(part):
            found = found + RunningMoments.of(part)
        release(values)
    return found


def moments(values: npt.NDArray[Any], rows: npt.NDArray[np.bool_]) -> Moments:
    """Mean and population standard deviation over the chosen rows.

    Args:
        values: (n, p), an array or a memory map.
        rows: (n,) bool, which rows count (the training split).

    Returns:
        The moments over these rows.
    """
    return running_moments(values, rows).finish()


def standardize(
    values: npt.NDArray[Any],
    center: Float64,
    scale: Float64,
    *,
    rows: npt.NDArray[np.bool_],
    columns: npt.NDArray[np.bool_],
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """``(values - center) / scale`` for the chosen rows and columns, computed in float64.

    Args:
        values: (n, p) raw features.
        center: (p,) mean.
        scale: (p,) spread, not 0.
        rows: (n,) bool.
        columns: (p,) bool.
        dtype: dtype of the answer.

    Returns:
        Array (rows chosen, columns chosen) in memory.
    """
    out = np.empty((int(rows.sum()), int(columns.sum())), dtype)
    start = 0
    every = bool(columns.all())
    shift, factor = center[columns], scale[columns]
    for chunk in row_chunks(*values.shape):
        part = np.asarray(values[chunk])[rows[chunk]]
        part = part if every else part[:, columns]
        out[start : start + len(part)] = (part.astype(np.float64) - shift) / factor
        start += len(part)
    return out


def check_features(values: npt.NDArray[Any], names: tuple[str, ...]) -> None:
    """Refuse NaN and infinite features; the message names the first row and feature.

    Raises:
        InputError: At least one value is not finite.
    """
    first: tuple[int, int] | None = None
    count = 0
    for chunk in row_chunks(*values.shape):
        part = np.asarray(values[chunk])
        # One pass without a temporary in the usual case: the sum is finite if all entries are.
        with np.errstate(over="ignore", invalid="ignore"):
            fine = np.isfinite(part.sum(dtype=np.float64))
        release(values)
        if fine:
            continue
        bad = np.argwhere(~np.isfinite(part))
        count += len(bad)
        if first is None and len(bad):
            first = (chunk.start + int(bad[0, 0]), int(bad[0, 1]))
    if first is not None:
        row, column = first
        got = f"{values[row, column]} in row {row}, feature {names[column]!r} ({count} such entries in all)"
        advice = "Remove these rows, or find out which layer overflows."
        reject("features", "a fit", "be finite numbers that float32 can hold", got, advice)
