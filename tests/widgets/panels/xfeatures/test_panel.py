"""The x-feature panel's kernel side: what the page gets, what a person chooses, what comes back to Python."""

import copy
import re

import numpy as np
import pytest
import torch

from sparse_debug_widgets import load_demo, panel, x_features, x_features_panel
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.interpret import XFeatures
from sparse_debug_widgets.interpret.xfeatures.srae import srae
from sparse_debug_widgets.widgets import PANELS
from sparse_debug_widgets.widgets.panels.xfeatures import settings as xfeatures_settings
from sparse_debug_widgets.widgets.panels.xfeatures import sheet as xfeatures_sheet
from sparse_debug_widgets.widgets.panels.xfeatures.panel import XFeaturesPanel
from sparse_debug_widgets.widgets.shared import heat
from tests.contracts.untouched import untouched
from tests.widgets.fakes import fake_xfeatures
from tests.widgets.front import eventually, request
from tests.widgets.payload import first_paint_bytes


def tensors(demo):
    """The training examples (X, y) of a demo."""
    x, y = zip(*demo.train, strict=True)
    return torch.stack(x), torch.tensor(y)


def sent(shown: XFeaturesPanel):
    """Maps (k, 1 + n, h, w) as the page has them: the 1-heatmap first."""
    value, arrays = shown.sheet["value"], shown.sheet["arrays"]
    count, (h, w) = value["k"] * (value["n"] + 1), value["shape"]
    packed = heat.Packed(value["units"], value["levels"], np.frombuffer(arrays["maps"]["data"], np.uint8))
    return heat.unpack(packed, (1, count, h * w)).reshape(value["k"], value["n"] + 1, h, w)


def test_results_are_shown_by_this_panel():
    assert PANELS[XFeatures] is XFeaturesPanel
    shown = panel(fake_xfeatures(), fallback="none")
    assert isinstance(shown, XFeaturesPanel)
    assert shown.result.class_names[shown.sheet["value"]["classIndex"]] == "ring"


def test_every_map_and_number_is_in_the_page():
    found = fake_xfeatures(9, 4)
    shown = XFeaturesPanel(found, fallback="none")
    exact = np.concatenate([found.baseline[:, None], found.maps], axis=1)
    # One step of 255 on a square-root scale is at most 2 / 255 of a map's largest value.
    scale = exact.max(axis=(2, 3), keepdims=True)
    assert np.all(np.abs(sent(shown) - exact) <= scale / 255)
    assert not sent(shown)[exact == 0].any()
    arrays = shown.sheet["arrays"]
    for name in ("contributions", "scores", "reconstructed", "mass"):
        values = np.frombuffer(arrays[name]["data"], np.float32).reshape(arrays[name]["shape"])
        np.testing.assert_allclose(values, getattr(found, name), rtol=1e-6)


def test_signed_maps_keep_their_signs():
    plain = fake_xfeatures(4, 3)
    found = fake_xfeatures(4, 3, maps=(plain.maps - 0.3).astype(np.float32))
    shown = XFeaturesPanel(found, fallback="none")
    assert shown.sheet["value"]["signed"]
    np.testing.assert_allclose(sent(shown)[:, 1:], found.maps, atol=0.7 / 255)
    assert not XFeaturesPanel(plain, fallback="none").sheet["value"]["signed"]


def test_sixty_pictures_and_seven_maps_are_few_bytes():
    """28 x 28: the widget with its module; a third of the float32 maps alone."""
    found = fake_xfeatures(60, 7)
    assert first_paint_bytes(XFeaturesPanel(found, fallback="none")) < found.maps.nbytes / 3


def test_large_pictures_have_blocks_of_pixels_averaged():
    found = fake_xfeatures(2, 2, side=224, map_side=140)
    value = xfeatures_sheet.sheet(found).value
    assert value["picture"] == [3, 112, 112]
    assert value["shape"] == [70, 70]


