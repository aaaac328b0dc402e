"""What the panels of a path measure: on which data, of which layers, and what silencing does to it."""

import gc
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse.path.silencing import scores_along, standardized_columns, try_each
from sparse_debug_widgets.widgets.kit import wire
from tests.widgets.front import eventually, request

rng = np.random.default_rng(0)
LABELS = np.arange(240) % 3
INPUTS = rng.normal(size=(240, 12)).astype(np.float32)
INPUTS[:, :3] += 1.5 * np.eye(3, dtype=np.float32)[LABELS]


def new_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def tensors(first, last):
    return torch.from_numpy(INPUTS[first:last]), torch.from_numpy(LABELS[first:last])


@pytest.fixture(scope="module")
def model():
    return new_model()


@pytest.fixture(scope="module")
def features(model):
    return sdw.extract_features(model, tensors(0, 160), class_names=["a", "b", "c"])


@pytest.fixture(scope="module")
def path(features):
    return sdw.elastic_net_path(features, n_lambdas=12, eps=0.05)


def accuracy(model, data):
    model.eval()
    with torch.no_grad():
        return float((model(data[0]).argmax(1) == data[1]).float().mean())


def scored(panel):
    panel.score_path().wait()
    eventually(lambda: panel.scored)
    value = panel.scored["value"]
    head = panel.scored["arrays"]["scores"]
    return value, wire.decode(head, head["data"])


def test_every_strength_is_measured_on_the_panels_data(model, path):
    clean_test = tensors(160, 240)
    panel = sdw.panel(path, model, data=clean_test)
    value, scores = scored(panel)
    assert value["n"] == 80
    assert value["own"] == pytest.approx(accuracy(model, clean_test))
    for k in (0, 5, 11):
        with path.decision_layer(k).installed(model):
            assert scores[k] == pytest.approx(accuracy(model, clean_test))
    reply, buffers = request(panel, "measure", index=11, silenced=[[2, -1], [3, 1]])
    along = wire.from_message(reply["arrays"], buffers)["along"]
    layer = path.decision_layer(7).silence(2).silence(3, class_index=1)
    with layer.installed(model):
        assert along[7] == pytest.approx(accuracy(model, clean_test))
    assert reply["value"]["silenced"] == pytest.approx(along[11])


def test_a_measurement_names_its_data(model, path, features, monkeypatch):
    import __main__

    clean_test, train = tensors(160, 240), tensors(0, 160)
    monkeypatch.setattr(__main__, "clean_test", clean_test, raising=False)
    panel = sdw.panel(path, model, data=clean_test)
    assert panel.head["value"]["dataName"] == "clean_test"
    reply, _ = request(panel, "measure", index=5, silenced=[[0, -1]])
    assert reply["value"]["on"] == "clean_test, 80 examples"
    # Rows that the path was fitted to are said to be among them.
    state = sdw.panel(path, model, data=train)
    reply, _ = request(state, "measure", index=5, silenced=[[0, -1]])
    assert reply["value"]["on"] == "the panel's data (with the training rows), 160 examples"
    reply, _ = request(sdw.panel(path, data=features), "measure", index=5, silenced=[[0, -1]])
    assert reply["value"]["on"].startswith("validation split, ")
    assert reply["value"]["own"] == pytest.approx(path.dense_accuracies[1])


def test_panels_that_follow_each_other_report_the_same(model, path, features):
    clean_test = tensors(160, 240)
    first = sdw.panel(path, model, data=clean_test)
    second = sdw.features_panel(path, model, features=features, follow=first)
    asked = {"index": 9, "silenced": [[0, -1]]}
    one, two = (request(panel, "measure", **asked)[0]["value"] for panel in (first, second))
    assert one == two
    assert one["on"].endswith("80 examples")
    # A Path panel without data measures on those of the panel that follows it.
    alone = sdw.panel(path, model)
    assert not alone.head["value"]["measurable"]
    third = sdw.features_panel(path, model, features=features, follow=alone)
    assert alone.head["value"]["measurable"]
    one, two = (request(panel, "measure", **asked)[0]["value"] for panel in (alone, third))
    assert one == two
    assert one["on"].startswith("validation split")


def test_a_panel_that_measures_on_anothers_data_does_not_keep_it_alive(model, path, features):
    first = sdw.panel(path, model, data=tensors(160, 240), fallback="none")
    second = sdw.features_panel(path, model, features=features, follow=first)
    gone = weakref.ref(first)
    first.close()
    del first
    gc.collect()
    assert gone() is None
    reply, _ = request(second, "measure", index=9, silenced=[[0, -1]])
    assert reply["value"]["on"].endswith("80 examples")


def test_each_feature_silenced_on_its_own_is_what_the_live_model_says(model, path):
    clean_test = tensors(160, 240)
    panel = sdw.panel(path, model, data=clean_test, index=11, class_index=1)
    panel.silenced = [[4, -1]]
    for everywhere in (True, False):
        table = panel.try_each(everywhere=everywhere)
        weights = path.decision_layer(11).silence(4).standardized_weight[1]
        assert sorted(table["feature"]) == np.flatnonzero(weights).tolist()
        assert (np.diff(table["score"]) <= 0).all()
        with path.decision_layer(11).silence(4).installed(model):
            before = accuracy(model, clean_test)
        for row in table.iloc[[0, -1]].itertuples():
            where = None if everywhere else 1
            with path.decision_layer(11).silence(4).silence(row.feature, where).installed(model):
                after = accuracy(model, clean_test)
            assert row.score == pytest.approx(after)
            assert row.change == pytest.approx(after - before, abs=1e-6)
            assert row.mended - row.broken == round(row.change * 80)
    reply, _ = request(panel, "trials", index=11, row=1, silenced=[[4, -1]], everywhere=False)
    assert [trial["feature"] for trial in reply["value"]["trials"]] == table["feature"].tolist()
    with pytest.raises(InputError, match="data to measure on"):
        sdw.panel(path, model).try_each()


