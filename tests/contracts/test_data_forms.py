"""Every function and panel that takes data takes it as people have it, and finds the same in each form."""

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.job import JobFailedError
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from sparse_debug_widgets.widgets.shared.live import LiveModel

N, NAMES = 24, ("cat", "dog", "fish")
X = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
X[torch.arange(N), 0, 2 * Y, :] += 1.5
X /= 3


class HuggingFace:
    """What is used of a Hugging Face data set: length, items and slices as mappings, columns, features."""

    def __init__(self, columns, names):
        self._columns = columns
        self.column_names = list(columns)
        self.features = {"label": SimpleNamespace(names=list(names))}

    def __len__(self):
        return len(next(iter(self._columns.values())))

    def __getitem__(self, key):
        if isinstance(key, str):
            return self._columns[key]
        return {name: column[key] for name, column in self._columns.items()}


class Folder(TensorDataset):
    classes = NAMES


def hugging_face(x, y):
    columns = {"pixel_values": x.tolist(), "label": y.tolist(), "file": [f"{k}.png" for k in range(len(x))]}
    return HuggingFace(columns, NAMES)


FORMS = {
    "folder": Folder,
    "hugging face": hugging_face,
    "loader of hugging face": lambda x, y: DataLoader(hugging_face(x, y), batch_size=7),
    "names": lambda x, y: (x, [NAMES[k] for k in y]),
    "series of names": lambda x, y: (x.numpy(), pd.Series([NAMES[k] for k in y])),
    "list": lambda x, y: [(one, NAMES[k]) for one, k in zip(x, y, strict=True)],
    "joined": lambda x, y: ConcatDataset([Folder(x[:9], y[:9]), Folder(x[9:], y[9:])]),
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((8, 1)), nn.Flatten())
    net = nn.Sequential(*net, nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 3))
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(X), Y).backward()
        optimiser.step()
    with torch.no_grad():
        net[-1].weight[0] *= 0.2  # some errors
    return net.eval()


def path_of(model, data):
    return sdw.elastic_net_path(sdw.extract_features(model, data), n_lambdas=5)


def counterfactuals(model, data):
    found = sdw.error_counterfactuals(model, data, eps=0.5, steps=3)
    return found.indices, found.labels, found.class_names


def prototypes(model, data):
    features = sdw.extract_features(model, data)
    found = sdw.find_prototypes(features, data, k=2)
    live = sdw.find_prototypes(model, data, k=2)
    return found.top, found.pictures, found.class_names, live.top, live.pictures, live.class_names


def concepts(model, data):
    found = sdw.x_features(
        model, data, "dog", n=2, gallery=3, recipe=Recipe(epochs=2, pretraining=1), maps=False
    )
    return found.labels, found.class_names


def trained(model, data):
    training = sdw.adversarial_training(
        copy.deepcopy(model), data, norm="l2", eps=0.1, epochs=1, batch_size=8
    )
    return training.losses, training.accuracies


def pictures(model, data):
    features = sdw.extract_features(model, data)
    return sdw.visualize_features(model, data, features, features=[0], n_steps=2).pictures


def shown(panel):
    rows = panel.gallery["value"]["rows"]
    panel.close()
    return [(row["labelName"], row["predictionName"]) for row in rows]


def fitted(model, data):
    panel = sdw.fit_panel(model, data, checkpoints=False, n_lambdas=5)
    path = panel.start().result(timeout=60)
    panel.close()
    return path.class_names, path.accuracies


def bound(model, data):
    panel = sdw.panel(path_of(model, data), model, data=data)
    panel.close()
    path = path_of(model, data)
    return LiveModel(model, path, data).score(path.decision_layer(-1), lambda _: None)


def extracted(model, data):
    features = sdw.extract_features(model, data)
    return features.values, features.labels, features.class_names


CALLS = {
    "extract_features": extracted,
    "find_prototypes": prototypes,
    "robust_accuracy": lambda m, d: sdw.robust_accuracy(m, d, eps=0.1, norm="l2"),
    "error_counterfactuals": counterfactuals,
    "adversarial_training": trained,
    "x_features": concepts,
    "visualize_features": pictures,
    "curvature_agreement": lambda m, d: sdw.curvature_agreement(m, d).to_frame().to_numpy(),
    "saliency_panel": lambda m, d: shown(sdw.saliency_panel(m, d, auto=False)),
    "perturb_panel": lambda m, d: shown(sdw.perturb_panel(m, d)),
    "fit_panel": fitted,
    "panel(path)": bound,
}


def flat(found):
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.filterwarnings("ignore::sparse_debug_widgets.interpret.xfeatures.srae.srae.ExplanationWarning")
@pytest.mark.parametrize("call", CALLS)
def test_every_form_gives_what_arrays_give(call, model):
    expected = flat(CALLS[call](model, Folder(X, Y)))
    for name, form in FORMS.items():
        for got, wanted in zip(flat(CALLS[call](model, form(X, Y))), expected, strict=True):
            if isinstance(wanted, np.ndarray) and wanted.dtype.kind == "f":
                np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5, err_msg=name)
            elif isinstance(wanted, np.ndarray):
                np.testing.assert_array_equal(got, wanted, err_msg=name)
            else:
                assert got == pytest.approx(wanted) if isinstance(wanted, float) else got == wanted, name


@pytest.mark.parametrize("call", ["robust_accuracy", "saliency_panel", "fit_panel", "find_prototypes"])
def test_the_models_names_count_labels_everywhere(call, model):
    """A model that counts the other way round: names alone say which label is which."""
    model.config = SimpleNamespace(id2label=dict(enumerate(NAMES)))
    try:
        expected = flat(CALLS[call](model, Folder(X, Y)))
        other = Folder(X, 2 - Y)
        other.classes = NAMES[::-1]
        for got, wanted in zip(flat(CALLS[call](model, other)), expected, strict=True):
            if isinstance(wanted, np.ndarray):
                np.testing.assert_allclose(got, wanted, rtol=1e-5)
            else:
                assert got == wanted
        with pytest.raises((InputError, JobFailedError), match="Pass class_names="):
            CALLS[call](model, (X, [f"a {NAMES[k]}" for k in Y]))
    finally:
        del model.config
