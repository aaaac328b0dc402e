"""A cell trains the live model while a panel takes features: neither notices the other."""

import threading

import pytest
import torch
from torch import nn

from sparse_debug_widgets.sparse import elastic_net_path, extract_features
from sparse_debug_widgets.widgets import fit_panel, panel
from tests.widgets.front import eventually

PICTURES = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(60) % 3


class Gated(torch.utils.data.Dataset):
    """Whoever reads it beside the main thread is held up in the middle until the gate opens."""

    def __init__(self) -> None:
        self.reached, self.gate = threading.Event(), threading.Event()

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        if i == 40 and threading.current_thread() is not threading.main_thread():
            self.reached.set()
            assert self.gate.wait(60)
        return PICTURES[i], LABELS[i]


def net():
    torch.manual_seed(0)
    parts = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.Tanh()
    return nn.Sequential(*parts, nn.Dropout(0.2), nn.Linear(8, 3)).train()


def train(model):
    torch.manual_seed(3)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(10):
        nn.functional.cross_entropy(model(PICTURES[:16]), LABELS[:16]).backward()
        assert all(module.training for module in model.modules())
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimiser.step()
        optimiser.zero_grad()


def fit(model, data):
    shown = fit_panel(model, data, checkpoints=False, batch_size=8, n_lambdas=4, eps=0.1, fallback="none")
    return shown, shown.start()


def refresh(model, data):
    path = elastic_net_path(extract_features(model, data), n_lambdas=4, eps=0.1)
    shown = panel(path, model, data=data, fallback="none")
    return shown, shown.renew()


@pytest.mark.parametrize("begin", [fit, refresh])
def test_training_and_features_are_what_they_are_alone(begin):
    alone, model, data = net(), net(), Gated()
    train(alone)
    shown, job = begin(model, data)
    assert data.reached.wait(60)
    train(model)
    data.gate.set()
    path = job.result(60)
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    wanted = extract_features(net(), data)
    assert path.provenance.params["model_fingerprint"] == wanted.provenance.params["model_fingerprint"]
    if begin is fit:
        assert (shown._source.features.values == wanted.values).all()
    eventually(lambda: shown.check_stale() == ("the model's parameters have changed",))


def test_features_of_a_model_that_was_trained_before_the_first_fit_are_not_stale():
    model = net()
    shown = fit_panel(model, (PICTURES, LABELS), checkpoints=False, n_lambdas=4, eps=0.1, fallback="none")
    train(model)
    assert shown.check_stale() == ("the model's parameters have changed",)
    shown.start().result(60)
    assert shown.check_stale() == ()
