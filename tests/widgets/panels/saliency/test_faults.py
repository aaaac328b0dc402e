"""The Saliency panel told something wrong: what it says, and what still works."""

import re

import pytest
import torch
from torch import nn

from sparse_debug_widgets import load_demo, saliency_panel
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.panels.saliency import work as saliency_run
from tests.contracts.untouched import untouched
from tests.saliency.models import InPlace, images, small_cnn
from tests.widgets.front import request
from tests.widgets.panels.saliency.small import QUICK, ended, small


@pytest.fixture(scope="module")
def digits():
    return load_demo("digits")


@pytest.fixture(scope="module")
def robust():
    return load_demo("digits-robust")


def test_a_method_that_does_not_suit_a_model_says_so_in_its_place():
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 4))
    shown = ended(saliency_panel(model, images(2), **{**QUICK, "methods": ("gradient", "gradcam")}))
    failed = [cell for cell in shown.maps["value"]["cells"] if "error" in cell]
    assert [cell["method"] for cell in failed] == ["gradcam"]
    assert "it must" in failed[0]["error"]
    assert ("model", "gradient") in shown.attributions


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"methods": ["gradiant"]}, "Did you mean 'gradient'"),
        ({"methods": []}, "at least one"),
        ({"sweep": "gradient"}, "'cafo', 'caso'"),
        ({"values": {"smoothgrad": {"n_samples": 0}}, "methods": ["smoothgrad"]}, r"n_samples.*1.*500"),
        ({"values": {"cafo": {"lambda1": -1}}, "methods": ["cafo"]}, "lambda1"),
        ({"values": {"sweep": {"n_lambdas": 1}}, "sweep": "caso"}, r"n_lambdas.*3.*200"),
        ({"values": {"caso": {"c2": 1}}, "methods": ["caso"]}, "Did you mean 'c1'"),
        ({"classes": [1, 2, 3, 0, -1]}, "one to 4"),
        ({"classes": []}, "one to 4"),
        ({"seed": -1}, "seed"),
    ],
)
def test_choices_that_cannot_be_are_refused_in_words(typed, words):
    shown = ended(small())
    reply, _ = request(shown, "begin", typed=typed)
    assert not reply["ok"]
    assert reply["error"]["type"] in {"InputError", "UnknownNameError"}
    assert re.search(words, reply["error"]["message"]), reply["error"]["message"]


@pytest.mark.parametrize(
    ("model", "x", "options", "words"),
    [
        (small_cnn(), images(2), {"classes": (7,)}, "0 ... 3; got 7"),
        (small_cnn(), images(2) * float("nan"), {}, "NaN or infinite"),
        (small_cnn(), (images(2) * 255).to(torch.uint8), {}, "Divide integer pixels by 255"),
        (small_cnn(), images(2), {"output": 3}, "name a part"),
        (nn.Sequential(nn.Flatten(), nn.LSTM(300, 4)), images(2), {"output": 1}, "tensor"),
    ],
)  # fmt: skip
def test_a_model_or_example_that_cannot_be_explained_says_why(model, x, options, words):
    """The panel opens, with the error and what to do in it: another example may be fine."""
    with untouched(model):
        shown = ended(saliency_panel(model, x, **{**QUICK, **options}), "failed")
    assert shown.job["failure"]["type"] == "InputError"
    assert words in shown.job["failure"]["message"]
    assert "message says" in shown.job["failure"]["hint"]


def test_a_chunk_that_does_not_fit_says_which_to_try():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = small_cnn()

        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return self.model(x)

    options = {**QUICK, "methods": ("smoothgrad",), "chunk_size": 8}
    shown = ended(saliency_panel(Greedy(), images(1), **options), "failed")
    assert "Try chunk_size=4." in shown.job["failure"]["message"]


def test_a_model_that_breaks_fails_the_run_with_its_traceback(monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("the third layer fell off")

    shown = ended(small())
    monkeypatch.setattr(saliency_run, "attribute", broken)
    request(shown, "begin", typed={"values": {"gradient": {"of": "loss"}}, "classes": [1]})
    ended(shown, "failed")
    assert "third layer" in shown.job["failure"]["message"]
    assert "The model is as it was." in shown.job["failure"]["hint"]


def test_models_of_awkward_kinds_are_shown():
    for model in (InPlace(), small_cnn().half().float(), torch.compile(small_cnn())):
        shown = ended(saliency_panel(model, images(2), fallback="none"))
        assert {method for _, method in shown.attributions} == {"gradient", "cafo", "caso"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: saliency_panel(small_cnn()), "needs data to choose from"),
        (lambda: small(methodes=("caso",)), "has no option 'methodes'. Did you mean 'methods'"),
        (lambda: small(names=("a", "b")), "a different name for its model"),
        (lambda: small(class_names=("a", "b")), "has 4 classes, and class_names has 2 names"),
        (lambda: saliency_panel(small_cnn(), images(0), **QUICK), "empty|at least one|no examples"),
    ],
)
def test_panels_that_cannot_be_made(call, words):
    with pytest.raises(InputError, match=words):
        call()
