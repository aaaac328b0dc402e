"""Large arrays that are used again: memory fresh from the system costs more than many a pass over it.

An array of 32 MB or more goes back to the system when it is freed, and its pages are faulted in and cleared
when the next one of its size is made: for 160 MB that takes as long as a softmax. While somebody has asked
for it (:func:`recycling`), such arrays are lent by this module and come back once nothing refers to them.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_CPU = torch.device("cpu")
_LARGE = 1 << 25
_IDLE = 4
"""Arrays that may lie idle."""

_lock = threading.RLock()  # an array may come back while another is asked for
_idle: list[npt.NDArray[np.uint8]] = []
_users = 0


class _Loan:
    """Owns the memory of one tensor, and gives it back."""

    def __init__(self, memory: npt.NDArray[np.uint8]) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        with _lock:
            if _users:
                _idle.append(self._memory)
                del _idle[:-_IDLE]


def recycling(user: object) -> None:
    """Keep large arrays for further use as long as ``user`` exists."""
    global _users  # noqa: PLW0603 - memory belongs to the process
    with _lock:
        _users += 1
    weakref.finalize(user, _leave).atexit = False


def _leave() -> None:
    global _users  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users == 0:
            _idle.clear()


def empty(rows: int, columns: int, dtype: torch.dtype, device: torch.device = _CPU) -> Tensor:
    """A tensor (rows, columns) with any values; on a GPU from torch, which recycles there itself."""
    size = rows * columns * dtype.itemsize
    if size < _LARGE or not _users or device.type != "cpu":
        return torch.empty(rows, columns, dtype=dtype, device=device)
    with _lock:
        same = [place for place, memory in enumerate(_idle) if len(memory) == size]
        memory = _idle.pop(same[-1]) if same else torch.empty(size, dtype=torch.uint8).numpy()
    # The tensor keeps the array alive, and that keeps the loan.
    return torch.from_numpy(np.asarray(_Loan(memory))).view(dtype).view(rows, columns)


def empty_like(array: Tensor) -> Tensor:
    """A tensor of the shape and precision of a matrix, and where it is, with any values."""
    rows, columns = array.shape
    return empty(rows, columns, array.dtype, array.device)


def cast(array: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix in another precision; itself if it has that already."""
    if array.dtype == dtype:
        return array
    rows, columns = array.shape
    return empty(rows, columns, dtype, array.device).copy_(array)


def copy(array: Tensor) -> Tensor:
    """A copy of a matrix."""
    return empty_like(array).copy_(array)
