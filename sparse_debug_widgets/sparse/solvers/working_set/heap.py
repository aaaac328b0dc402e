"""Freed memory given back to the system.

Gram matrices that grow a little with every strength leave holes in the C library's heap that the next ones do
not fit into. What is given back must be faulted in anew when it is wanted again, which for large arrays costs
more than many a product: so that is done only once more lies idle than a strength uses.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_STATM = Path("/proc/self/statm")


class _Usage(ctypes.Structure):
    """The fields of glibc's ``mallinfo2``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class Heap:
    """Watches how much memory lies idle, where the C library can tell (glibc); else it does nothing.

    Args:
        spare: Bytes that may lie idle.
    """

    def __init__(self, spare: int) -> None:
        self._spare = spare
        functions = _functions()
        if functions is not None:
            functions[0](0)
        # What is resident now and no allocation uses is no heap: libraries, mapped files.
        self._elsewhere = _idle()

    def tidy(self) -> None:
        """Give idle pages back if they have become too many; a few milliseconds."""
        idle, functions = _idle(), _functions()
        if idle is not None and self._elsewhere is not None and functions is not None:
            # Such pages come and go as well: the least counts.
            self._elsewhere = min(self._elsewhere, idle)
            if idle - self._elsewhere > self._spare:
                functions[0](0)


def _idle() -> int | None:
    """Resident bytes that no allocation uses, and those that are no heap; None where that is not known."""
    functions = _functions()
    if functions is None:
        return None
    usage = functions[1]()
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") - int(usage.uordblks) - int(usage.hblkhd)


@cache
def _functions() -> tuple[Callable[[int], int], Callable[[], _Usage]] | None:
    try:
        library = ctypes.CDLL(None)
        trim, usage = library.malloc_trim, library.mallinfo2
    except (OSError, AttributeError, TypeError):
        return None
    usage.restype = _Usage
    return trim, usage
