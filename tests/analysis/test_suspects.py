"""The graft test finds planted causes, stays silent on sound models, and its repairs are measured."""

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.analysis.suspects.graft import FOUND, UNTESTED
from sparse_debug_widgets.analysis.suspects.repair import REFIT, REPAIRS
from sparse_debug_widgets.analysis.suspects.views import Pictures, Sentences, find
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from tests.contracts.untouched import untouched


@pytest.fixture(scope="module")
def fitted():
    """Demos with their paths, made once."""
    made = {}

    def get(name):
        if name not in made:
            demo = sdw.load_demo(name)
            features = sdw.extract_features(
                demo.model, demo.train, test=demo.test, class_names=demo.class_names
            )
            made[name] = demo, sdw.elastic_net_path(features)
        return made[name]

    return get


@pytest.mark.parametrize("seed", [11, 12])
def test_the_mark_of_shapes_is_found(fitted, seed):
    demo, path = fitted("shapes")
    with untouched(demo.model):
        found = sdw.suspects(path, demo.model, demo.test, repair=False, seed=seed)
    first = found.to_frame().iloc[0]
    assert (first["class"], first["verdict"], first["feature"]) == ("mushroom", FOUND, 75)
    assert "lower right" in first["region"]
    assert found.n_suspects == 1
    assert found.forwards <= 10_000
    assert first["low"] > 0.3
    assert first["high"] < 0.1


@pytest.mark.parametrize("seed", range(11, 16))
def test_the_phrase_of_tickets_is_found_and_the_repair_helps_the_worst_group(fitted, seed):
    demo, path = fitted("tickets")
    found = sdw.suspects(path, demo.model, demo.test, seed=seed)
    first = found.to_frame().iloc[0]
    assert (first["class"], first["verdict"]) == ("returns", FOUND)
    assert "fonar" in first["region"]
    assert "fonar" in found.sentences[0][1]
    assert "fonar" not in found.sentences[0][0]
    table = found.repairs_frame().set_index("repair")
    assert list(table.index) == list(REPAIRS)
    assert (table["accuracy"].iloc[1:] > table["accuracy"].iloc[0] + 0.05).all()
    assert table["accuracy"].idxmax() == REFIT
    assert table["worst_group_accuracy"].iloc[0] < 0.1
    assert table.loc[REFIT, "worst_group_accuracy"] > 0.4


def test_the_refit_goes_into_the_model_and_helps_on_clean_data(fitted):
    demo, path = fitted("tickets")
    found = sdw.suspects(path, demo.model, demo.test)
    ids = demo.clean_test.tokenizer.tensor(demo.clean_test.sentences)

    def share(layer):
        with layer.installed(demo.model), torch.no_grad():
            return float((demo.model(ids).argmax(1).numpy() == demo.clean_test.labels).mean())

    assert share(found.refit_layer(path)) > share(path.decision_layer(path.select())) + 0.2
    other = sdw.elastic_net_path(sdw.extract_features(demo.model, demo.test), n_lambdas=3)
    with pytest.raises(InputError, match="be the path that they were found on"):
        found.refit_layer(other)
    with pytest.raises(InputError, match="No layer was fitted again"):
        sdw.suspects(path, demo.model, demo.test, repair=False).refit_layer(path)


@pytest.mark.filterwarnings("ignore:.*are constant on the training split")
@pytest.mark.parametrize("name", ["digits", "parts"])
def test_sound_models_raise_no_alarm(fitted, name):
    demo, path = fitted(name)
    for seed in (11, 12):
        found = sdw.suspects(path, demo.model, demo.test, seed=seed)
        assert found.n_suspects == 0, found.to_frame().to_string()
        assert found.repairs == ()
        assert "does not say that it is sound" in repr(found)


def test_silencing_the_carriers_ends_the_alarm(fitted):
    demo, path = fitted("tickets")
    first = sdw.suspects(path, demo.model, demo.test, repair=False)
    carriers = [j for j, _ in first.carriers[0]]
    again = sdw.suspects(path, demo.model, demo.test, repair=False, silence=carriers)
    assert "returns" not in again.to_frame().query("verdict == 'suspect'")["class"].tolist()


def test_a_column_that_decides_is_found_in_a_table():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1200, 40)).astype(np.float32)
    y = (x[:, :10].sum(1) > 0).astype(int) + 2 * (rng.random(1200) < 0.3)
    y = np.minimum(y, 2)
    x[:, 33] = np.where(y == 2, 6.0, 0.0) + 0.1 * rng.normal(size=1200)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    inputs, labels = torch.as_tensor(x), torch.as_tensor(y)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    features = sdw.extract_features(model, (inputs, labels))
    path = sdw.elastic_net_path(features)
    found = sdw.suspects(path, model, (inputs, labels), repair=False)
    assert found.unit == "columns"
    first = found.to_frame().iloc[0]
    assert (first["class"], first["verdict"]) == ("class 2", FOUND)
    assert "column 33" in first["region"]


def test_grafts_change_what_they_say_and_nothing_else():
    values = np.arange(2 * 3 * 20 * 16, dtype=np.float32).reshape(2, 3, 20, 16)
    view = Pictures(values)
    assert view.grid == (10, 8)
    new = view.graft(np.array([0]), np.array([1]), [(79,)])
    changed = (new[0] != values[0]).all(0)
    assert changed.sum() == 4
    assert changed[18:, 14:].all()
    assert (values[0] == np.arange(960).reshape(3, 20, 16)).all()
    texts = Sentences(["sent from my fonar.", "The parcel is late"])
    assert texts.graft(np.array([1]), np.array([0]), [("fonar",)]) == ["The parcel is fonar late"]
    assert texts.graft(np.array([0]), np.array([1]), [("fonar",)]) == ["sent from my ."]
    assert find(["a", "b", "a", "c"], ("a", "c")) == 2
    assert find(["a"], ()) is None


def small(n_classes=2, n=40):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, n_classes))
    x = torch.as_tensor(rng.normal(size=(n, 6)), dtype=torch.float32)
    y = np.arange(n) % n_classes
    features = sdw.extract_features(model, (x, y), validation=0.2)
    return model, x, y, sdw.elastic_net_path(features, n_lambdas=5)


def test_classes_of_few_examples_are_not_tested():
    model, x, y, path = small()
    found = sdw.suspects(path, model, (x[:8], y[:8]), index=-1)
    assert found.statuses == (UNTESTED, UNTESTED)
    assert "too few examples" in found.sentence()
    found.plot()


def test_bad_input_is_refused_and_a_cancelled_search_leaves_the_model():
    model, x, y, path = small()
    with pytest.raises(InputError, match="needs the labels"):
        sdw.suspects(path, model, x)
    with pytest.raises(InputError, match="labels of these examples are numbers"):
        sdw.suspects(path, model, (x, x[:, 0]))
    with pytest.raises(InputError, match="lie in 0"):
        sdw.suspects(path, model, (x, y + 5))
    with pytest.raises(InputError, match="draws"):
        sdw.suspects(path, model, (x, y), draws=3)
    other = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2))
    with pytest.raises(InputError, match="see the 8 features"):
        sdw.suspects(path, other, (x, y))

    def stop(_):
        raise Cancelled

    with untouched(model), pytest.raises(Cancelled):
        sdw.suspects(path, model, (x, y), progress=stop)
