"""Names of classes: where data sets and models carry them, and one numbering for all the data of a call.

Labels are numbers or names. Names become numbers by one list of names only: the one that was given, else the
model's, else that of the training data. A second data set is renumbered by name, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import reject, shorten, suggest

Names = tuple[str, ...]
_UNNAMED = re.compile(r"LABEL_\d+")
_LABEL_FIELDS = ("labels", "label")


def label_array(labels: object, what: str = "labels") -> npt.NDArray[Any]:
    """Labels as an array of numbers, or of texts where they are names of classes.

    Args:
        labels: List, tuple, array, tensor or series.
        what: What they are called in messages.

    Raises:
        InputError: One is missing (None, NaN among names, a masked entry), or they are neither.
    """
    if isinstance(labels, torch.Tensor):
        host = labels.detach().cpu()
        host = host if host.layout == torch.strided else host.to_dense()
        return np.asarray((host.double() if host.is_floating_point() else host).numpy())
    try:
        array = plain_array(labels, what)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        got = f"rows of different lengths ({shorten(str(error), 80)})"
        reject(what, "a classifier", "be one label for each example", got)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U" and isinstance(labels, list | tuple):
        array = np.asarray(labels, object)  # as they were: NumPy makes the text "nan" of a NaN among names
    if array.dtype.kind == "U":
        array = np.where(array == "nan", np.nan, array.astype(object))  # likewise, in an array made before
    return _named_or_numbers(array.astype(object), what) if array.dtype.kind in "OT" else array


def plain_array(values: Any, what: str) -> npt.NDArray[Any]:  # noqa: ANN401 (whatever NumPy takes)
    """Turn values into an array as NumPy does; a masked array only if nothing in it is masked.

    Raises:
        InputError: Masked entries.
    """
    if isinstance(values, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(values))
        if len(masked):
            got = f"{len(masked)} masked entries, the first at {tuple(int(i) for i in masked[0])}"
            advice = "Fill them with array.filled(value), or drop these rows."
            reject(what, "this package", "have no masked entries", got, advice)
        return np.asarray(values.data)
    return values if isinstance(values, np.ndarray) else np.asarray(values)


def _named_or_numbers(array: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    for row, entry in enumerate(array.flat):
        if is_missing(entry):
            advice = "Drop the rows without a label, or give them a class of their own."
            reject(what, "a classifier", "be there for each example", f"{entry!r} in row {row}", advice)
    if array.size and not any(isinstance(entry, str) for entry in array.flat):
        return np.asarray(array.tolist())
    return array.astype(str)


def is_missing(entry: object) -> bool:
    """Say whether an entry of a table stands for nothing: None, NaN, NaT or pandas' NA."""
    return (
        entry is None
        or type(entry).__name__ in {"NAType", "NaTType"}
        or (isinstance(entry, float | np.floating) and bool(np.isnan(entry)))
    )


def are_names(labels: npt.NDArray[Any]) -> bool:
    """Say whether labels are names of classes."""
    return labels.dtype.kind in "OUT"


def by_name(labels: npt.NDArray[Any], names: Sequence[str] | None, whose: str = "") -> tuple[Any, Names]:
    """Names of classes as indices.

    Args:
        labels: (n,) names.
        names: What the indices count; None for the names that occur, sorted.
        whose: Whose names they are, for the message.

    Returns:
        (n,) int64, and the names.

    Raises:
        InputError: A label that is no class.
    """
    if labels.ndim != 1:
        reject("labels", "classes", "be one name for each example", f"shape {labels.shape}")
    texts, inverse = np.unique(labels.astype(str), return_inverse=True)
    if names is None:
        return inverse.astype(np.int64), tuple(str(text) for text in texts)
    place = {name: k for k, name in reversed(list(enumerate(names)))}
    unknown = [str(text) for text in texts if str(text) not in place]
    if unknown:
        _refuse_unknown(unknown, names, whose)
    return np.array([place[str(text)] for text in texts], np.int64)[inverse], tuple(names)


def _refuse_unknown(unknown: list[str], names: Sequence[str], whose: str) -> None:
    row = shorten(repr(unknown[0]), 60)
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    what = whose or "class_names"
    reject("labels", what, "contain only names of classes", f"{row}{more}", suggest(unknown[0], names))


