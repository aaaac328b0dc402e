"""What a person may choose of how x-features are shown, and with what it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparse_debug_widgets.core.checks import check_int, reject

BASELINE = -1
_WHAT = "the x-feature panel"
_LONGEST_NAME = 200
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


def start(given: Mapping[str, Any], k: int, n: int) -> dict[str, Any]:
    """Traits to begin with.

    Args:
        given: What the caller of the panel chose.
        k: Pictures.
        n: x-features.

    Raises:
        InputError: An unknown name, or a number that no picture or x-feature has.
    """
    odd = sorted(set(given) - set(DISPLAY) - set(_SHOWN))
    if odd:
        reject(f"option {odd[0]!r}", _WHAT, f"be one of {', '.join([*_SHOWN, *DISPLAY])}", "an unknown name")
    chosen = _SHOWN | {name: value for name, value in given.items() if name in _SHOWN}
    for name, low, high in (("shown", BASELINE, n - 1), ("hidden", BASELINE, n - 1), ("selected", 0, k - 1)):
        chosen[name] = [check_int(i, f"an entry of {name}", _WHAT, low=low, high=high) for i in chosen[name]]
    chosen["order"] = _SHOWN["order"] | dict(chosen["order"])
    chosen["display"] = DISPLAY | {name: value for name, value in given.items() if name in DISPLAY}
    return chosen


def clean_names(names: Sequence[str], n: int) -> list[str]:
    """Names as a result takes them: one line each, bounded; an empty one becomes "H1" and so on again."""
    texts = [" ".join(str(name).split())[:_LONGEST_NAME] for name in names[:n]]
    texts += [""] * (n - len(texts))
    return [text or f"H{i + 1}" for i, text in enumerate(texts)]
