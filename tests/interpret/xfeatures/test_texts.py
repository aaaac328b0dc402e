"""x-features of sentences: with their own tokenizer or a given one, in the function and in its panel."""

from types import ModuleType

import numpy as np
import pytest
import torch

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from tests.contracts.untouched import untouched
from tests.widgets.front import request
from tests.widgets.panels.features.test_panel import Words, tokens

pytestmark = pytest.mark.filterwarnings(
    "ignore::sparse_debug_widgets.interpret.xfeatures.srae.srae.ExplanationWarning"
)
TEXTS = [
    f"{a} {b} {c}"
    for a in ("red", "blue", "green")
    for b in ("cat", "dog", "bird")
    for c in ("good", "bad", "odd", "fine")
]
LABELS = [i % 2 for i in range(len(TEXTS))]


def test_sentences_with_their_tokenizer_or_a_given_one_are_the_same():
    model = Words()
    with untouched(model):
        own = sdw.x_features(model, sdw.TextData(TEXTS, LABELS, tokens), 0, n=2, method="lasso")
        given = sdw.x_features(model, (TEXTS, LABELS), 0, n=2, method="lasso", tokenizer=tokens)
    for name in ("activations", "weights", "scores", "reconstructed", "labels"):
        np.testing.assert_array_equal(getattr(own, name), getattr(given, name))
    assert given.no_maps


def test_held_out_sentences_take_the_tokenizer_too():
    found = sdw.x_features(
        Words(), (TEXTS, LABELS), 0, n=2, method="lasso", test=(TEXTS[::2], LABELS[::2]), tokenizer=tokens
    )
    assert found.fidelity["F_cls_test"] >= 0


@pytest.mark.parametrize(
    "make",
    [lambda m: sdw.x_features(m, (TEXTS, LABELS), 0), lambda m: sdw.x_features_panel(m, (TEXTS, LABELS))],
)
def test_sentences_without_a_tokenizer_are_refused_before_anything_is_trained(make):
    with pytest.raises(InputError, match="tokenizer="):
        make(Words())


def test_the_panel_takes_a_tokenizer_and_says_it_in_its_code(monkeypatch):
    notebook = ModuleType("__main__")
    monkeypatch.setitem(__import__("sys").modules, "__main__", notebook)
    notebook.model, notebook.texts, notebook.cut = Words(), (TEXTS, LABELS), tokens
    panel = sdw.x_features_panel(
        notebook.model, notebook.texts, tokenizer=tokens, method="lasso", n=2, fallback="none"
    )
    found = panel.compute().result(60)
    reply, _ = request(panel, "copy", typed=dict(panel.typed))
    space = dict(vars(notebook))
    exec(reply["value"]["code"], space)  # noqa: S102 - the package's own text
    np.testing.assert_array_equal(space["found"].activations, found.activations)
    panel.close()


@pytest.mark.parametrize("empty", [([], []), (torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long))])
def test_no_examples_at_all_is_said(empty):
    with pytest.raises(InputError, match="no examples in these data"):
        sdw.x_features(Words(), empty, 0)
