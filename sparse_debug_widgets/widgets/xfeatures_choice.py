"""The choices of how x-features are shown, and with what they begin."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sparse_debug_widgets.core.checks import check_int, check_known
from sparse_debug_widgets.interpret import XFeatures
from sparse_debug_widgets.sparse.naming import LONGEST_NAME
from sparse_debug_widgets.widgets import xfeatures_settings

BASELINE = -1
_WHAT = "the x-feature panel"
DISPLAY: dict[str, Any] = {
    "blend": 0.7,
    "percentile": 99.0,
    "sequential": "inferno",
    "diverging": "purple-green",
    "scale": "map",
    "under": "grey",
    "fade": False,
    "beside": False,
    "smooth": False,
    "several": False,
    "numbers": "logit",
    "size": 104,
}
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
    odd = sorted(set(given) - set(DISPLAY) - set(_SHOWN))
    check_known(odd, [*xfeatures_settings.names(), *_SHOWN, *DISPLAY], _WHAT)
    chosen = _SHOWN | {name: value for name, value in given.items() if name in _SHOWN}
    last = None if found is None else found.n - 1
    ends = {"shown": (BASELINE, last), "hidden": (BASELINE, last)}
    ends["selected"] = (0, None if found is None else len(found.images) - 1)
    for name, (low, high) in ends.items():
        chosen[name] = [check_int(i, f"an entry of {name}", _WHAT, low=low, high=high) for i in chosen[name]]
    chosen["order"] = _SHOWN["order"] | dict(chosen["order"])
    chosen["display"] = DISPLAY | {name: value for name, value in given.items() if name in DISPLAY}
    return chosen


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
