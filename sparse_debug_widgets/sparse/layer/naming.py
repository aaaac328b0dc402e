"""Features and classes as people name them: by index or by name, one or several."""

from __future__ import annotations

import numbers
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

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


def resolve_class_names(
    labels: npt.NDArray[Any],
    names: tuple[str, ...] | None,
    n_outputs: int | None,
    *,
    first_row: int = 0,
) -> tuple[str, ...]:
    """Class names for class labels, output names for targets; checked against the labels.

    Args:
        labels: What :func:`~sparse_debug_widgets.sparse.features.labels.as_labels` returned.
        names: Names that were given, or None.
        n_outputs: Rows of the model's own decision layer, or None. One row means two classes.
        first_row: Number of the first row, for messages.

    Returns:
        One name per class (classification) or per output (targets).

    Raises:
        InputError: A label is out of range, or the number of names is wrong.
    """
    if labels.dtype.kind == "f":
        n_targets = 1 if labels.ndim == 1 else labels.shape[1]
        if n_outputs is not None and n_targets != n_outputs:
            whole = labels.ndim == 1 and bool((labels == np.rint(labels)).all())
            advice = "Class indices must be whole numbers: labels.long()." if whole else ""
            reject("labels", "the model", f"have {n_outputs} columns of targets", f"{n_targets}", advice)
        if names is not None and len(names) != n_targets:
            reject("class_names", "targets", f"be {n_targets} names, one per output", f"{len(names)} names")
        return names or tuple(f"output {i}" for i in range(n_targets))
    n_classes = None if n_outputs is None else max(2, n_outputs)
    if names is not None and n_classes is not None and len(names) != n_classes:
        must = f"be {n_classes} names, one per output of the decision layer"
        reject("class_names", "the model", must, f"{len(names)} names")
    count = n_classes or (len(names) if names is not None else int(labels.max(initial=0)) + 1)
    bad = np.flatnonzero((labels < 0) | (labels >= count))
    if len(bad):
        got = f"{labels[bad[0]]} in row {first_row + bad[0]} ({len(bad)} such rows)"
        advice = "Count classes from 0, and drop rows without a class (often marked -1 or 255)."
        reject("labels", f"{count} classes", f"lie in 0 ... {count - 1}", got, advice)
    return names or tuple(f"class {i}" for i in range(count))
