"""The choices of how x-features are shown, and with what they begin."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sparse_debug_widgets.core.checks import check_int, check_known
from sparse_debug_widgets.core.params import Parameter, check_parameters, read_parameters
from sparse_debug_widgets.interpret import XFeatures
from sparse_debug_widgets.sparse.layer.naming import LONGEST_NAME
from sparse_debug_widgets.widgets.panels.xfeatures import settings
from sparse_debug_widgets.widgets.shared.colours import Blend, Diverging, Percentile, Pixels, Sequential

BASELINE = -1
_WHAT = "the x-feature panel"


def xfeatures_display(  # noqa: PLR0913 - read as a table of fields, never called
    *,
    blend: Blend = 0.7,
    percentile: Percentile = 99.0,
    sequential: Sequential = "inferno",
    diverging: Diverging = "purple-green",
    scale: Literal["map", "feature", "picture"] = "map",
    under: Literal["grey", "colour"] = "grey",
    fade: bool = False,
    beside: bool = False,
    smooth: bool = False,
    several: bool = False,
    numbers: Literal["logit", "share"] = "logit",
    size: Pixels = 104,
) -> None:
    """The display of all maps of the panel.

    Args:
        blend: How much of a map lies over the picture.
        percentile: Where every map is capped.
        sequential: Colour map of absolute values.
        diverging: Colour map of signed values.
        scale: What a map is scaled by.
        under: The picture under a map.
        fade: Fade each map by the size of its contribution.
        beside: The 1-heatmap beside every picture.
        smooth: Smooth pictures where they are enlarged.
        several: Switch maps on beside each other.
        numbers: What stands above a map.
        size: Width of a picture in pixels.
    """


DISPLAY: tuple[Parameter, ...] = read_parameters(xfeatures_display)
_SHOWN: dict[str, Any] = {
    "shown": (),
    "selected": (),
    "hidden": (),
    "order": {"by": "given", "down": True, "columns": "number"},
}


def start(given: Mapping[str, Any], found: XFeatures | None) -> dict[str, Any]:
    """Traits to begin with.

    Args:
        given: What the caller of the panel chose.
        found: The result that is shown, if there is one.

    Raises:
        InputError: An unknown name, or a number that no picture or x-feature has.
    """
    looks = [parameter.name for parameter in DISPLAY]
    odd = sorted(set(given) - set(looks) - set(_SHOWN))
    check_known(odd, [*settings.names(), *_SHOWN, *looks], _WHAT)
    chosen = _SHOWN | {name: value for name, value in given.items() if name in _SHOWN}
    last = None if found is None else found.n - 1
    ends = {"shown": (BASELINE, last), "hidden": (BASELINE, last)}
    ends["selected"] = (0, None if found is None else len(found.images) - 1)
    for name, (low, high) in ends.items():
        chosen[name] = [check_int(i, f"an entry of {name}", _WHAT, low=low, high=high) for i in chosen[name]]
    chosen["order"] = _SHOWN["order"] | dict(chosen["order"])
    chosen["display"] = shown_as({name: value for name, value in given.items() if name in looks})
    return chosen


def shown_as(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every value of the display, with defaults filled in.

    Raises:
        InputError: An unknown name, or a value that the page does not know.
    """
    return check_parameters(DISPLAY, given, f"the display of {_WHAT}")


def clean_names(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Names as a result takes them: one line each, bounded, of one concept only.

    Args:
        wanted: What a page or a person sent; an empty one stands for "H1" and so on again.
        known: The names so far; one of them stays where another concept has the wanted one.
    """
    names = list(known)
    for i, text in enumerate(wanted[: len(names)]):
        plain = "".join(c for c in str(text) if c.isspace() or unicodedata.category(c) not in {"Cc", "Cs"})
        name = " ".join(plain.split())[:LONGEST_NAME].strip() or f"H{i + 1}"
        if name not in [*names[:i], *names[i + 1 :]]:
            names[i] = name
    return names
