"""The form of a result's fields: a line of text for each array, checked when a file is read.

A checksum tells that a file is as somebody wrote it, not that it makes sense. Each result class says of its
arrays how long they are and what they may hold, and a file that says otherwise is refused before anything is
drawn or computed from it.

A line is a few words: first ``?`` where the field may be None, then the axes, then the kind of numbers,
then what else must hold. ``"K C float finite"`` is (K, C), ``"B K+1 ...x float"`` ends in any axes (the same
wherever ``...x`` stands). An axis named in two fields has one length. Kinds: ``float``, ``int``, ``index``
(an int, not negative), ``class`` (an int, -1 for none), ``bool``, ``number``, and ``names`` for a tuple of
that many texts.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_KINDS = {"float": "f", "int": "iu", "index": "iu", "class": "iu", "bool": "b", "number": "biuf"}
_SCALARS: dict[str, Any] = {"float": int | float, "int": int, "bool": bool, "str": str}
_AXIS = re.compile(r"(\.\.\.)?([A-Za-z]\w*|\d+)(?:([+-])(\d+))?$")
_RULES: dict[str, Callable[[npt.NDArray[Any]], bool]] = {
    "finite": lambda value: bool(np.isfinite(value).all()),
    "positive": lambda value: bool((value > 0).all()),
    "decreasing": lambda value: bool((np.diff(value) < 0).all()),
    "increasing": lambda value: bool((np.diff(value) > 0).all()),
    "sorted": lambda value: bool((np.diff(value) >= 0).all()),
}
_Lengths = dict[str, Any]


def faults(
    fields: Mapping[str, str],
    values: Mapping[str, object],
    types: Mapping[str, str],
    known: Mapping[str, int] | None = None,
) -> Iterator[str]:
    """List what is wrong with the values of a result, a phrase each.

    Args:
        fields: A line for each field that is an array or a tuple of names.
        values: All fields.
        types: The annotation of each field.
        known: Lengths of axes that are known from elsewhere.
    """
    lengths: _Lengths = dict(known or {})
    lines = {name: _Line.of(line) for name, line in fields.items() if name in values}
    # Axes without arithmetic first, so that "K+1" knows K; contents last, when all lengths are known.
    for name in sorted(lines, key=lambda field: (lines[field].computed, field)):
        yield from _shape_faults(name, lines[name], values[name], lengths)
    for name, line in lines.items():
        value = values[name]
        if isinstance(value, np.ndarray) and line.kind != "names":
            yield from (f"{name} {fault}" for fault in _contents(value, line, lengths))
    for name, value in values.items():
        if name not in fields and not _fits(value, types.get(name, "")):
            yield f"{name} of type {type(value).__name__}"


class _Line(NamedTuple):
    """A line, read."""

    optional: bool
    axes: list[str]
    kind: str
    rules: list[str]

    @classmethod
    def of(cls, line: str) -> _Line:
        words = line.split()
        optional = words[0] == "?"
        words = words[optional:]
        place = next(k for k, word in enumerate(words) if word in _KINDS or word == "names")
        return cls(optional, words[:place], words[place], words[place + 1 :])

    @property
    def computed(self) -> bool:
        return any("+" in axis or "-" in axis for axis in self.axes)


def _shape_faults(name: str, line: _Line, value: object, lengths: _Lengths) -> Iterator[str]:
    if value is None:
        if not line.optional:
            yield f"no {name}"
    elif line.kind == "names":
        if not isinstance(value, tuple) or not all(isinstance(text, str) for text in value):
            yield f"{name} that are no texts"
        elif not _agree(line.axes, (len(value),), lengths):
            yield f"{len(value)} {name}{_wanted(line.axes, lengths)}"
    elif not isinstance(value, np.ndarray) or value.dtype.kind not in _KINDS[line.kind]:
        yield f"{name} of type {value.dtype if isinstance(value, np.ndarray) else type(value).__name__}"
    elif not _agree(line.axes, value.shape, lengths):
        yield f"{name} of shape {value.shape}{_wanted(line.axes, lengths)}"


def _agree(axes: list[str], shape: tuple[int, ...], lengths: _Lengths) -> bool:
    """Say whether a shape fits; lengths that were not known are learnt."""
    learnt = dict(lengths)
    for k, axis in enumerate(axes):
        found = _AXIS.match(axis)
        assert found is not None, axis  # noqa: S101 - our own lines
        rest, symbol, sign, by = found.groups()
        if rest:
            if learnt.setdefault(f"...{symbol}", shape[k:]) != shape[k:] or k > len(shape):
                return False
            break
        if k >= len(shape):
            return False
        offset = int(by) * (1 if sign == "+" else -1) if sign else 0
        length = int(symbol) if symbol.isdigit() else learnt.setdefault(symbol, shape[k] - offset)
        if length + offset != shape[k]:
            return False
    else:
        if len(shape) != len(axes):
            return False
    lengths.update(learnt)
    return True


def _wanted(axes: list[str], lengths: _Lengths) -> str:
    known = [str(lengths.get(axis, axis)) for axis in axes]
    return f" where ({', '.join(known)}) is right"


def _contents(value: npt.NDArray[Any], line: _Line, lengths: _Lengths) -> Iterator[str]:
    lowest = {"index": 0, "class": -1}.get(line.kind)
    if lowest is not None and value.size and value.min() < lowest:
        yield f"below {lowest}"
    for rule in line.rules:
        if rule.startswith("<"):
            limit = lengths.get(rule[1:], 0)
            if value.size and value.max() >= limit:
                yield f"beyond {limit - 1}"
        elif not _RULES[rule](value):
            yield f"that are not {rule}"


def _fits(value: object, annotation: str) -> bool:
    """Say whether a value of a JSON head is what a field's annotation says."""
    if annotation.endswith(" | None"):
        return value is None or _fits(value, annotation.removesuffix(" | None"))
    if annotation in _SCALARS:
        return isinstance(value, _SCALARS[annotation]) and (
            annotation == "bool" or not isinstance(value, bool)
        )
    if annotation.startswith("tuple["):
        inner = annotation.removeprefix("tuple[").removesuffix("]").removesuffix(", ...")
        return isinstance(value, tuple) and all(_fits(item, inner) for item in value)
    if annotation.startswith(("dict[", "Mapping[")):
        inner = annotation.partition(", ")[2].removesuffix("]")
        return isinstance(value, dict) and all(_fits(item, inner) for item in value.values())
    # Whatever else a field may be ("Any", arrays without a line): nothing is known of it.
    return True


def types_of(result: type[Any]) -> dict[str, str]:
    """Annotations of the fields of a result class, as text."""
    return {field.name: str(field.type) for field in dataclasses.fields(result)}
