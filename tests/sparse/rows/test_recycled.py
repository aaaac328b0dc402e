"""Large arrays are lent again once nothing refers to them, and never before."""

import gc
import subprocess
import sys

import pytest
import torch

from sparse_debug_widgets.sparse.rows import recycled

ROWS, COLUMNS = 64, 1000


class User:
    pass


@pytest.fixture
def small(monkeypatch):
    """Arrays of a few kilobytes count as large, and nobody has asked for any yet."""
    gc.collect()
    monkeypatch.setattr(recycled, "_LARGE", 1000)
    monkeypatch.setattr(recycled, "_idle", [])
    monkeypatch.setattr(recycled, "_users", 0)


@pytest.fixture
def user(small):
    someone = User()
    recycled.recycling(someone)
    return someone


def lend(dtype=torch.float64):
    return recycled.empty(ROWS, COLUMNS, dtype)


@pytest.mark.usefixtures("user")
def test_an_array_comes_back_when_no_view_of_it_is_left():
    first = lend()
    place = first.data_ptr()
    assert place % 64 == 0
    views = [first[3], first.numpy()[5], first.T]
    del first
    assert lend().data_ptr() != place
    for view in views:
        view[0] = 1.0
    del view
    views.clear()
    both = [lend(), lend()]
    assert place in {array.data_ptr() for array in both}


@pytest.mark.usefixtures("user")
def test_arrays_in_use_never_share_memory():
    held = [lend().fill_(float(k)) for k in range(20)]
    del held[::3]
    held += [lend().fill_(100.0 + k) for k in range(20)]
    assert len({array.data_ptr() for array in held}) == len(held)
    assert all(bool((array == array[0, 0]).all()) for array in held)
    assert len({float(array[0, 0]) for array in held}) == len(held)
    del held
    assert 0 < len(recycled._idle) <= recycled._IDLE


@pytest.mark.usefixtures("user")
def test_copies_and_casts():
    array = torch.randn(ROWS, COLUMNS, dtype=torch.float64)
    assert torch.equal(recycled.copy(array), array)
    assert recycled.cast(array, torch.float64) is array
    assert torch.equal(recycled.cast(array, torch.float32), array.float())
    assert recycled.empty_like(array.T).shape == array.T.shape
    assert recycled.empty(2, 3, torch.float32).shape == (2, 3)


@pytest.mark.usefixtures("small")
def test_nothing_is_kept_for_nobody():
    lend()
    one, two = User(), User()
    for someone in (one, two):
        recycled.recycling(someone)
    assert not recycled._idle
    late = lend()
    lend()
    del someone, one
    assert len(recycled._idle) == 1
    del two
    assert not recycled._idle
    del late
    assert not recycled._idle


def test_arrays_that_live_to_the_end_of_a_program_end_quietly():
    program = (
        "from sparse_debug_widgets.sparse.rows import recycled; import torch\n"
        "class User: pass\n"
        "user = User(); recycled.recycling(user); kept = recycled.empty(4096, 1024, torch.float64)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
