"""The meter of a fit with a memory budget: what it may use and has used, and its passes over the features."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sparse_debug_widgets.core.checks import InputError, reject

_STATM = Path("/proc/self/statm")
_MB = 1e6
_EXAMPLE_BYTES = 130
"""Bytes per example and output of all the predictions, residuals and curvatures that a fit holds at once."""
_OVERHEAD = 12_000_000
"""Bytes for what does not grow with the data: buffers of the allocator and of matrix products."""
_GRAM_COPIES = 4
"""A Gram matrix, its Cholesky factor, and a copy of each while they are made."""
_LARGEST_CHUNK = 1 << 26


class MemoryBudgetError(InputError):
    """The budget does not suffice for what comes next."""


class Shares(NamedTuple):
    """The shares of a budget.

    Attributes:
        chunk: Bytes of features that are read at a time.
        resident: Bytes of features at work that are kept in memory.
        grams: Bytes of Gram matrices, with all that is made of them.
    """

    chunk: int
    resident: int
    grams: int


@dataclass(eq=False)
class MemoryMeter:
    """Budget and use of one fit.

    Attributes:
        budget: Bytes.
        file_bytes: Bytes of one pass over all features.
        read_bytes: Bytes read so far.
        peak: Largest resident memory seen so far, above what there was at the start; None if unknown.
    """

    budget: int
    file_bytes: int = 0
    read_bytes: int = 0
    peak: int | None = None

    def __post_init__(self) -> None:
        self._start, self._mark = resident_bytes(), high_water_bytes()
        self.sample()

    def sample(self) -> None:
        """Look at the memory in use; called wherever much of it is."""
        now, mark = resident_bytes(), high_water_bytes()
        if now is None or self._start is None:
            return
        # The system's own mark sees what lies between two looks, but only above what there was before.
        top = max(now, mark) if mark is not None and mark > (self._mark or 0) else now
        self.peak = max(self.peak or 0, top - self._start)

    def read(self, count: int) -> None:
        """Note that so many bytes of features have been read."""
        self.read_bytes += count
        self.sample()

    @property
    def passes(self) -> float:
        """The number of times that all features have been read."""
        return self.read_bytes / max(1, self.file_bytes)

    def shares(self, n: int, p: int, n_outputs: int, width: int) -> Shares:
        """Share the budget out.

        Args:
            n: Examples of this process.
            p: Features.
            n_outputs: Rows C of the weights.
            width: Bytes of a number.

        Raises:
            InputError: The budget does not hold the predictions and one chunk of features.
        """
        fixed = _EXAMPLE_BYTES * n * n_outputs + 64 * n_outputs * p + 32 * n + _OVERHEAD
        rest = self.budget - fixed
        # A chunk is at least one feature of all examples, and one example of all features.
        chunk = max(rest // 24, width * max(n, p))
        if rest < 10 * width * max(n, p):
            least = fixed + 10 * width * max(n, p)
            must = f"hold the predictions for {n} examples and {n_outputs} outputs, and one chunk of features"
            must += f": at least {least / _MB:.0f} MB"
            reject("memory_budget", "this fit", must, f"{self.budget / _MB:.0f} MB")
        chunk = min(chunk, _LARGEST_CHUNK)
        left = rest - 4 * chunk
        return Shares(chunk, left - left // 3, left // 3)

    def check_grams(self, entries: int, width: int, share: int) -> None:
        """Refuse Gram matrices of so many entries in all, if they exceed their share.

        Raises:
            MemoryBudgetError: They do.
        """
        needed = _GRAM_COPIES * entries * width
        if needed > share:
            msg = (
                f"memory_budget is not compatible with this strength: its Gram matrices must have "
                f"{needed / _MB:.0f} MB; got {share / _MB:.0f} MB of a budget of {self.budget / _MB:.0f} MB. "
                "Raise the budget, or end the path earlier (eps=, max_features=)."
            )
            raise MemoryBudgetError(msg)


def resident_bytes() -> int | None:
    """Memory of this process that is in use, in bytes; None where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def high_water_bytes() -> int | None:
    """Most memory that this process ever had in use, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
