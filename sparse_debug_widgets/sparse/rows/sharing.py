"""Compiled loops shared out over torch's threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch

Task = Callable[[], object]

WORTH = 2_000_000
"""Multiplications from which on more than one thread pays."""


def over_range(loop: Callable[[int, int], object], size: int, *, work: int, grain: int = 64) -> None:
    """Run ``loop(low, high)`` over ``range(size)``, in as many parts as torch has threads.

    Args:
        loop: A loop that releases the interpreter, and writes to places of its own range only.
        size: Length of the range.
        work: Multiplications in all; few of them are not shared out.
        grain: Parts begin at multiples of it, so that no two threads write to one cache line.
    """
    parts = min(torch.get_num_threads() if work >= WORTH else 1, -(-size // grain))
    if parts <= 1:
        loop(0, size)
        return
    edges = [min(size, -(-size * part // parts // grain) * grain) for part in range(parts)] + [size]
    pool = _pool(os.getpid(), parts)
    for done in [pool.submit(loop, low, high) for low, high in pairwise(edges) if low < high]:
        done.result()


def over_tasks(tasks: Sequence[Task], *, work: int) -> None:
    """Run tasks that do not depend on each other, on torch's threads where there is work enough.

    A task must use no torch operation that is itself spread over threads, and must not share out work again.
    """
    parts = min(torch.get_num_threads() if work >= WORTH else 1, len(tasks))
    if parts <= 1:
        for task in tasks:
            task()
        return
    pool = _pool(os.getpid(), parts)
    for done in [pool.submit(task) for task in tasks]:
        done.result()


@cache
def _pool(process: int, parts: int) -> ThreadPoolExecutor:
    """The threads of this process; a forked one has none of its parent's, so it must not ask for them."""
    return ThreadPoolExecutor(parts, thread_name_prefix=f"loops {process}")
