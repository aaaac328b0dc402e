"""What is no data, no name or no setting is refused in a sentence: no TypeError from somewhere below."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError

X, Y = torch.rand(24, 4, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 2
ODD = [
    3.5, True, b"x",
    {}, {"a": 1}, [], (), object(), len, nn.Linear, np.array(3), np.array([]), torch.tensor(1.0),
    pd.DataFrame(), pd.Series([1]), set(), iter([1]), ["a", "b"], np.array(["a"]), np.ma.masked_all(3),
    (X, "a"), (X, 3), (X, {}), (None, Y), {"x": X, "labels": Y}, np.zeros((24, 4), complex), X.to_sparse(),
    csr_matrix(X.numpy()),
]  # fmt: skip


def tokens(sentences):
    return [[1] for _ in sentences]


@pytest.fixture(scope="module")
def things():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    features = sdw.extract_features(model, (X, Y))
    return model, features, sdw.elastic_net_path(features, n_lambdas=3)


_OPTIONS = ("layer", "tokenizer", "classes", "pooling", "max_length", "batch_size", "device", "class_names",
            "cache", "progress", "test", "validation")  # fmt: skip
CALLS = {
    "model": lambda t, o: sdw.extract_features(o, (X, Y)),
    "data": lambda t, o: sdw.extract_features(t[0], o),
    **{name: lambda t, o, n=name: sdw.extract_features(t[0], (X, Y), **{n: o}) for name in _OPTIONS},
    "find_decision_layer(example)": lambda t, o: sdw.find_decision_layer(t[0], None, o),
    "find_decision_layer(layer)": lambda t, o: sdw.find_decision_layer(t[0], o),
    "from_arrays(class_names)": lambda t, o: sdw.DeepFeatures.from_arrays(X, Y, class_names=o),
    "from_arrays(splits)": lambda t, o: sdw.DeepFeatures.from_arrays(X, Y, splits=o),
    "rows": lambda t, o: t[1].rows(o),
    "TextData": lambda t, o: sdw.TextData(o, None, tokens),
    "TextData(labels)": lambda t, o: sdw.TextData(["a", "b"], o, tokens),
    "TextData(tokenizer)": lambda t, o: sdw.TextData(["a", "b"], None, o),
    "TextData(class_names)": lambda t, o: sdw.TextData(["a", "b"], None, tokens, class_names=o),
    "TextData.inputs": lambda t, o: sdw.TextData(["a", "b"], None, tokens).inputs(o),
    "a text model's data": lambda t, o: sdw.extract_features(t[0], o, tokenizer=tokens),
    "find_prototypes(features)": lambda t, o: sdw.find_prototypes(t[1], o),
    "find_prototypes(model)": lambda t, o: sdw.find_prototypes(t[0], o),
    "robust_accuracy": lambda t, o: sdw.robust_accuracy(t[0], o, eps=0.1),
    "debug(model)": lambda t, o: sdw.debug(o, (X, Y), auto=False).close(),
    "debug(data)": lambda t, o: sdw.debug(t[0], o, auto=False).close(),
    "debug(groups)": lambda t, o: sdw.debug(t[0], (X, Y), groups=o, auto=False).close(),
    "debug_report(data)": lambda t, o: sdw.debug_report(t[0], o),
    "saliency_panel": lambda t, o: sdw.saliency_panel(t[0], o, auto=False).close(),
    "perturb_panel": lambda t, o: sdw.perturb_panel(t[0], o).close(),
    "fit_panel": lambda t, o: sdw.fit_panel(t[0], o, checkpoints=False).close(),
    "panel": lambda t, o: sdw.panel(t[2], t[0], data=o).close(),
    "features_panel": lambda t, o: sdw.features_panel(t[2], t[0], data=o).close(),
}


@pytest.mark.parametrize("call", CALLS)
def test_odd_arguments_are_refused_in_a_sentence(call, things, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [told for odd in ODD if (told := _trouble(call, things, odd))] == []


def _trouble(call, things, odd):
    """What else than a clear refusal came of it; "" for nothing."""
    try:
        CALLS[call](things, odd)
    except InputError:
        return ""
    except Exception as error:
        told = "".join(getattr(error, "__notes__", []))
        return "" if "The model raised this" in told else f"{type(odd).__name__}: {error!r}"
    return ""


def test_masked_features_are_refused():
    masked = np.ma.masked_less(X.numpy(), 0.5)
    with pytest.raises(InputError, match="no masked entries"):
        sdw.elastic_net_path(masked, Y)
    whole = np.ma.masked_less(X.numpy(), -1)
    assert sdw.elastic_net_path(whole, Y, n_lambdas=3).n_lambdas == 3
