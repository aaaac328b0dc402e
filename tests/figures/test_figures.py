"""Printed figures are those that ``poe figures`` measured last."""

import re

import pytest

from sparse_debug_widgets.core.threads import thread_limit
from tests.figures import printed
from tests.figures.measure import OBJECT_AUC, planted
from tests.figures.printed import CARDS, CODE, DOCUMENTS, card, card_numbers, filled, look_up, marked, stored

FIGURES = stored()
ADVICE = "run: poe figures"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_document_prints_what_was_measured(document):
    text = document.read_text(encoding="utf-8")
    assert text.count("<!--=") == text.count("<!--/-->") == len(list(marked(text)))
    for name, form, value in marked(text):
        assert value == look_up(FIGURES, name, form), f"{name}; {ADVICE}"
    assert filled(text, FIGURES) == text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: "/".join(path.parts[-2:]))
def test_no_line_opens_with_a_marker(document):
    """Markdown ends the paragraph there: a sentence would fall into two."""
    text = document.read_text(encoding="utf-8")
    assert re.findall(r"^(?:# )?<!--=.*", text, re.MULTILINE) == []


@pytest.mark.parametrize(("document", "pattern", "name"), CODE, ids=[name for *_, name in CODE])
def test_code_names_the_feature_that_was_found(document, pattern, name):
    (found,) = re.findall(pattern, document.read_text(encoding="utf-8"))
    assert found == look_up(FIGURES, name, "0"), ADVICE


@pytest.mark.parametrize("name", CARDS)
def test_a_card_prints_what_was_measured(name):
    numbers = card_numbers(name)
    known = {key: value for key, value in FIGURES[name].items() if key in numbers}
    assert known
    assert known == {key: numbers[key] for key in known}, ADVICE
    text = (printed.WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    assert text == card(name, numbers), ADVICE
    assert "nan" not in text


@pytest.mark.parametrize("demo", OBJECT_AUC)
def test_the_path_of_a_demo_with_a_flaw_still_gives_its_figures(demo):
    """What cards print of sparse and silenced layers is what the package's own path does, now."""
    with thread_limit(1):
        found = planted(demo)
    assert set(found) == set(FIGURES[demo])
    for name, value in found.items():
        assert value == pytest.approx(FIGURES[demo][name], abs=0.005), f"{name}; {ADVICE}"


def test_a_robust_networks_figures_are_its_cards():
    kept = card_numbers("shapes-robust")
    assert {key: FIGURES["shapes-robust"][key] for key in kept} == kept


def test_documents_print_figures_of_every_demo_that_is_measured():
    shown = {name for file in DOCUMENTS for name, *_ in marked(file.read_text(encoding="utf-8"))}
    assert {name.partition(".")[0] for name in shown} == set(FIGURES)


def test_figures_are_written_between_their_markers_only():
    text = "a <!--= x.y % -->1 %<!--/--> b <!--= x.n 0 -->?<!--/-->, 7 % <!--= x.y .3 --><!--/-->"
    new = filled(text, {"x": {"y": 0.4567, "n": 12}})
    assert (
        new == "a <!--= x.y % -->45.7 %<!--/--> b <!--= x.n 0 -->12<!--/-->, 7 % <!--= x.y .3 -->.457<!--/-->"
    )
    with pytest.raises(KeyError):
        filled(text, {"x": {"y": 0.5}})
