"""Idle memory is given back once there is more of it than may lie idle."""

import ctypes
import sys

import pytest

from sparse_debug_widgets.sparse.rows.memory_meter import resident_bytes
from sparse_debug_widgets.sparse.solvers.working_set.heap import Heap

BLOCK, COUNT = 64_000, 2_000  # below the size from which on the C library maps memory for each block

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only glibc tells")


def fragmented():
    """Memory of 128 MB, freed but for its last block, so that the heap does not shrink by itself."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    blocks = [library.malloc(BLOCK) for _ in range(COUNT)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    for block in blocks[:-1]:
        library.free(block)
    return lambda: library.free(blocks[-1])


@pytest.mark.parametrize(("spare", "given"), [(10**7, True), (10**9, False)])
def test_idle_memory_is_given_back(spare, given):
    heap = Heap(spare)
    heap.tidy()
    last = fragmented()
    before = resident_bytes()
    heap.tidy()
    after = resident_bytes()
    last()
    assert (before - after > 0.8 * BLOCK * COUNT) == given
