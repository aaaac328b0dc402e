"""The Saliency panel's kernel side: runs, the live model, text and results, code and pages."""

import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets import attribute, lambda1_sweep, load_demo, panel, saliency_panel
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.saliency import METHODS, Attribution, Lambda1Sweep, Method
from sparse_debug_widgets.widgets import PANELS
from sparse_debug_widgets.widgets.panels.saliency.panel import SaliencyPanel
from tests.contracts.untouched import untouched
from tests.saliency.models import TextModel, images, small_cnn
from tests.widgets.front import eventually, request
from tests.widgets.panels.saliency.small import QUICK, ended, sent, small


@pytest.fixture(scope="module")
def digits():
    return load_demo("digits")


@pytest.fixture(scope="module")
def robust():
    return load_demo("digits-robust")


# -- runs ----------------------------------------------------------------------------------------------------


def test_results_are_shown_by_this_panel():
    assert PANELS[Attribution] is PANELS[Lambda1Sweep] is SaliencyPanel


def test_the_maps_of_a_run_are_those_of_the_plain_calls(digits):
    shown = ended(saliency_panel(digits.model, digits.test, classes=(3, 5), fallback="none"))
    x = shown.x.repeat(2, 1, 1, 1)
    for method in ("gradient", "cafo", "caso"):
        expected = attribute(digits.model, x, method, target=[3, 5])
        np.testing.assert_allclose(shown.attributions["model", method].values, expected.values, atol=1e-7)
    sweep = shown.sweeps["model"]
    np.testing.assert_allclose(
        sweep.values, lambda1_sweep(digits.model, x, "caso", target=[3, 5]).values, atol=1e-6
    )


def test_a_model_with_one_logit_has_two_classes():
    model, x = small_cnn(classes=1, gain=5.0), images(3)
    options = {"methods": ("gradient", "caso"), "classes": (0, 1), "fallback": "none", "sweep": ""}
    shown = ended(saliency_panel(model, (x, torch.tensor([0, 1, 1])), **options))
    assert shown.head["classes"] == ["class 0", "class 1"]
    found = shown.attributions["model", "gradient"].values
    np.testing.assert_allclose(found[0], -found[1], atol=1e-6)
    with torch.no_grad():
        share = model(shown.x).sigmoid().item()
    ((_, top),) = shown.about["top"].items()
    assert dict(map(tuple, top)) == pytest.approx({0: 1 - share, 1: share}, abs=1e-6)


def test_what_the_page_has_is_within_a_thousandth_of_the_map(digits):
    shown = ended(saliency_panel(digits.model, digits.test, fallback="none"))
    sweep = shown.sweeps["model"]
    found = sent(shown.swept, 0)[:, 0]
    exact = sweep.values[:, 0].reshape(len(sweep.ratios), -1)
    scale = np.abs(exact).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - exact) <= 1e-3 * scale)
    # The slider's first map is all zero, and the share of zeros that the page says is that of its maps.
    assert not found[0].any()
    cell = shown.swept["value"]["cells"][0]
    np.testing.assert_allclose(cell["sparsity"], (exact == 0).mean(axis=1), atol=1e-6)
    assert cell["chosen"] == sweep.chosen[0]


def test_two_models_and_two_classes_stand_beside_each_other(digits, robust):
    shown = ended(
        saliency_panel(
            digits.model,
            digits.test,
            compare=robust.model,
            names=("standard", "robust"),
            classes=(3, 8),
            **QUICK,
        )
    )
    rows = [(row["model"], row["target"]) for row in shown.maps["value"]["rows"]]
    assert rows == [("standard", 3), ("standard", 8), ("robust", 3), ("robust", 8)]
    expected = attribute(robust.model, shown.x, target=8).values.ravel()
    np.testing.assert_allclose(sent(shown.maps, 3)[0, 0], expected, atol=1e-3 * np.abs(expected).max())


def test_both_models_explain_the_prediction_of_the_first(digits, robust):
    row = next(
        i for i in range(len(digits.test))
        if digits.model(digits.test[i][0][None]).argmax() != robust.model(digits.test[i][0][None]).argmax()
    )  # fmt: skip
    shown = ended(saliency_panel(digits.model, digits.test, compare=robust.model, example=row, **QUICK))
    predicted = int(digits.model(digits.test[row][0][None]).argmax())
    assert {row["target"] for row in shown.maps["value"]["rows"]} == {predicted}


