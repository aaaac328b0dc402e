"""Standardised features in a temporary file, feature-major: what a fit reads that does not fit in memory.

Feature-major, because a path works on few features for most of its length: those are read alone, each in one
piece. The file has no name where the system allows that, and is gone with the process, whatever ends it.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.mapped import release
from sparse_debug_widgets.sparse.rows.memory_meter import MemoryMeter
from sparse_debug_widgets.sparse.rows.row_source import Indices

Float64 = npt.NDArray[np.float64]


class FeatureFile:
    """A matrix (p, n) in a temporary file.

    Args:
        p: Features.
        n: Examples.
        dtype: float32 or float64.
        meter: Told of all reading.

    Raises:
        InputError: The disk has no room for it.
    """

    def __init__(self, p: int, n: int, dtype: np.dtype[Any], meter: MemoryMeter) -> None:
        self.p, self.n, self.dtype = p, n, dtype
        self.meter = meter
        needed, free = p * n * dtype.itemsize, shutil.disk_usage(tempfile.gettempdir()).free
        if needed > free:
            must = f"leave room for a copy of the features on disk, {needed / 1e9:.1f} GB"
            got = f"{free / 1e9:.1f} GB in {tempfile.gettempdir()!r}"
            advice = "Set the environment variable TMPDIR to a folder with more room."
            reject("memory_budget", "this machine", must, got, advice)
        self._file = tempfile.TemporaryFile(prefix="sdw-features-", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def write(self, low: int, part: npt.NDArray[Any]) -> None:
        """Write the examples from ``low`` on, (p, k)."""
        width = self.dtype.itemsize
        for j, row in enumerate(np.ascontiguousarray(part, self.dtype)):
            self._file.seek((j * self.n + low) * width)
            self._file.write(row.data)

    def read(self, features: Indices, low: int = 0, high: int | None = None) -> npt.NDArray[Any]:
        """Some features (m,) of the examples ``low ... high``, (m, high - low)."""
        stop = self.n if high is None else high
        out = np.empty((len(features), stop - low), self.dtype)
        width = self.dtype.itemsize
        # Neighbouring features of all examples lie in one piece.
        whole = low == 0 and stop == self.n
        breaks = np.flatnonzero(np.diff(features) != 1) + 1 if whole else np.arange(1, len(features))
        for first, last in pairwise([0, *breaks.tolist(), len(features)]):
            if last > first:
                self._file.seek((int(features[first]) * self.n + low) * width)
                self._fill(out[first:last])
        self.meter.read(out.nbytes)
        return out

    def _fill(self, out: npt.NDArray[Any]) -> None:
        view = out.reshape(-1).view(np.uint8).data
        while view:
            count = self._file.readinto(view)
            if not count:
                msg = "the temporary file of the features is shorter than it was written"
                raise OSError(msg)
            view = view[count:]


def standardised_file(
    values: npt.NDArray[Any],
    rows: Indices,
    *,
    mean: Float64,
    scale: Float64,
    alive: npt.NDArray[np.bool_],
    dtype: np.dtype[Any],
    chunk_bytes: int,
    meter: MemoryMeter,
) -> FeatureFile:
    """Standardise rows of (n, p) features, from wherever they are, into a file; one sequential pass.

    Args:
        values: Raw features, an array or a memory map.
        rows: (m,) increasing.
        mean: (p,).
        scale: (p,).
        alive: (p,) bool, the columns that go into the file.
        dtype: float32 or float64; the arithmetic is float64 either way.
        chunk_bytes: Bytes of a chunk.
        meter: Told of the memory in use.
    """
    file = FeatureFile(int(alive.sum()), len(rows), dtype, meter)
    shift, factor = mean[alive], scale[alive]
    # A chunk exists in four versions at once: as it is, in float64, and transposed.
    step = max(1, chunk_bytes // (2 * 8 * values.shape[1]))
    done = 0
    while done < len(rows):
        chosen = rows[done : done + step]
        part = np.asarray(values[chosen[0] : chosen[-1] + 1])[chosen - chosen[0]][:, alive].astype(np.float64)
        release(values)
        part -= shift
        part /= factor
        file.write(done, part.T)
        meter.sample()
        done += len(chosen)
    return file
