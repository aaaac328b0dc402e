"""Private copies of live models: equal, independent, and made without a trace on the original."""

import random
import threading
import warnings

import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.hooks import model_untouched
from sparse_debug_widgets.widgets.kit.snapshot import snapshot


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def test_a_copy_says_the_same_and_shares_no_memory():
    model = net()
    model(torch.rand(2, 1, 8, 8)).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    twin = snapshot(model)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(twin.eval()(x), model.eval()(x))
    addresses = {t.data_ptr() for t in model.state_dict().values() if t.numel()}
    assert addresses.isdisjoint(t.data_ptr() for t in twin.state_dict().values())
    assert all(p.grad is None for p in twin.parameters())
    for parameter, before in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, before)


def test_training_the_original_does_not_reach_the_copy():
    model = net()
    twin = snapshot(model).eval()
    before = twin(torch.ones(1, 1, 8, 8))
    model.train()(torch.rand(4, 1, 8, 8)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.5).step()
    assert torch.equal(twin(torch.ones(1, 1, 8, 8)), before)
    assert not twin.training
    assert model.training


def test_layers_that_keep_a_tensor_with_a_graph_are_copied():
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(model[4])
    model(torch.rand(2, 1, 8, 8))
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(snapshot(model).eval()(x), model.eval()(x))


class Single(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("there is only one of me")


class Stubborn(nn.Linear):
    def __deepcopy__(self, memo):
        return self


@pytest.mark.parametrize("kind", [Single, Stubborn])
def test_a_model_that_cannot_be_copied_is_refused_in_words(kind):
    with pytest.raises(InputError, match=r"beside the notebook.*copy\.deepcopy"):
        snapshot(kind(2, 2))


def test_beside_the_main_thread_the_global_generators_are_left_alone():
    """Put back there, a training cell would draw the numbers again that it has drawn meanwhile."""
    inside, go_on = threading.Event(), threading.Event()

    def job():
        with model_untouched(net()):
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=job)
    thread.start()
    assert inside.wait(10)
    drawn, drawn_too = torch.rand(3), random.random()
    torch.backends.cudnn.benchmark = True
    go_on.set()
    thread.join()
    try:
        assert not torch.equal(torch.rand(3), drawn)
        assert random.random() != drawn_too
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False
