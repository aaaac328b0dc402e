"""The choices of the Saliency panel, with what it begins; what to do about a run that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sparse_debug_widgets.core.checks import check_known
from sparse_debug_widgets.core.params import Parameter, check_parameters, read_parameters
from sparse_debug_widgets.widgets.panels.saliency.work import PREDICTION, SWEEP, check_wish
from sparse_debug_widgets.widgets.shared.colours import Blend, Diverging, Percentile, Pixels, Sequential

ASKED = ("chunk_size", "output", "embedding")


def saliency_display(  # noqa: PLR0913 - read as a table of fields, never called
    *,
    percentile: Percentile = 99.0,
    blend: Blend = 0.7,
    signed: bool = False,
    sequential: Sequential = "inferno",
    diverging: Diverging = "blue-orange",
    smooth: bool = False,
    together: bool = False,
    size: Pixels = 150,
    beside: Literal["classes", "methods"] = "classes",
) -> None:
    """The display of all maps of the panel.

    Args:
        percentile: Where every map is capped.
        blend: How much of a map lies over the picture.
        signed: Show what speaks against the class too.
        sequential: Colour map of absolute values.
        diverging: Colour map of signed values.
        smooth: Smooth pictures where they are enlarged.
        together: One scale for all maps of a method.
        size: Width of a picture in pixels.
        beside: What stands side by side.
    """


DISPLAY: tuple[Parameter, ...] = read_parameters(saliency_display)
_START: dict[str, Any] = {
    "methods": ["gradient", "cafo", "caso"],
    "values": {},
    "classes": [PREDICTION],
    "sweep": "caso",
    "seed": 0,
    "auto": True,
}


def start(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choice to begin with.

    Args:
        given: What the caller of the panel chose.

    Raises:
        InputError: An unknown name, or a choice that cannot be.
    """
    known = [*_START, *(parameter.name for parameter in DISPLAY), *ASKED]
    check_known(sorted(set(given) - set(_START)), known, "the Saliency panel")
    chosen = _START | {k: list(v) if isinstance(v, tuple | list) else v for k, v in given.items()}
    checked(chosen)
    return chosen


def shown_as(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every value of the display, with defaults filled in.

    Raises:
        InputError: An unknown name, or a value that the page does not know.
    """
    return check_parameters(DISPLAY, given, "the display of the Saliency panel")


def checked(
    typed: Mapping[str, Any],
) -> tuple[dict[str, dict[str, Any]], tuple[str, dict[str, Any]] | None]:
    """Methods with their parameters, and the sweep with its own.

    Raises:
        InputError: An unknown method or parameter, or a value out of its range.
    """
    values = typed["values"]
    methods = {str(name): values.get(name, {}) for name in typed["methods"]}
    return check_wish(methods, (typed["sweep"], values.get(SWEEP, {})) if typed["sweep"] else None)