def test_names_reach_the_result_and_its_file(tmp_path):
    shown = XFeaturesPanel(fake_xfeatures(), fallback="none")
    # As a page may send them; H5 is another one's name.
    shown.names = ["  left\narc ", "", "x" * 300, "H5"]
    assert shown.names == ["left arc", "H2", "x" * 200, "H4", "H5"]
    assert shown.result.names == tuple(shown.names)
    shown.rename(1, "<b>hole</b>")
    again = XFeatures.load(shown.result.save(tmp_path / "named.safetensors"))
    assert again.names[:2] == ("left arc", "<b>hole</b>")
    assert XFeaturesPanel(again, fallback="none").names == shown.names
    np.testing.assert_array_equal(again.maps, shown.result.maps)
    with pytest.raises(InputError, match=r"index.*at most 4"):
        shown.rename(5, "none")
    with pytest.raises(InputError, match="must not be empty"):
        shown.rename(0, " ")
    with pytest.raises(InputError, match="already the name of feature 3"):
        shown.rename(0, "H4")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shown": (5,)}, r"shown.*at most 4.*got 5"),
        ({"shown": (-2,)}, r"at least -1"),
        ({"selected": (12,)}, r"selected.*at most 11"),
        ({"blent": 0.3}, r"option 'blent'.*blend"),
    ],
)
def test_what_cannot_be_chosen_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        XFeaturesPanel(fake_xfeatures(), fallback="none", **options)


def test_the_page_inside_a_notebook_is_bounded_and_the_file_holds_all(tmp_path):
    noisy = np.random.default_rng(0).random((60, 7, 64, 64)).astype(np.float32)
    shown = XFeaturesPanel(fake_xfeatures(60, 7, side=64, maps=noisy), selected=(59,))
    data, _ = shown._repr_mimebundle_()
    assert len(data["text/html"]) < 700_000
    assert len(shown.to_html(tmp_path / "all.html").read_text("utf-8")) > 2 * len(data["text/html"])
    assert shown.export(small=True).arrays["sheet"][0]["k"] < 60
    assert shown.export().arrays["sheet"][0]["k"] == 60


# -- a live model --------------------------------------------------------------------------------------------

# The lasso needs no training.
QUICK = {"n": 2, "gallery": 6, "class_index": 3, "method": "lasso"}


@pytest.fixture(scope="module")
def digits():
    return load_demo("digits")


def test_a_live_model_is_explained_beside_the_notebook(digits):
    model = copy.deepcopy(digits.model).train()
    with untouched(model):
        shown = x_features_panel(model, digits.train, fallback="none", **QUICK)
        with pytest.raises(InputError, match="no x-features yet"):
            shown.result  # noqa: B018
        found = shown.compute().result(300)
        eventually(lambda: shown.job["state"] == "done")
    assert shown.result is found
    assert (found.class_index, found.n, len(found.images)) == (3, 2, 6)
    assert shown.sheet["value"]["className"] == digits.class_names[3]
    plain = x_features(model, digits.train, 3, n=2, gallery=6, method="lasso")
    np.testing.assert_allclose(found.contributions, plain.contributions, rtol=1e-4, atol=1e-5)
    # A cell that is run again shows it again, with the names that were given.
    shown.rename(0, "upper bow")
    again = x_features_panel(model, digits.train, fallback="none")
    assert again.result.names == ("upper bow", "H2")
    assert again.runs == [{"number": 1, "about": "1: 3, lasso, n = 2, 1 named"}]
    again.rename(1, "lower bow")
    assert shown.names == ["upper bow", "lower bow"]
    # Training it makes the maps stale.
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    assert shown.check_stale() == ("the model's parameters have changed",)
    assert shown.stale["whyNot"] == ""


def test_a_result_with_its_model_offers_the_same_settings(digits):
    live = x_features_panel(digits.model, digits.train, fallback="none", **QUICK)
    found = live.compute(seed=4).result(300)
    shown = panel(found, digits.model, data=digits.train, fallback="none")
    wanted = {"class_index": 3, "n": 2, "gallery": 6, "method": "lasso", "seed": 4}
    assert {name: shown.typed[name] for name in wanted} == wanted
    assert shown.head["live"]
    reply, _ = request(shown, "copy", typed={"n": "auto", "class_index": 2})
    line = "found = sdw.x_features(model, data, 2, method='lasso', n='auto', layer='fc', gallery=6, seed=4)"
    assert line in reply["value"]["code"]
    assert not panel(found, fallback="none").head["live"]