@pytest.mark.parametrize("family", ["binomial", "gaussian"])
def test_other_families_are_measured_along_the_path_and_one_by_one(family):
    y = LABELS > 0 if family == "binomial" else INPUTS[:, 0] - INPUTS[:, 4]
    labels = y.astype(int) if family == "binomial" else y.astype(float)
    path = sdw.elastic_net_path(INPUTS, labels, family=family, n_lambdas=6, eps=0.05, validation=0)
    columns = standardized_columns(path, INPUTS)
    scores = scores_along(path, columns, labels)
    np.testing.assert_allclose(scores, path.accuracies[:, 0], atol=1e-6)
    (best, *_) = try_each(path, 5, columns, labels, 0)
    quiet = path.decision_layer(5).silence(best.feature)(torch.from_numpy(INPUTS)).numpy()
    assert best.score == pytest.approx(path.labels_are.measure(quiet.astype(float), labels), abs=1e-6)
    assert best.weight == path.class_path(0)[5, best.feature]


def test_scores_that_would_take_too_long_are_thinned_out_and_end_at_the_dense_end(path):
    columns = standardized_columns(path, np.maximum(rng.normal(size=(50, 16)), 0))
    labels = LABELS[:50]
    whole = scores_along(path, columns, labels)
    thin = scores_along(path, columns, labels, budget=50.0 * path.n_nonzero.sum() / 3)
    known = np.isfinite(thin)
    assert known[-1]
    assert 1 < known.sum() < 12
    np.testing.assert_array_equal(thin[known], whole[known])


def test_the_log_of_silenced_sets_goes_back_step_by_step(model, path):
    panel = sdw.panel(path, model, data=tensors(160, 240), index=9)
    panel.silenced = [[0, -1]]
    request(panel, "measure", index=9, silenced=[[0, -1]])
    panel.silenced = [[0, -1], [5, 1]]
    assert [entry["silenced"] for entry in panel.log] == [[[0, -1]], [[0, -1], [5, 1]]]
    assert panel.log[0]["scores"]["silenced"] == pytest.approx(
        request(panel, "measure", index=9, silenced=[[0, -1]])[0]["value"]["silenced"]
    )
    assert panel.log[0]["on"].endswith("80 examples")
    panel.undo()
    assert panel.silenced == [[0, -1]]
    panel.undo()
    assert (panel.silenced, panel.log) == ([], [])
    panel.undo()
    assert panel.silenced == []


def test_the_selection_is_what_is_chosen(path):
    panel = sdw.panel(path, index=8, class_index=2)
    panel.silenced = [[3, 1], [4, -1]]
    panel.set_state({"chosen": 99})
    chosen = panel.selection
    assert (chosen.index, chosen.class_index, chosen.class_name) == (8, 2, "c")
    assert chosen.lambda_ == path.lambdas[8]
    assert chosen.silenced == ((3, 1), (4, None))
    assert chosen.feature == 15
    assert chosen.feature_name == path.feature_names[15]
    weights = path.weights_at(8)[2]
    assert list(chosen.features) == sorted(np.flatnonzero(weights), key=lambda j: -abs(weights[j]))
    assert chosen.weights == tuple(weights[list(chosen.features)])


def test_the_repaired_model_is_saved_and_its_own_class_reads_it(path, tmp_path):
    model, clean_test = new_model(), tensors(160, 240)
    panel = sdw.panel(path, model, data=clean_test, index=9)
    panel.silenced = [[1, -1]]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    file = tmp_path / "repaired.safetensors"
    reply, _ = request(panel, "save", file=str(file), index=9, silenced=[[1, -1]])
    assert reply["ok"], reply
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    fresh = new_model()
    fresh.load_state_dict(load_file(file))
    fresh.eval()
    model.eval()
    with path.decision_layer(9).silence(1).installed(model):
        torch.testing.assert_close(fresh(clean_test[0]), model(clean_test[0]), atol=1e-5, rtol=1e-5)
    # Also while a sparse layer is in the model; and never over a file that is there.
    panel.use_layer()
    again = panel.save_repaired(tmp_path / "again.safetensors")
    panel.put_back()
    assert load_file(again)["3.weight"].equal(load_file(file)["3.weight"])
    for name, message in (("repaired.safetensors", "exists already"), ("model.pt", r"must end in \.saf")):
        with pytest.raises(InputError, match=message):
            panel.save_repaired(tmp_path / name)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["again.safetensors", "repaired.safetensors"]
    with pytest.raises(InputError, match="has no model to change"):
        sdw.panel(path).save_repaired(tmp_path / "none.safetensors")


def test_a_layer_without_bias_cannot_hold_the_intercepts(path, tmp_path):
    model = new_model()
    model[3] = nn.Linear(16, 3, bias=False)
    with pytest.raises(InputError, match="weight and a bias"):
        sdw.panel(path, model).save_repaired(tmp_path / "m.safetensors")
