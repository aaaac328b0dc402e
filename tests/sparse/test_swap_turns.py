"""A layer is put into a live model, and taken out, while no other thread works in it; none waits for ever."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.hooks import model_untouched
from sparse_debug_widgets.sparse import SparseDecisionLayer

WAIT = 60
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.fc = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.body(x).relu())


def layer(value):
    """A layer whose logits are this number, whatever the features are."""
    one = np.ones(6)
    weights, intercepts, names = np.zeros((3, 6)), np.full(3, value), [f"f{j}" for j in range(6)]
    return SparseDecisionLayer.from_standardized(weights, intercepts, one, one, names, ["a", "b", "c"], "fc")


class Beside:
    """Something that runs on a thread of its own."""

    def __init__(self, work):
        self.error = None
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work):
        try:
            work()
        except BaseException as error:
            self.error = error
        self.done.set()

    def waits(self):
        return not self.done.wait(0.2)

    def join(self):
        assert self.done.wait(WAIT), "it waits for ever"
        if self.error is not None:
            raise self.error


def test_a_layer_goes_in_when_the_other_thread_has_left_the_model():
    model, handles = Net(), []
    own = model.fc
    with model_untouched(model) as bare:
        before = bare(X)
        beside = Beside(lambda: handles.append(layer(7.0).install(model)))
        assert beside.waits()
        assert torch.equal(bare(X), before)  # in the middle of a method nothing has changed
    beside.join()
    assert (model(X) == 7).all()
    with model_untouched(model) as bare:
        beside = Beside(handles[0].restore)
        assert beside.waits()
        assert (bare(X) == 7).all()
    beside.join()
    assert model.fc is own


def test_two_threads_with_layers_of_their_own_see_these_only():
    model, seen = Net(), {1.0: set(), 2.0: set()}
    own = model.fc

    def evaluate(value):
        for _ in range(20):
            with layer(value).installed(model), model_untouched(model) as bare:
                seen[value] |= set(bare(X).flatten().tolist())

    threads = [Beside(lambda value=value: evaluate(value)) for value in seen]
    for thread in threads:
        thread.join()
    assert seen == {1.0: {1.0}, 2.0: {2.0}}
    assert model.fc is own


def test_a_thread_that_the_block_waits_for_works_in_the_model():
    model, seen = Net(), []

    def look():
        with model_untouched(model) as bare:
            seen.append(bare(X).detach())

    with layer(3.0).installed(model):
        Beside(look).join()
        with layer(4.0).installed(model):  # within its own block a thread does not wait for itself
            Beside(look).join()
        Beside(look).join()
    assert [float(found.mean()) for found in seen] == [3, 4, 3]


def test_who_is_at_work_in_the_model_does_not_wait_for_a_block_that_waits_for_it():
    model = Net()
    own = model.fc
    at_work, entered = threading.Event(), threading.Event()

    def both():
        with model_untouched(model):
            at_work.set()
            assert entered.wait(WAIT)
            with layer(2.0).installed(model):
                pass

    def block():
        with layer(1.0).installed(model):
            beside[0] = Beside(both)
            entered.set()
            assert at_work.wait(WAIT)
            with model_untouched(model) as bare:  # waits for the other one
                assert (bare(X) == 1).all()

    beside = [None]
    Beside(block).join()
    beside[0].join()
    assert model.fc is own


def test_other_layers_are_not_waited_for_after_an_error():
    model = Net()
    with pytest.raises(InputError, match="no layer"), layer(1.0).installed(model, "body.nothing"):
        pass
    with pytest.raises(ValueError, match="inside"), layer(1.0).installed(model):
        raise ValueError("inside")
    Beside(lambda: layer(2.0).install(model).restore()).join()
