"""One pair of colours for what raises and what lowers: figures, clouds, overlays and panels."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.interpret.lime import wordcloud
from sparse_debug_widgets.interpret.order import figure as order_figure
from sparse_debug_widgets.widgets.kit import assets
from sparse_debug_widgets.widgets.panels.saliency import settings as saliency_choice
from sparse_debug_widgets.widgets.panels.xfeatures import choice as xfeatures_choice
from sparse_debug_widgets.widgets.shared import colours
from tests.widgets.script import flat

WIDGETS = Path(assets.__file__).parents[1]


def test_panels_have_the_colours_of_the_figures() -> None:
    css = (WIDGETS / "kit" / "kit.css").read_text(encoding="utf-8")
    raises, lowers = (re.findall(rf"--sdw-{name}: (#[0-9a-f]+);", css) for name in ("raises", "lowers"))
    assert [colour.upper() for colour in raises] == [figures.RAISES, figures.RAISES_DARK]
    assert [colour.upper() for colour in lowers] == [figures.LOWERS, figures.LOWERS_DARK]


@pytest.mark.parametrize(
    "sheet", sorted(WIDGETS.rglob("*.css")), ids=lambda path: str(path.relative_to(WIDGETS))
)
def test_no_panel_has_colours_of_its_own_for_a_sign(sheet: Path) -> None:
    """A rule for one side of a number takes the pair from the kit."""
    for rule in re.findall(r"[^{}]*data-(?:sign|side)[^{}]*\{[^}]*\}", sheet.read_text(encoding="utf-8")):
        assert not re.search(r"#[0-9a-fA-F]{3,6}\b", rule), rule


def test_clouds_and_orders_have_it_too() -> None:
    assert [wordcloud._SHADES[sign, False][1] for sign in wordcloud.SIGNS] == [figures.RAISES, figures.LOWERS]
    assert [wordcloud._SHADES[sign, True][1] for sign in wordcloud.SIGNS] == [
        figures.RAISES_DARK,
        figures.LOWERS_DARK,
    ]
    assert order_figure._LIGHT.signs == {1: figures.RAISES, -1: figures.LOWERS}
    assert order_figure._DARK.signs == {1: figures.RAISES_DARK, -1: figures.LOWERS_DARK}


@pytest.mark.parametrize(
    ("colour", "ground"),
    [
        (figures.RAISES, "#F5F7F9"),
        (figures.LOWERS, "#F5F7F9"),
        (figures.RAISES_DARK, "#1F242A"),
        (figures.LOWERS_DARK, "#1F242A"),
    ],
)
def test_the_pair_is_legible_as_text(colour: str, ground: str) -> None:
    def luminance(name: str) -> float:
        share = np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, bright = sorted((luminance(colour), luminance(ground)))
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_the_page_paints_every_colour_map_that_python_lets_through() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted(WIDGETS.rglob("*.js")))
    (stops,) = re.findall(r"SEQUENTIAL_STOPS = .*?\(\{(.*?)\}\)", pages, re.S)
    (hues,) = re.findall(r"DIVERGING_HUES = .*?\(\{(.*?)\}\)", pages, re.S)
    assert tuple(re.findall(r"^\s*(\w+):", stops, re.M)) == colours.SEQUENTIAL
    assert tuple(re.findall(r'"([\w-]+)":', hues)) == colours.DIVERGING


@pytest.mark.parametrize(
    ("panel", "choice"), [("saliency", saliency_choice), ("xfeatures", xfeatures_choice)]
)
def test_the_page_offers_exactly_what_python_lets_through(panel: str, choice: Any) -> None:
    """Words of a display are written in the page beside what they mean there."""
    page = flat(assets.esm(panel))
    for parameter in choice.DISPLAY:
        if parameter.kind == "choice" and parameter.name not in {"sequential", "diverging"}:
            (listed,) = re.findall(rf"\b{parameter.name} = choiceField\((.*?\]\])\)", page)
            assert re.findall(r'\["(\w+)", ', listed) == list(parameter.choices), parameter.name
