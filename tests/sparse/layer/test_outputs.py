"""A network with many outputs and data of a few classes: which outputs they are, there and back again."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import DeepFeatures, extract_features
from sparse_debug_widgets.widgets.shared.live import LiveModel

N, P, OUTPUTS = 60, 6, 1000
FEW = (281, 7, 999)


class Network(nn.Module):
    def __init__(self, outputs=OUTPUTS):
        super().__init__()
        self.body, self.fc = nn.Linear(P, 8), nn.Linear(8, outputs)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(self.body(x).relu())


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


def data(labels, n=N):
    g = torch.Generator().manual_seed(1)
    place = torch.arange(n) % len(labels)
    x = torch.randn(n, P, generator=g)
    x[torch.arange(n), place] += 4
    return x, torch.tensor(labels)[place]


def test_the_outputs_that_occur_are_the_classes(network):
    x, y = data(FEW)
    features = extract_features(network, (x, y), test=(x, y))
    assert features.class_names == ("class 7", "class 281", "class 999")
    assert features.n_classes == 3
    np.testing.assert_array_equal(features.labels[:N], np.searchsorted([7, 281, 999], y.numpy()))
    expected = network.fc.weight.detach().double().numpy()[[7, 281, 999]]
    np.testing.assert_array_equal(features.dense_weight, expected)
    assert "3 of the model's 1000 classes occur" in repr(features)


@pytest.mark.parametrize("labels", [FEW, (5, 700)])
def test_a_fitted_layer_goes_back_into_the_network(network, labels, tmp_path):
    x, y = data(labels)
    path = sdw.elastic_net_path(extract_features(network, (x, y)), n_lambdas=10)
    path = sdw.RegularizationPath.load(path.save(tmp_path / "path"))
    layer = path.decision_layer(-1)
    with layer.installed(network):
        logits = network(x).detach()
        assert logits.shape == (N, OUTPUTS)
        assert bool((logits.argmax(1) == y).all())
        outside = np.setdiff1d(np.arange(OUTPUTS), labels)
        assert float(logits.softmax(1)[:, outside].sum()) == 0.0
        with torch.no_grad():
            alone = layer(network.body(x).relu())
        if len(labels) > 2:
            torch.testing.assert_close(logits[:, sorted(labels)], alone)
        assert network.fc.class_names[7] == ("class 7" if 7 in labels else "output 7")
    assert isinstance(network.fc, nn.Linear)


def test_classes_say_which_outputs_the_labels_are(network):
    x, y = data((0, 1, 2))
    features = extract_features(network, (x, y), classes=FEW, class_names=["cat", "fish", "paper"])
    assert features.class_names == ("cat", "fish", "paper")
    np.testing.assert_array_equal(features.labels, y)
    expected = network.fc.weight.detach().double().numpy()[list(FEW)]
    np.testing.assert_array_equal(features.dense_weight, expected)
    layer = sdw.elastic_net_path(features, n_lambdas=10).decision_layer(-1)
    with layer.installed(network):
        assert bool((network(x).argmax(1) == torch.tensor(FEW)[y]).all())


def test_classes_by_the_models_names(network):
    network.config = type("Config", (), {"id2label": {k: f"thing {k}" for k in range(OUTPUTS)}})()
    x, y = data((0, 1, 2))
    features = extract_features(network, (x, y), classes=["thing 281", "thing 7", 999])
    assert features.class_names == ("thing 281", "thing 7", "thing 999")
    by_itself = extract_features(network, (x, [f"thing {FEW[k]}" for k in y]))
    assert by_itself.class_names == ("thing 7", "thing 281", "thing 999")


def test_a_folder_of_a_few_classes_that_the_model_names(network):
    network.config = type("Config", (), {"id2label": {k: f"thing {k}" for k in range(OUTPUTS)}})()
    x, y = data((0, 1))

    class Folder(TensorDataset):
        classes = ("thing 900", "thing 3")

    features = extract_features(network, Folder(x, y))
    assert features.class_names == ("thing 3", "thing 900")
    np.testing.assert_array_equal(features.labels, 1 - y)


def test_a_folder_of_classes_of_its_own_has_no_dense_layer(network):
    x, y = data((0, 1))

    class Folder(TensorDataset):
        classes = ("healthy", "ill")

    features = extract_features(network, Folder(x, y))
    assert features.class_names == ("healthy", "ill")
    assert features.dense_weight is None
    assert "1000 outputs, not these 2 classes" in features.note
    with pytest.raises(InputError, match=r"one with 1000 outputs\. .* extract_features\(\.\.\., classes="):
        sdw.elastic_net_path(features, n_lambdas=3).decision_layer(-1).install(network)


class Lazy(Dataset):
    """Reads examples one at a time, and says what its targets are."""

    def __init__(self, x, y, targets):
        self.x, self.y, self.targets = x, y, targets

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return self.x[row], int(self.y[row])


@pytest.mark.parametrize("wrap", [
    lambda x, y: (x, y),
    lambda x, y: (x, y.tolist()),
    TensorDataset,
    lambda x, y: Subset(TensorDataset(x, y), range(len(x))),
    lambda x, y: Lazy(x, y, y.tolist()),
])  # fmt: skip
def test_counts_are_checked_before_the_work(network, wrap):
    x, y = data((7, 7, 7))
    with pytest.raises(InputError, match="The training rows are all of one class"):
        extract_features(network, wrap(x, y), batch_size=4)
    assert network.calls == 1  # the few examples that find the layer


def test_targets_that_are_not_what_the_data_yield_are_not_believed(network):
    x, y = data(FEW)
    features = extract_features(network, Lazy(x, y, [0] * N))
    assert features.n_classes == 3


def test_a_test_label_that_does_not_occur_in_training(network):
    x, y = data(FEW)
    with pytest.raises(InputError, match=r"label of the test data .* one of 7, 281, 999; got 8 in row 0"):
        extract_features(network, (x, y), test=(x, torch.full((N,), 8)))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cat", "got str"),
        (7, "got int"),
        ([7], "at least two different outputs"),
        ([7, 7], "at least two different outputs"),
        ([7, 1000], "at most 999; got 1000"),
        (["cat", "dog"], "The model knows no names"),
        ([7, 8], r"lie in 0 ... 1; got 2 in row 2"),
    ],
)
def test_classes_that_cannot_be(network, classes, message):
    x, y = data((0, 1, 2))
    with pytest.raises(InputError, match=message):
        extract_features(network, (x, y), classes=classes)


def test_a_path_panel_measures_these_classes(network):
    x, y = data(FEW)
    features = extract_features(network, (x, y))
    path = sdw.elastic_net_path(features, n_lambdas=10)
    live = LiveModel(network, path, (torch.cat([x, x]), torch.cat([y, torch.full_like(y, 3)])))
    assert live.score(path.decision_layer(-1), lambda _: None) == 1.0
    assert live.measured_on()["n"] == N
    own = network(x)[:, [7, 281, 999]].argmax(1)
    right = float((own == torch.from_numpy(np.searchsorted([7, 281, 999], y.numpy()))).double().mean())
    assert live.score(None, lambda _: None) == pytest.approx(right)


def test_one_by_one_maps_are_vectors():
    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.pool = nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            # Channels last, as some networks have them: the layer sees (B, 1, 1, 6).
            return self.fc(self.pool(self.body(x)).permute(0, 2, 3, 1)).flatten(1)

    torch.manual_seed(0)
    model, x, y = Maps(), torch.rand(12, 1, 5, 5), torch.arange(12) % 3
    features = extract_features(model, (x, y))
    with torch.no_grad():
        expected = model.pool(model.body(x)).flatten(1).numpy()
    np.testing.assert_allclose(features.values, expected, rtol=1e-6)
    pooled = extract_features(model, (x, y), layer="pool", pooling="none")
    np.testing.assert_allclose(pooled.values, expected, rtol=1e-6)
    with sdw.elastic_net_path(features, n_lambdas=3).decision_layer(-1).installed(model):
        assert model(x).shape == (12, 3)


def test_cancelling_keeps_its_meaning(network):
    def cancel(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        extract_features(network, data(FEW), progress=cancel)
    assert isinstance(extract_features(network, data(FEW)), DeepFeatures)
