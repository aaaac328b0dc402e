"""The number of threads is a loan: it always comes back."""

import pytest
import torch

from sparse_debug_widgets.core.threads import thread_limit


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_limit_holds_inside_and_is_lifted_also_after_an_error(two_threads):
    def fail():
        with thread_limit(1):
            assert torch.get_num_threads() == 1
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("count", [None, 2, 8])
def test_a_limit_never_raises_the_number(two_threads, count):
    with thread_limit(count):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2
