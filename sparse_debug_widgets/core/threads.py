"""The number of PyTorch's threads: one for small work, where a second costs more than it brings.

On a machine whose cores are busy (another fit, a browser, a video call) two threads that meet at a barrier
after every small product can be ten times slower than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def thread_limit(count: int | None) -> Iterator[None]:
    """Use at most ``count`` threads inside, and as many as before afterwards, also after an error.

    Args:
        count: Threads for PyTorch's CPU kernels; None changes nothing.
    """
    before = torch.get_num_threads()
    if count is None or count >= before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
