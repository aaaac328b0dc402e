"""The layers that analyses compare give what the path and the network give."""

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.analysis.common.layers import (
    HeldOutWarning,
    class_layer,
    class_layers,
    examined_rows,
    feature_numbers,
)
from sparse_debug_widgets.analysis.common.reader import deep_reader
from sparse_debug_widgets.core.checks import InputError


def planted(n_classes=3, outputs=None, seed=0, family=None):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, outputs or n_classes))
    x = torch.as_tensor(rng.normal(size=(300, 6)), dtype=torch.float32)
    y = rng.integers(0, n_classes, 300)
    features = sdw.extract_features(model, (x[:200], y[:200]), test=(x[200:], y[200:]))
    return model, x, features, sdw.elastic_net_path(features, n_lambdas=8, family=family or "multinomial")


@pytest.mark.parametrize(
    ("n_classes", "outputs", "family"),
    [(3, 3, None), (2, 1, "binomial"), (2, 2, "binomial"), (2, 2, "multinomial"), (2, 1, "multinomial")],
)
def test_the_dense_layer_says_what_the_network_says(n_classes, outputs, family):
    model, x, features, path = planted(n_classes, outputs, family=family)
    rows = examined_rows(path, features, "test")
    dense = class_layer(path, "dense")
    with torch.no_grad():
        logits = model(x[200:]).double()
    own = torch.cat([1 - logits.sigmoid(), logits.sigmoid()], 1) if outputs == 1 else logits.softmax(1)
    np.testing.assert_allclose(dense.probabilities(rows.z), own, atol=1e-5)
    np.testing.assert_array_equal(dense.predictions(rows.z), own.argmax(1))


@pytest.mark.parametrize("name", ["sparse", "refit"])
@pytest.mark.parametrize(("n_classes", "outputs", "family"), [(3, 3, None), (2, 1, "binomial")])
def test_a_layer_of_the_path_says_what_its_decision_layer_says(name, n_classes, outputs, family):
    _, _, features, path = planted(n_classes, outputs, family=family)
    k = 4 if name == "sparse" else path.n_lambdas - 1
    rows = examined_rows(path, features, "all")
    module = path.decision_layer(k)
    with torch.no_grad():
        raw = module(torch.as_tensor(np.array(features.values))).double().numpy()
    wanted = path.labels_are.probabilities(raw)
    np.testing.assert_allclose(class_layer(path, name, 4).probabilities(rows.z), wanted, atol=1e-5)


def test_silenced_features_have_no_say():
    _, _, features, path = planted()
    rows = examined_rows(path, features, "test")
    layer = class_layers(path, -1)["sparse"]
    held = rows.z.copy()
    held[:, [0, 3]] = 0
    np.testing.assert_allclose(layer.without([0, 3]).scores(rows.z), layer.scores(held), atol=1e-9)


def test_a_reader_reads_what_was_extracted():
    model, x, features, path = planted()
    rows = examined_rows(path, features, "test")
    with deep_reader(model, path, x, features=features) as read:
        z = read(x[200:])
        assert read.count == 100
    np.testing.assert_allclose(z, rows.z, atol=1e-4)


def test_training_rows_are_examined_with_a_warning_only():
    rng = np.random.default_rng(0)
    features = sdw.DeepFeatures.from_arrays(rng.normal(size=(60, 4)), rng.integers(0, 2, 60), validation=0)
    path = sdw.elastic_net_path(features, n_lambdas=5)
    with pytest.warns(HeldOutWarning, match="training rows"):
        assert examined_rows(path, features).split == "train"
    with pytest.raises(InputError, match="have no test rows"):
        examined_rows(path, features, "test")
    with pytest.raises(InputError, match="does not know the network's own"):
        class_layer(path, "dense")
    assert list(class_layers(path, 0)) == ["sparse", "refit"]
    assert feature_numbers(path, ["feature 2", 1, 2]) == (2, 1)


def test_numbers_and_strangers_are_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    numbers = sdw.DeepFeatures.from_arrays(x, x @ rng.normal(size=4))
    path = sdw.elastic_net_path(numbers, n_lambdas=5, family="gaussian")
    with pytest.raises(InputError, match="about classes"):
        class_layer(path)
    with pytest.raises(InputError, match="about classes"):
        examined_rows(path, numbers)
    with pytest.raises(InputError, match="be DeepFeatures"):
        examined_rows(path, x)
    other = sdw.DeepFeatures.from_arrays(rng.normal(size=(80, 5)), rng.integers(0, 2, 80))
    with pytest.raises(InputError, match="have the 4 features"):
        examined_rows(path, other)


@pytest.mark.parametrize("nonsense", [None, "path", np.zeros(3)])
def test_what_is_no_path_is_refused_by_every_analysis(nonsense):
    model, x, features, _ = planted()
    asked = [
        lambda: sdw.misclassification(nonsense, features),
        lambda: sdw.confusion(nonsense, features),
        lambda: sdw.ablation(nonsense, features),
        lambda: sdw.suspects(nonsense, model, (x, features.labels)),
        lambda: sdw.bias_probe(model, nonsense, ["a"], ["b"]),
    ]
    for ask in asked:
        with pytest.raises(InputError, match="be a RegularizationPath"):
            ask()
