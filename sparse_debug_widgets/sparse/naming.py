"""Features and classes as people name them: by index or by name, one or several."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from sparse_debug_widgets.core.checks import reject, shorten, suggest


def several(features: object) -> list[Any]:
    """One feature or several as a list; each is checked where it is looked up."""
    if isinstance(features, str | numbers.Integral):
        return [features]
    if not isinstance(features, Iterable):
        reject("features", "silence", "be a name, an index, or several of them", features)
    return list(features)


def edits(changes: object) -> list[tuple[Any, Any, Any]]:
    """The entries of ``{(class, feature): weight}``; each part is checked where it is used."""
    if not isinstance(changes, Mapping):
        return reject("changes", "edit", "be a mapping {(class, feature): weight}", type(changes).__name__)
    for key in changes:
        if not isinstance(key, tuple) or len(key) != 2:
            reject("changes", "edit", "have keys (class, feature)", key)
    return [(*key, value) for key, value in changes.items()]


def position(wanted: Any, names: tuple[str, ...], what: str) -> int:  # noqa: ANN401 - checked here
    """Index of a name, or an index that is checked."""
    if isinstance(wanted, str):
        places = [i for i, name in enumerate(names) if name == wanted]
        if len(places) > 1:
            reject(
                what, "this layer", "be unique; use its index", f"{shorten(wanted)!r}, {len(places)} times"
            )
        if not places:
            reject(what, "this layer", "be a known name or an index", shorten(wanted), suggest(wanted, names))
        return places[0]
    whole = isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool)
    if not whole or not 0 <= int(wanted) < len(names):
        reject(what, "this layer", f"be a known name or an index in 0 ... {len(names) - 1}", wanted)
    return int(wanted)