def test_another_method_leaves_what_is_there(digits):
    shown = ended(saliency_panel(digits.model, digits.test, **{**QUICK, "methods": ("caso",)}))
    before = shown.attributions["model", "caso"]
    request(shown, "begin", typed={"methods": ["gradient", "caso"]})
    eventually(lambda: len(shown.attributions) == 2)
    assert shown.attributions["model", "caso"] is before
    eventually(lambda: shown.maps["value"]["methods"] == ["gradient", "caso"])
    request(shown, "begin", typed={"values": {"caso": {"c1": 5.0}}})
    eventually(lambda: shown.attributions.get(("model", "caso")) not in (None, before))


def test_choosing_another_example_computes_it_at_once_or_not_at_all():
    shown = ended(small(example=0))
    request(shown, "choose", row=2)
    # Maps come in before the end of their job is told.
    eventually(lambda: shown.maps["value"]["example"] == 2 and shown.job["state"] == "done")
    last = shown.job
    shown.typed = {**shown.typed, "auto": False}
    request(shown, "choose", row=1)
    assert shown.example == 1
    assert shown.job == last
    assert shown.maps["value"]["example"] == 2


def test_cancelling_keeps_the_maps_that_are_there(monkeypatch):
    held = METHODS["smoothgrad"]

    def slow(probe, *, n_samples=50):
        for _ in range(400):
            probe.advance(0)
            time.sleep(0.02)
        return held(probe, n_samples=n_samples)

    monkeypatch.setitem(METHODS._entries, "smoothgrad", Method(slow, held.passes))
    shown = small(methods=("gradient", "smoothgrad"))
    eventually(lambda: ("model", "gradient") in shown.attributions)
    shown.cancel()
    ended(shown, "cancelled")
    assert list(shown.attributions) == [("model", "gradient")]
    assert [cell["method"] for cell in shown.maps["value"]["cells"]] == ["gradient"]


# -- the live model ------------------------------------------------------------------------------------------


def test_the_live_model_is_as_it_was(digits):
    model = small_cnn().train()
    model[0].weight.requires_grad_(False)
    with untouched(model):
        ended(saliency_panel(model, images(3), fallback="none"))


def test_a_training_cell_goes_on_as_if_there_were_no_panel():
    """Weights, batch statistics and random numbers of a training loop are the same with a run beside it."""

    def trained(beside):
        torch.manual_seed(0)
        model = nn.Sequential(small_cnn().train(), nn.Dropout(0.3), nn.Linear(4, 4))
        shown = saliency_panel(model, images(3), auto=False, fallback="none") if beside else None
        if shown is not None:
            shown.compute()
        step = torch.optim.SGD(model.parameters(), 0.01)
        x, y = images(16), torch.arange(16) % 4
        for _ in range(30):
            step.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            step.step()
        if shown is not None:
            ended(shown)
        return model, torch.rand(1), shown

    (plain, number, _), (model, same, shown) = trained(beside=False), trained(beside=True)
    assert number == same
    for key, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    # And the maps are those of the model before training, which the panel says.
    assert shown.stale["reasons"] == ["the model's parameters have changed"]


def test_stale_maps_are_renewed_on_demand():
    model = small_cnn()
    shown = ended(saliency_panel(model, images(2), **QUICK))
    assert shown.stale == {}
    with torch.no_grad():
        model[-1].weight.mul_(2)
    assert shown.check_stale() == ("the model's parameters have changed",)
    before = shown.attributions["model", "gradient"].values
    reply, _ = request(shown, "refresh")
    assert reply["ok"]
    eventually(lambda: shown.attributions.get(("model", "gradient")) is not None and not shown.stale)
    np.testing.assert_allclose(shown.attributions["model", "gradient"].values, 2 * before, rtol=1e-4)


def test_two_runs_at_once_take_turns_with_forward_mode():
    """Two panels at work on second-order maps at the same time: PyTorch allows one level of duals."""
    panels = [
        saliency_panel(
            small_cnn(classes=20, seed=k), images(3), methods=("caso",), sweep="caso", fallback="none"
        )
        for k in range(2)
    ]
    for shown in panels:
        ended(shown)
        assert shown.sweeps


# -- text, features, results ---------------------------------------------------------------------------------


def test_text_shows_its_words():
    words = [f"word{i}" for i in range(20)]
    ids = torch.randint(0, 20, (3, 6), generator=torch.Generator().manual_seed(0))
    data = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1, 2])}
    methods = ("gradient", "gradient_x_input")
    shown = saliency_panel(TextModel(), data, words=words, methods=methods, sweep="cafo", fallback="none")
    ended(shown)
    row = shown.maps["value"]["rows"][0]
    assert row["words"] == [words[i] for i in ids[shown.example]]
    assert shown.maps["value"]["shape"] == [1, 6]
    assert "word" in shown.gallery["value"]["rows"][0]["note"]
    x = {name: value[shown.example][None] for name, value in data.items() if name != "labels"}
    expected = np.abs(attribute(TextModel(), x, "gradient").values).sum(2)[0]
    np.testing.assert_allclose(sent(shown.maps, 0)[0, 0], expected, atol=1e-3 * expected.max())
    assert shown.swept["value"]["cells"][0]["planes"] == 2


