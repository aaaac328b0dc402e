"""One seed for everything: independent random streams from a seed and a name.

Every function that draws random numbers takes ``seed`` and derives its generators here, so that the
global generators of NumPy and PyTorch are never touched and two parts never share a stream.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from sparse_debug_widgets.core.checks import check_int

if TYPE_CHECKING:
    import torch


def _sequence(seed: int, stream: tuple[str | int, ...]) -> np.random.SeedSequence:
    root = check_int(seed, "seed", "a random stream", low=0)
    # crc32 rather than hash(): the same on every machine and in every process.
    keys = [zlib.crc32(str(part).encode()) for part in stream]
    return np.random.SeedSequence(root, spawn_key=keys)


def generator(seed: int, *stream: str | int) -> np.random.Generator:
    """A NumPy generator for one named stream of a seed.

    Args:
        seed: Non-negative whole number.
        *stream: Names (or counters) that tell this stream from others of the same seed.

    Returns:
        A generator that depends on the seed and the names only.

    Raises:
        InputError: The seed is negative or not a whole number.
    """
    return np.random.default_rng(_sequence(seed, stream))


def torch_generator(seed: int, *stream: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A PyTorch generator for one named stream of a seed, on the given device.

    Raises:
        InputError: The seed is negative or not a whole number.
    """
    import torch

    state = int(_sequence(seed, stream).generate_state(1, np.uint64)[0])
    # PyTorch takes seeds up to 2**63 - 1 on every device.
    return torch.Generator(device=device).manual_seed(state >> 1)


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Put the global generators of NumPy, Python and PyTorch (CPU and CUDA) back as they were.

    For third-party code that draws from the global generators; our own code does not. On a thread beside the
    main one nothing is put back: a cell may be drawing meanwhile, and would draw the same numbers twice.
    """
    import random

    import torch

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    numpy_state = np.random.get_state()  # noqa: NPY002 - saved, not drawn from
    python_state = random.getstate()
    cpu_state = torch.get_rng_state()
    used_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if used_cuda else []
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002 - restored, not drawn from
        random.setstate(python_state)
        torch.set_rng_state(cpu_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
