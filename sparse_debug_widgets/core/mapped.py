"""Reading memory maps without keeping them in memory.

Pages of a mapped file that have been read count as memory of the process until the system wants them back. A
fit that promises to stay within a budget gives them back itself, chunk by chunk.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt


def release(array: npt.NDArray[Any]) -> None:
    """Give the pages of a mapped array back to the system; they are read again when they are needed.

    Does nothing for arrays in memory, for maps whose changes are kept private (they would be lost), and on
    systems that have no such call.
    """
    if not isinstance(array, np.memmap) or getattr(array, "mode", "c") == "c":
        return
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        with suppress(OSError, ValueError):
            base.madvise(mmap.MADV_DONTNEED)