def test_a_run_is_cancelled_and_another_can_begin(digits):
    shown = x_features_panel(digits.model, tensors(digits), fallback="none", **QUICK)
    job = shown.compute(method="srae")
    with pytest.raises(InputError, match="at work"):
        shown.compute()
    shown.cancel()
    eventually(lambda: shown.job["state"] == "cancelled")
    assert job.state == "cancelled"
    assert shown.runs == []
    assert shown.compute(method="lasso").result(300).n == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n": 0}, r"n.*at least 1"),
        ({"method": "srea"}, "Did you mean 'srae'"),
        ({"class_index": 10}, r"class_index.*index in 0 \.\.\. 9"),
        ({"layer": "conv9"}, r"layer"),
        ({"gallery": 0}, "gallery"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(digits, values, words):
    shown = x_features_panel(digits.model, digits.train, fallback="none")
    before = shown.job.get("id")
    reply, _ = request(shown, "begin", typed=values)
    assert not reply["ok"]
    assert re.search(words, reply["error"]["message"])
    assert shown.job.get("id") == before
    with pytest.raises(InputError, match=words):
        x_features_panel(digits.model, digits.train, fallback="none", **values)


def test_what_is_missing_is_said(digits):
    shown = panel(fake_xfeatures(), fallback="none")
    with pytest.raises(InputError, match=r"show the panel with its model and data"):
        shown.compute()
    with pytest.raises(InputError, match="data"):
        x_features_panel(digits.model)


def test_a_class_that_cannot_be_explained_fails_in_words(digits):
    """Too few positives: the job's error is shown with what to do."""
    x, y = tensors(digits)
    few = (y != 3) | ((y == 3).cumsum(0) <= 1)
    shown = x_features_panel(digits.model, (x[few], y[few]), fallback="none", **QUICK)
    shown.compute()
    eventually(lambda: shown.job["state"] == "failed")
    assert "The model is as it was" in shown.job["failure"]["hint"]


def test_the_choices_are_those_of_the_function():
    method = next(p for p in xfeatures_settings.PARAMETERS if p.name == "method")
    assert set(method.choices) == set(srae.METHODS)


# -- without maps ----------------------------------------------------------------------------------------


def test_examples_without_maps_are_shown_as_what_they_are(unmapped):
    for form, (found, shown) in unmapped.items():
        value, arrays = shown.sheet["value"], shown.sheet["arrays"]
        assert not value["mapped"]
        assert found.no_maps in value["why"]
        assert len(value["texts"]) == (len(found.texts) if form == "sentences" else 0)
        height, width = value["picture"][1:]
        pixels = np.frombuffer(arrays["pictures"]["data"], np.uint8).reshape(value["k"], height, width)
        # A curve is drawn; of a sentence there is no picture.
        assert (len(np.unique(pixels)) > 1) == (form != "sentences")
        assert not sent(shown).any()


@pytest.fixture(scope="module")
def unmapped():
    """X-features of a model of series, and of one of sentences, in their panels."""
    torch.manual_seed(0)
    series = torch.randn(60, 2, 64)
    labels = torch.arange(60) % 2
    series[labels == 1, 0] += torch.linspace(0, 3, 64)
    model = torch.nn.Sequential(
        torch.nn.Conv1d(2, 8, 5),
        torch.nn.ReLU(),
        torch.nn.AvgPool1d(60),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 2),
    )
    tickets = load_demo("tickets")
    text = TextData(tickets.test.sentences[:200], tickets.test.labels[:200], tickets.test.tokenizer)
    made = {}
    for form, net, data in (("series", model, (series, labels)), ("sentences", tickets.model, text)):
        shown = x_features_panel(net, data, fallback="none", method="lasso", n=2, gallery=4)
        found = shown.compute().result(120)
        eventually(lambda shown=shown: shown.job["ended"] and shown.sheet)
        made[form] = found, shown
    return made


def test_one_logit_has_two_classes_to_choose_from_and_a_class_may_be_named():
    data = torch.randn(40, 1, 8, 8), torch.arange(40) % 2
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(216, 1)
    )
    shown = x_features_panel(model, data, fallback="none", class_names=("sane", "odd"), class_index="odd")
    assert shown.head["classes"] == ["sane", "odd"]
    assert shown.typed["class_index"] == 1
    with pytest.raises(InputError, match="Did you mean 'odd'"):
        x_features_panel(model, data, fallback="none", class_names=("sane", "odd"), class_index="od")
