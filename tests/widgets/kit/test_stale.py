"""Panels notice when the live model or the data are no longer those of their result, and say what changed."""

import time

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.sparse import elastic_net_path, extract_features
from sparse_debug_widgets.widgets.kit import stale
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.front import request


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    values = rng.normal(size=(120, 6)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    data = torch.utils.data.TensorDataset(torch.from_numpy(values), torch.from_numpy(labels))
    features = extract_features(model, data)
    path = elastic_net_path(features, n_lambdas=6, eps=0.1)
    return model, data, features, path


def panel_of(world, **options):
    model, data, _, path = world
    return PathPanel(path, model, **({"data": data, "fallback": "none"} | options))


def write_in_place(model):
    with torch.no_grad():
        model[0].weight.add_(1.0)


def write_past_the_counter(model):
    model[0].weight.data.add_(1.0)


def write_the_last_layer(model):
    with torch.no_grad():
        model[2].bias.add_(1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (write_in_place, stale.PARAMETERS),
        (write_past_the_counter, stale.PARAMETERS),
        (write_the_last_layer, stale.PARAMETERS),
        (lambda model: model.train(), stale.MODE_TRAIN),
        (lambda model: model.__setitem__(2, torch.nn.Linear(8, 3)), stale.LAYER),
    ],
)
def test_a_changed_model_is_noticed_and_said(world, change, reason, monkeypatch):
    monkeypatch.setattr(stale, "_SHARE", 0.0)
    panel = panel_of(world)
    assert panel.check_stale() == ()
    assert panel.stale == {}
    change(world[0])
    assert panel.check_stale() == (reason,)
    assert panel.stale == {"reasons": [reason], "whyNot": ""}


def test_what_is_put_back_is_not_stale_any_more(world):
    panel = panel_of(world)
    before = world[0][0].weight.detach().clone()
    write_in_place(world[0])
    assert panel.check_stale()
    with torch.no_grad():
        world[0][0].weight.copy_(before)
    assert panel.check_stale() == ()
    world[0].train()
    world[0].eval()
    assert panel.check_stale() == ()


def test_a_model_that_changed_before_the_panel_was_made_is_stale_from_the_start(world):
    write_in_place(world[0])
    assert panel_of(world).stale["reasons"] == [stale.PARAMETERS]


def test_the_panels_own_swap_is_no_change(world, monkeypatch):
    monkeypatch.setattr(stale, "_SHARE", 0.0)
    panel, other = panel_of(world), panel_of(world)
    panel.use_layer()
    assert panel.check_stale() == other.check_stale() == ()
    assert panel_of(world).check_stale() == ()
    write_in_place(world[0])
    assert panel.check_stale() == (stale.PARAMETERS,)
    panel.put_back()


def test_changed_data_are_noticed(world, monkeypatch):
    monkeypatch.setattr(stale, "_SHARE", 0.0)
    panel = panel_of(world)
    loader = panel_of(world, data=torch.utils.data.DataLoader(world[1], batch_size=16))
    values = world[1].tensors[0].numpy()
    arrays = panel_of(world, data=(values, world[1].tensors[1].numpy()))
    world[1].tensors[0][0, 0] += 1
    for each in (panel, loader, arrays):
        assert each.check_stale() == (stale.DATA,)


def test_a_refresh_is_a_job_that_shows_the_new_path_in_place(world):
    panel = panel_of(world)
    panel.use_layer()
    write_in_place(world[0])
    assert panel.check_stale()
    before = dict(panel.head)
    reply, _ = request(panel, "refresh")
    assert reply["ok"]
    job = jobs.queue.get(reply["value"]["job"])
    path = job.result(60)
    for _ in range(200):
        if panel.renewal.get("state") == "done":
            break
        time.sleep(0.02)
    assert panel.check_stale() == ()
    assert panel.head != before
    assert type(world[0][2]) is torch.nn.Linear
    expected = elastic_net_path(extract_features(world[0], world[1]), n_lambdas=6, eps=0.1)
    np.testing.assert_allclose(path.weights_at(5), expected.weights_at(5), atol=1e-9)


def test_a_panel_that_lacks_data_says_so(world):
    panel = panel_of(world, data=world[2])
    write_in_place(world[0])
    assert panel.check_stale()
    assert "model and data" in panel.stale["whyNot"]
    reply, _ = request(panel, "refresh")
    assert not reply["ok"]
    assert "model and data" in reply["error"]["message"]


def test_between_two_hashes_version_counters_are_enough(world, monkeypatch):
    monkeypatch.setattr(stale, "_SHARE", 1e12)
    panel = panel_of(world)
    hashed = []
    real = stale._bytes
    monkeypatch.setattr(stale, "_bytes", lambda array: hashed.append(1) or real(array))
    assert panel.check_stale() == ()
    assert hashed == []
    write_in_place(world[0])
    assert panel.check_stale() == (stale.PARAMETERS,)
    assert hashed