def renumbering(
    own: Names | None, wanted: Names | None, *, strict: bool = False
) -> npt.NDArray[np.int64] | None:
    """Map each index of a data set to its index in ``wanted``; None if the two agree.

    Data sets number their classes each for itself (a folder without cats calls the dog 0). Where they say the
    names, indices are carried over by name. Names that have nothing in common are two words for one thing
    ("n01440764", "tench"): then indices stay as they are.

    Args:
        own: Names as the data set has them, in the order of its labels.
        wanted: Names to count by.
        strict: The names are the labels themselves, or both lists are of data sets: none may be unknown.

    Raises:
        InputError: Some of the names are the wanted ones, and others are not.
    """
    if own is None or wanted is None or own == wanted or len(set(own)) < len(own):
        return None
    place = {name: k for k, name in reversed(list(enumerate(wanted)))}
    unknown = [name for name in own if name not in place]
    if len(unknown) == len(own) and not strict:
        return None
    if unknown:
        must = "have classes out of those that labels are counted by"
        got = f"{shorten(repr(unknown[0]), 60)}, which is none of them"
        advice = f"{suggest(unknown[0], wanted)} Pass class_names= with all classes, in the model's order."
        reject("data", "these classes", must, got, advice)
    return np.array([place[name] for name in own], np.int64)


def names_in(data: object) -> Names | None:
    """Names of the classes as a data set carries them, also through loaders, subsets and joined sets.

    ``classes`` (torchvision, this package), or the ``names`` of a Hugging Face ``ClassLabel``.

    Raises:
        InputError: Data sets that were joined have different classes.
    """
    for _ in range(20):  # loaders of subsets of ...; a data set may also be its own ``dataset``
        if data is None or isinstance(data, tuple | list | np.ndarray | torch.Tensor):
            return None
        found = _own_names(data)
        if found is not None:
            return found
        parts = getattr(data, "datasets", None)
        if isinstance(parts, tuple | list) and parts:
            return _names_of_all([names_in(part) for part in parts])
        data = getattr(data, "dataset", None)
    return None


def _own_names(data: object) -> Names | None:
    classes = getattr(data, "classes", None)
    if not isinstance(classes, list | tuple):
        fields = getattr(data, "features", None)
        fields = fields if isinstance(fields, Mapping) else {}
        classes = next((getattr(fields[key], "names", None) for key in _LABEL_FIELDS if key in fields), None)
    if not isinstance(classes, list | tuple) or not classes:
        return None
    # ImageNet has tuples of synonyms.
    return tuple(str(name[0] if isinstance(name, tuple) and name else name) for name in classes)


def _names_of_all(found: list[Names | None]) -> Names | None:
    names = {one for one in found if one is not None}
    if len(names) > 1:
        first, second = sorted(names)[:2]
        got = f"{shorten(repr(first), 60)} and {shorten(repr(second), 60)}"
        advice = "Labels would mean different things; give both the same classes first."
        reject("data", "joined data sets", "have the same classes in each of them", got, advice)
    return None if None in found else next(iter(names), None)


def names_of_model(model: object) -> Names | None:
    """Names of a model's outputs, as Hugging Face configurations have them (``id2label``).

    "LABEL_0" and so on are no names.
    """
    table = getattr(getattr(model, "config", None), "id2label", None)
    if not isinstance(table, Mapping) or not table:
        return None
    try:
        names = {int(key): str(name) for key, name in table.items()}
    except (TypeError, ValueError):
        return None
    if sorted(names) != list(range(len(names))) or all(_UNNAMED.fullmatch(n) for n in names.values()):
        return None
    return tuple(names[k] for k in range(len(names)))


def names_given(class_names: object) -> Names | None:
    """``class_names`` as texts; None where none were given.

    Raises:
        InputError: Not a sequence of names, or one that occurs twice.
    """
    if class_names is None:
        return None
    single = isinstance(class_names, torch.Tensor) or getattr(class_names, "ndim", 1) != 1
    if single or isinstance(class_names, bytes | Mapping) or not isinstance(class_names, Iterable):
        must = "be a list of names, one for each class in the order of the model's outputs"
        reject("class_names", "a classifier", must, type(class_names).__name__)
    names = tuple(str(name) for name in class_names)
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        reject("class_names", "a classifier", "be different names", f"{shorten(repr(twice[0]), 60)} twice")
    return names or None
