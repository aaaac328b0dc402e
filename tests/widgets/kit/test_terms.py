"""The table of terms: every "?" of every panel has its sentence and its formula, in plain words."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets import widgets
from sparse_debug_widgets.core.meaning import Meaning
from sparse_debug_widgets.interpret import EXPLANATION_METHODS
from sparse_debug_widgets.saliency import METHODS, Method
from sparse_debug_widgets.widgets.panels.xfeatures.panel import XFeaturesPanel
from tests.widgets.fakes import fake_xfeatures
from tests.widgets.script import flat

WIDGETS = Path(widgets.__file__).parent
SCRIPTS = sorted(path for path in WIDGETS.rglob("*.js") if "labextension" not in path.parts)
TABLE = flat((WIDGETS / "kit" / "terms.js").read_text(encoding="utf-8"))
TERMS = dict(re.findall(r"^  (\w+): \{\n((?:    .*\n)+)  \},\n", TABLE, re.MULTILINE))
# whatIs("x"), heading(..., "x"), explained(..., "x"), tile("...", "x") and tile(`...`, "x")
USES = re.compile(r"""(?:whatIs\(|heading\(.*?, |tile\(.*?, |explained\(.*\), )"(\w+)"\)""")
STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`')

X = torch.from_numpy(np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32))
Y = torch.arange(40) % 2


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 2))


def features():
    return sdw.DeepFeatures.from_arrays(np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 2)


PANELS = {
    "fit": lambda: sdw.fit_panel(features(), fallback="none"),
    "perturb": lambda: sdw.perturb_panel(network(), (X, Y), fallback="none"),
    "xfeatures": lambda: XFeaturesPanel(fake_xfeatures(), fallback="none"),
    "features": lambda: sdw.features_panel(
        sdw.elastic_net_path(features(), n_lambdas=5, eps=0.1), fallback="none"
    ),
}


def test_terms_have_a_name_a_sentence_and_a_formula():
    assert len(TERMS) > 20
    for term, body in TERMS.items():
        fields = dict(re.findall(r'^    (\w+): "(.*)",$', body, re.MULTILINE))
        assert set(fields) == {"name", "says", "formula"}, term
        assert fields["says"].endswith("."), term
        assert len(fields["says"]) < 260, term


def test_every_term_that_is_asked_for_is_in_the_table():
    text = flat("\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS))
    asked = set(USES.findall(text)) | set(
        re.findall(r': "(\w+)"', re.search(r"FIELD_TERMS = \{(.*?)\}", text, re.S)[1])
    )
    wanted = {"lambda", "rule", "certificate", "eps", "q", "gap", "mass", "alpha", "norm", "lambda1", "L"}
    assert wanted <= asked
    assert asked <= set(TERMS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(WIDGETS)))
def test_no_panel_speaks_of_the_thesis_or_in_symbols_of_the_code(script):
    text = flat(script.read_text(encoding="utf-8"))
    strings = STRINGS.findall(re.sub(r"^\s*(//|\*|/\*\*).*$", "", text, flags=re.MULTILINE))
    for wrong in ("thesis", "eps / m", "sdw.p", "the paper", "data="):
        assert not [s for s in strings if wrong in s], wrong


@pytest.mark.browser
@pytest.mark.parametrize(
    ("panel", "terms"),
    [
        ("fit", {"lambda", "alpha", "gap"}),
        ("perturb", {"eps", "q", "this norm", "this method", "this box mode"}),
        ("xfeatures", {"decisions", "mimic", "mass", "r2"}),
        ("features", {"prototype"}),
    ],
)
def test_the_words_of_the_other_panels_are_explained_too(show, panel, terms):
    page = show(PANELS[panel]())
    marks = {one.get_attribute("data-term"): one for one in page.root.locator(".sdw-what").all()}
    assert terms <= set(marks)
    for term in terms:
        if not marks[term].is_visible():
            continue  # of a result that is not there yet
        marks[term].press("Enter")
        expect(page.root.locator(".sdw-term-says")).to_be_visible()
        page.page.keyboard.press("Escape")
        assert marks[term].evaluate("(e) => document.activeElement === e")


def test_what_a_panel_says_it_lacks_is_no_python():
    path = sdw.elastic_net_path(features(), n_lambdas=5, eps=0.1)
    said = [
        sdw.panel(path).why_not_renewable(),
        sdw.panel(fake_xfeatures()).why_not_renewable(),
        sdw.panel(sdw.perturb(network(), X[:1], eps=0.5, steps=2)).why_not_renewable(),
    ]
    assert all(said)
    assert not [text for text in said if re.search(r"\w\(|\w=|sdw", text)]


@pytest.mark.browser
def test_every_saliency_method_has_a_question_mark_that_says_it(show):
    page = show(sdw.saliency_panel(network(), (X, Y), fallback="none"))
    for name, method in METHODS.items():
        row = page.root.locator(f'.sdw-told:has([data-key="{name}"])')
        row.locator(".sdw-what").click()
        box = page.root.locator(".sdw-term")
        expect(box).to_contain_text(method.meaning.says)
        box.locator("summary").click()
        expect(box.locator("code")).to_have_text(method.meaning.formula)
        page.page.keyboard.press("Escape")
        expect(box).to_have_count(0)


@pytest.mark.browser
def test_a_method_that_a_stranger_adds_brings_its_own_sentence(show, monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    own = Meaning("It says <b>what</b> it does.", "a = b")
    METHODS.add("own", Method(METHODS["gradient"].run, meaning=own))
    METHODS.add("silent", Method(METHODS["gradient"].run))
    page = show(sdw.saliency_panel(network(), (X, Y), fallback="none"))
    box = page.root.locator(".sdw-term")
    page.root.locator('.sdw-told:has([data-key="own"]) .sdw-what').click()
    expect(box).to_contain_text("It says <b>what</b> it does.")
    page.root.locator('.sdw-told:has([data-key="silent"]) .sdw-what').click()
    expect(box).to_contain_text("Gradient of a class's logit")
    expect(box.locator("summary")).to_have_count(0)


@pytest.mark.browser
def test_the_question_mark_beside_a_choice_tells_of_what_is_chosen(show):
    page = show(sdw.x_features_panel(network(), (X, Y), fallback="none"))
    method = page.root.locator('select[name="method"]')
    box = page.root.locator(".sdw-term")
    for name, entry in EXPLANATION_METHODS.items():
        method.select_option(name)
        page.root.get_by_label("What is this method?").click()
        expect(box).to_contain_text(f"method: {name}")
        expect(box).to_contain_text(entry.meaning.says)
        page.page.keyboard.press("Escape")