def test_words_must_fit_the_tokens():
    ids = torch.zeros(2, 6, dtype=torch.long)
    with pytest.raises(InputError, match="one word for each token; it gave"):
        saliency_panel(TextModel(), ids, words=lambda _: ["too", "few"], **QUICK)


def test_feature_vectors_show_their_numbers():
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    shown = ended(saliency_panel(model, torch.rand(4, 7), **{**QUICK, "methods": ("gradient", "caso")}))
    assert shown.maps["value"]["layout"] == "features"
    assert len(shown.maps["value"]["rows"][0]["words"]) == 7


def test_a_result_is_shown_without_a_model_and_goes_on_with_one():
    model, x = small_cnn(), images(3)
    found = attribute(model, x, "caso")
    shown = panel(found, fallback="none")
    assert len(shown.maps["value"]["rows"]) == 3
    assert shown.head["models"] == []
    reply, _ = request(shown, "begin", typed={})
    assert not reply["ok"]
    assert "live model" in reply["error"]["message"]
    swept = panel(lambda1_sweep(model, x, "cafo", n_lambdas=5), model, fallback="none")
    assert swept.swept["value"]["method"] == "cafo"
    assert swept.index == swept.swept["value"]["cells"][0]["chosen"]
    request(swept, "begin", typed={"methods": ["gradient"], "sweep": ""})
    ended(swept)
    assert ("model", "gradient") in swept.attributions


def test_warnings_of_a_run_reach_the_panel(monkeypatch):
    from sparse_debug_widgets.core.notices import notice

    def warned(probe):
        notice("CASO stopped early.", UserWarning)
        return METHODS["gradient"](probe)

    monkeypatch.setitem(METHODS._entries, "gradient_x_input", Method(warned))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = ended(small(methods=("gradient_x_input",)))
    assert list(shown.maps["value"]["warned"].values()) == [["CASO stopped early."]]


# -- code and pages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [(-1,), (3,), (3, -1)])
@pytest.mark.parametrize("two", [False, True])
def test_the_code_gives_the_same_maps(digits, robust, classes, two, notebook):
    notebook.first, notebook.second, notebook.data = digits.model, robust.model, digits.test
    options = {
        "classes": classes,
        "methods": ("smoothgrad", "cafo"),
        "sweep": "cafo",
        "seed": 3,
        "values": {"smoothgrad": {"n_samples": 4}, "sweep": {"n_lambdas": 6}},
    }
    more = {"compare": robust.model, "names": ("first", "second")} if two else {"names": ("first",)}
    shown = ended(saliency_panel(digits.model, digits.test, fallback="none", **options, **more))
    reply, _ = request(shown, "copy", typed={})
    code = reply["value"]["code"]
    space = dict(vars(notebook))
    exec(code.rpartition("\n")[0], space)  # noqa: S102 - the panel's own code; without its last line, a panel
    suffix = "_first" if two else ""
    for method in ("smoothgrad", "cafo"):
        np.testing.assert_array_equal(
            space[f"{method}{suffix}"].values, shown.attributions["first", method].values
        )
    np.testing.assert_array_equal(space[f"sweep{suffix}"].values, shown.sweeps["first"].values)
    assert code.endswith(f"sdw.panel(sweep{suffix})")


def test_the_page_inside_a_notebook_is_small_and_the_file_is_not(digits):
    picture = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(288, 10)
    )
    shown = ended(saliency_panel(model, picture, fallback="none"))
    whole, less = shown.export(), shown.export(small=True)
    assert len(whole.arrays["swept"][0]["ratios"]) == 24

    def size(export):
        return sum(array.nbytes for name in ("maps", "swept") for array in export.arrays[name][1].values())

    # Noise is the worst that can be sent.
    assert size(less) < size(whole) / 3
    assert less.arrays["swept"][0]["ratios"][0] == 1.0
    assert less.arrays["swept"][0]["cells"][0]["chosen"] < len(less.arrays["swept"][0]["ratios"])


def test_untrusted_names_travel_as_text(digits):
    evil = tuple(f"<img src=x onerror=alert({k})>" for k in range(10))
    shown = ended(saliency_panel(digits.model, digits.test, class_names=evil, **QUICK))
    assert "<img" not in shown.html().replace("\\u003cimg", "")
