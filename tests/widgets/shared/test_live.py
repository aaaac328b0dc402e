"""The live model behind the panel: swapped, measured and always put back as it was."""

import copy
import sys

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from torch.utils.data import TensorDataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.widgets.kit import assets
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.front import listening, request, say

rng = np.random.default_rng(0)
LABELS = np.arange(240) % 3
INPUTS = rng.normal(size=(240, 12)).astype(np.float32)
INPUTS[:, :3] += 1.5 * np.eye(3, dtype=np.float32)[LABELS]


def new_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def data():
    return TensorDataset(torch.from_numpy(INPUTS), torch.from_numpy(LABELS))


@pytest.fixture(scope="module")
def features(data):
    return sdw.extract_features(new_model(), data, class_names=["a", "b", "c"])


@pytest.fixture(scope="module")
def path(features):
    return sdw.elastic_net_path(features, n_lambdas=12, eps=0.05)


@pytest.fixture
def model():
    return new_model()


def accuracy(model, data):
    was = model.training
    model.eval()
    with torch.no_grad():
        logits = model(data.tensors[0])
    model.train(was)
    return float((logits.argmax(1) == data.tensors[1]).float().mean())


def snapshot(model):
    return [
        (name, id(module), module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]


def test_use_puts_the_layer_into_the_model_and_restore_takes_it_out(model, path, data):
    before, weights = snapshot(model), copy.deepcopy(model.state_dict())
    panel = sdw.panel(path, model, data=data)
    own = accuracy(model, data)
    reply, _ = request(panel, "use", index=8, silenced=[])
    assert reply["ok"], reply
    assert panel.live["before"] == pytest.approx(own)
    assert panel.live["after"] == pytest.approx(accuracy(model, data))
    z = torch.from_numpy(INPUTS)
    model.eval()
    expected = path.decision_layer(8)(model[:3](z))
    assert torch.allclose(model(z), expected, atol=1e-5)
    model.train()
    reply, _ = request(panel, "restore")
    assert reply["ok"]
    assert panel.live == {}
    assert snapshot(model) == before
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())


def test_measured_accuracy_is_that_of_the_live_model(model, path, data):
    panel = sdw.panel(path, model, data=data)
    silenced = [[0, -1], [3, 1]]
    reply, _ = request(panel, "measure", index=8, silenced=silenced)
    value = reply["value"]
    layer = path.decision_layer(8).silence(0).silence(3, class_index=1)
    with layer.installed(model):
        assert value["silenced"] == pytest.approx(accuracy(model, data))
    with path.decision_layer(8).installed(model):
        assert value["plain"] == pytest.approx(accuracy(model, data))
    assert value["own"] == pytest.approx(accuracy(model, data))


def test_deep_features_are_taken_once_and_again_after_training(model, path, data):
    panel = sdw.panel(path, model, data=data)
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    request(panel, "measure", index=5, silenced=[[0, -1]])
    request(panel, "use", index=5)
    assert len(calls) == 1
    model[0].weight.data.mul_(-1)
    reply, _ = request(panel, "measure", index=5, silenced=[[0, -1]])
    assert len(calls) == 2
    panel.put_back()
    assert reply["value"]["own"] == pytest.approx(accuracy(model, data))


def test_a_cell_that_is_run_again_finds_the_way_back(model, path, data):
    first = sdw.panel(path, model, data=data)
    first.use_layer()
    again = sdw.panel(path, model, data=data)
    assert again.live == first.live != {}
    again.put_back()
    assert first.live == again.live == {}
    assert isinstance(model[3], nn.Linear)


def test_another_path_of_the_same_model_says_so(model, path, features, data):
    sdw.panel(path, model).use_layer()
    other = sdw.panel(sdw.elastic_net_path(features, n_lambdas=4, eps=0.2), model)
    assert other.live == {"other": True}
    other.use_layer()
    other.put_back()
    assert isinstance(model[3], nn.Linear)


def test_an_error_while_measuring_leaves_the_model_alone(model, path):
    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, i):
            if i > 5:
                raise OSError("disk gone")
            return torch.zeros(12), 0

    before = snapshot(model)
    panel = sdw.panel(path, model, data=Broken())
    reply, _ = request(panel, "use", index=3)
    assert reply["error"]["type"] == "OSError"
    assert snapshot(model) == before
    assert panel.live == {}


def test_a_cancelled_use_leaves_the_model_alone(model, path, data):
    before = snapshot(model)
    panel = sdw.panel(path, model, data=data)
    with listening(panel) as heard:
        original = panel._desk._run

        def run(call, content):
            call.cancelled.set()
            content["args"]["index"] = 3
            return original(call, content)

        panel._desk._run = run
        say(panel, {"sdw": "request", "id": "c", "action": "use", "args": {}})
    assert [c["error"]["type"] for c, _ in heard if c["sdw"] == "reply"] == [Cancelled.__name__]
    assert snapshot(model) == before


def test_features_serve_as_data_without_a_model(features, path):
    panel = sdw.panel(path, data=features)
    reply, _ = request(panel, "measure", index=8, silenced=[[0, -1]])
    assert reply["value"]["on"] == "validation split, 24 examples"
    assert reply["value"]["plain"] == pytest.approx(path.accuracies[8, 1])
    assert reply["value"]["own"] == pytest.approx(path.dense_accuracies[1])
    assert not request(panel, "use", index=8)[0]["ok"]


def test_a_model_of_another_width_is_refused(path):
    with pytest.raises(InputError, match="16 features; got one of 5"):
        sdw.panel(path, nn.Sequential(nn.Linear(12, 5), nn.Identity(), nn.Identity(), nn.Linear(5, 3)))


def test_the_layer_of_the_panel_is_what_is_looked_at(path, model):
    panel = sdw.panel(path, model)
    panel.idx, panel.silenced = 9, [[2, -1]]
    assert (panel.layer.n_nonzero == path.decision_layer(9).silence(2).n_nonzero).all()


def test_a_path_as_the_last_expression_of_a_cell_is_a_panel(path):
    from sparse_debug_widgets.widgets import register_formatter

    shell = InteractiveShell()
    register_formatter(shell)
    data, _ = shell.display_formatter.format(path)
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)
    assert data["text/plain"] == repr(path)


def test_a_bare_result_is_its_panel_in_marimo_and_text_elsewhere(path, monkeypatch):
    from types import ModuleType

    from sparse_debug_widgets.core.result import show_results_as

    assert path._display_() == repr(path)
    marimo = ModuleType("marimo")
    marimo.running_in_notebook = lambda: True
    monkeypatch.setitem(sys.modules, "marimo", marimo)
    sdw._join_marimo()
    try:
        shown = path._display_()
        assert isinstance(shown, PathPanel)
        assert shown.path is path
        assert shown._esm == assets.address("path")  # it cannot always serve a module as a file
    finally:
        show_results_as(None)
