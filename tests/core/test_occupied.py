"""Threads that use one live model take turns; the model is as it was after all of them."""

import multiprocessing
import threading

import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.hooks import model_untouched, modules_of
from sparse_debug_widgets.core.occupied import occupied
from tests.contracts.untouched import disturb, untouched

WAIT = 60


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Sequential(nn.ReLU(), nn.Linear(5, 3)))


class Second:
    """Another thread that wants a model, noted when it has it."""

    def __init__(self, model, **options):
        self.inside, self.errors = threading.Event(), []
        self._thread = threading.Thread(target=self._run, args=(model, options))
        self._thread.start()

    def _run(self, model, options):
        try:
            with model_untouched(model, **options) as bare:
                self.inside.set()
                bare(torch.ones(3, 4 if len(bare) == 3 else 5))
        except BaseException as error:
            self.errors.append(error)

    def join(self):
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        assert self.errors == []


def test_a_second_thread_waits_and_gradients_and_flags_survive_both():
    model = disturb(net())
    model.train()
    model(torch.rand(6, 4)).sum().backward()
    with untouched(model):
        with model_untouched(model, mode="train", frozen=True) as bare:
            second = Second(model)
            assert not second.inside.wait(0.2)
            bare(torch.rand(6, 4))
        assert second.inside.wait(WAIT)
        second.join()


def test_long_calls_that_would_overlap_leave_the_model_as_it_was():
    """The shorter call begins first and ends in the middle of the longer one, were there no turns."""
    model = net().train()
    model(torch.rand(6, 4)).sum().backward()
    with untouched(model):
        started, go = threading.Event(), threading.Event()

        def longer():
            started.set()
            with model_untouched(model) as bare:
                go.wait(0.3)
                assert not bare.training

        with model_untouched(model):
            thread = threading.Thread(target=longer)
            thread.start()
            assert started.wait(WAIT)
        go.set()
        thread.join(WAIT)


@pytest.mark.parametrize("part", ["module", "parameter"])
def test_a_model_that_shares_a_part_waits_too(part):
    model = net()
    other = model[2] if part == "module" else nn.Sequential(nn.Linear(5, 3), nn.ReLU())
    if part == "parameter":
        other[0].weight = model[2][1].weight
    with model_untouched(model):
        second = Second(other)
        assert not second.inside.wait(0.2)
    second.join()


def test_models_that_share_nothing_do_not_wait_for_each_other():
    with model_untouched(net()):
        second = Second(net())
        assert second.inside.wait(WAIT)
        second.join()


def test_one_thread_may_use_a_model_within_its_own_use():
    model = net()
    with untouched(model), model_untouched(model) as bare, model_untouched(bare[2]) as head:
        head(torch.rand(2, 5))


def test_an_error_inside_lets_the_next_thread_in():
    model = net()
    with pytest.raises(ZeroDivisionError), model_untouched(model):
        raise ZeroDivisionError
    second = Second(model)
    second.join()


def _child(model, done):
    with model_untouched(model) as bare:
        bare(torch.rand(3, 4))
    done.value = 1


def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have():
    model = net()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with occupied(modules_of(model)):
            inside.set()
            leave.wait(WAIT)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(WAIT)
    context = multiprocessing.get_context("fork")
    done = context.Value("i", 0)
    child = context.Process(target=_child, args=(model, done))
    child.start()
    child.join(WAIT)
    leave.set()
    thread.join(WAIT)
    assert (child.exitcode, done.value) == (0, 1)
