"""notices: a warning names the line that called the package; a job's warnings are collected instead."""

import inspect
import warnings
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.notices import collected_notices, notice
from sparse_debug_widgets.core.text import TextData, TruncatedTextWarning
from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning
from sparse_debug_widgets.sparse.path.regularization_path import SelectionWarning

X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.arange(60) % 3


def line_of(caught):
    """File and line that a warning names, as warnings print it."""
    (one,) = caught
    return one.filename, one.lineno


def here():
    frame = inspect.currentframe().f_back
    return __file__, frame.f_lineno


def lengths(sentences):
    return [[len(word) for word in sentence.split()] for sentence in sentences]


def test_a_warning_of_features_names_the_callers_line():
    dead = np.c_[X, np.ones(60)]
    with pytest.warns(DeadFeaturesWarning) as caught:
        features, line = DeepFeatures.from_arrays(dead, Y), here()
    assert line_of(caught) == line
    with pytest.warns(DeadFeaturesWarning) as caught:
        _, line = features.resplit(0.2), here()
    assert line_of(caught) == line


def test_a_warning_from_deep_inside_an_extraction_names_the_callers_line():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, ids):
            return self.head(self.embed(ids).mean(1))

    torch.manual_seed(0)
    text = TextData([f"{'a' * (1 + k % 4)} bb c" for k in range(20)], [0, 1] * 10, lengths)
    with pytest.warns(TruncatedTextWarning) as caught:
        _, line = sdw.extract_features(Words(), text, max_length=2), here()
    assert line_of(caught) == line


def test_a_warning_of_a_path_names_the_callers_line():
    path = sdw.elastic_net_path(X, Y, n_lambdas=3, eps=0.1, validation=0.0)
    with pytest.warns(SelectionWarning) as caught:
        _, line = path.select(), here()
    assert line_of(caught) == line


def test_a_warning_that_comes_through_a_torch_model_names_the_callers_line():
    def body(_, x):
        notice("told", UserWarning)
        return x

    class Layer(nn.Module):
        # As a layer of the package: torch calls it, and the user's line calls torch.
        forward = FunctionType(body.__code__, {"notice": notice, "__name__": "sparse_debug_widgets.layer"})

    model = nn.Sequential(Layer())
    with pytest.warns(UserWarning, match="told") as caught:
        _, line = model(torch.zeros(1)), here()
    assert line_of(caught) == line


def test_the_same_line_is_told_once_under_the_default_filter():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            notice("the disk is full", UserWarning)
    assert [str(one.message) for one in caught] == ["the disk is full"]


def test_a_job_collects_what_it_would_warn_of():
    with collected_notices() as messages:
        DeepFeatures.from_arrays(np.c_[X, np.ones(60)], Y)
    assert len(messages) == 1
    assert "feature 4" in messages[0]


def test_nobody_warns_past_the_one_helper():
    room = Path(sdw.__file__).parent
    found = [str(f.relative_to(room)) for f in room.rglob("*.py") if "warnings.warn" in f.read_text()]
    assert found == ["core/notices.py"]
