"""What a fit costs: CPU seconds and peak memory; and a watch over fits that take long."""

import ctypes
import gc
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

EVERY = 15.0
"""Seconds between two lines about a long fit."""


class Run(NamedTuple):
    """One fit: CPU seconds, peak bytes above what the process held before (nan if unknown), points."""

    seconds: float
    peak: float
    points: list


def resident(name):
    """Bytes of a line of /proc/self/status; nan where there is none."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split(f"{name}:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return math.nan


def bytes_before():
    """Bytes that the process holds, from which its peak is counted anew; nan where the system cannot."""
    gc.collect()
    # What an earlier fit freed would serve the next one unseen, as long as the allocator keeps it.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return math.nan
    return resident("VmRSS")


def peak_since(before):
    """Peak bytes above these."""
    return resident("VmHWM") - before


class Watch:
    """Says on stderr how far a path is, and knows when its time is over.

    Args:
        count: Strengths of the path.
        most: Seconds of wall time after which no further strength begins; without it nothing is said.
    """

    def __init__(self, count=0, most=None):
        self.count, self.most = count, most
        self.done, self.gap = 0, math.nan
        self.started = self.told = time.perf_counter()

    def tick(self):
        """To be called often while a strength is solved."""
        now = time.perf_counter()
        if self.most is not None and now - self.told >= EVERY:
            self.told = now
            where = f"strength {min(self.done + 1, self.count)} of {self.count}"
            sys.stderr.write(f"{where}, {now - self.started:.0f} s, last gap {self.gap:.1e}\n")
            sys.stderr.flush()

    def solved(self, gap):
        """A strength has been solved, with this gap."""
        self.done, self.gap = self.done + 1, gap
        self.tick()

    def over(self):
        return self.most is not None and time.perf_counter() - self.started > self.most
