"""Freed memory given back to the system.

Gram matrices that grow a little with every strength leave holes in the C library's heap that the next ones do
not fit into: without this, a path of 100 classes held fifty times the memory that it used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Return free pages of the heap, where the C library can (glibc); a few milliseconds."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return found
