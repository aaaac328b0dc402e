"""Features and classes as people name them: by index or by name, one or several."""

from __future__ import annotations

import numbers
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from sparse_debug_widgets.core.checks import refuse, reject, shorten, suggest

LONGEST_NAME = 200


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


def position(
    wanted: Any,  # noqa: ANN401 - checked here
    names: tuple[str, ...],
    what: str,
    whose: str = "this layer",
) -> int:
    """Index of a name, or an index that is checked."""
    if isinstance(wanted, str):
        places = [i for i, name in enumerate(names) if name == wanted]
        if len(places) > 1:
            listed = ", ".join(map(str, places[:5])) + (", ..." if len(places) > 5 else "")
            refuse(
                f"The name {shorten(wanted)!r} occurs {len(places)} times in {whose}: "
                f"use one of the indices {listed}."
            )
        if not places:
            noun = what.removesuffix("_index")
            refuse(f"No {noun} of {whose} is called {shorten(wanted)!r}. {suggest(wanted, names)}")
        return places[0]
    whole = isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool)
    if not whole or not 0 <= int(wanted) < len(names):
        reject(what, whose, f"be a known name or an index in 0 ... {len(names) - 1}", wanted)
    return int(wanted)


def renamed(names: tuple[str, ...], changes: object) -> tuple[str, ...]:
    """Names after some have been changed.

    Args:
        names: p names.
        changes: ``{number or present name: new name}``. A name is text on one line; spaces around it are
            dropped, and an empty one stands for the name that features have by default.

    Raises:
        InputError: No mapping, an unknown feature, no text, text of more than 200 characters or with control
            characters, or a name that another feature has.
    """
    if not isinstance(changes, Mapping):
        return reject("names", "features", "be a mapping {feature: name}", type(changes).__name__)
    new = list(names)
    for feature, name in changes.items():
        j = position(feature, names, "feature")
        if not isinstance(name, str):
            refuse(f"The name of a feature must be text; that of feature {j} is a {type(name).__name__}.")
        text = name.strip() or f"feature {j}"
        if len(text) > LONGEST_NAME or any(unicodedata.category(c) in {"Cc", "Cs"} for c in text):
            odd = "" if text.isprintable() else ", some of them unprintable"
            refuse(
                f"A feature's name must be one line of at most {LONGEST_NAME} characters; "
                f"{shorten(repr(text))} has {len(text)}{odd}."
            )
        new[j] = text
    for j in {position(feature, names, "feature") for feature in changes}:
        # A name is also what a feature is asked for by.
        if new.count(new[j]) > 1:
            other = next(i for i, name in enumerate(new) if name == new[j] and i != j)
            refuse(f"{shorten(new[j])!r} is already the name of feature {other}: choose another name.")
    return tuple(new)
