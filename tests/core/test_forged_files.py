"""Files with a right checksum and wrong contents: refused when they are read, or harmless."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.layout import faults
from sparse_debug_widgets.core.result import Result
from tests.files.samples import MADE, result_classes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def saved(kind: str, folder: Path) -> tuple[type[Result], dict[str, Any], dict[str, Any], int]:
    """A result of this kind as a file: its class, head and arrays."""
    file = folder / kind
    if not file.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            MADE[kind]().save(file)
    cls = next(c for c in result_classes() if c.kind == kind)
    head, arrays = storage.read(file, kind=kind, schema=cls.schema)
    return cls, head, arrays, cls.schema


def array_forgeries(array: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """An array with one thing wrong."""
    yield "another axis", array[None]
    yield "flat", array.reshape(-1)[: max(1, array.size // 2)] if array.ndim > 1 else array[None, :0]
    yield "a number", np.asarray(0.5)
    yield "empty", array[:0]
    if array.ndim:
        yield "one row less", array[:-1]
        yield "one row more", np.concatenate([array, array[-1:]]) if len(array) else array[None]
    if array.ndim > 1 and array.shape[-1]:
        yield "one column less", array[..., :-1]
    kind = array.dtype.kind
    yield "truth values", array.astype(bool)
    if kind == "f":
        yield "whole numbers", np.nan_to_num(array).clip(-1e9, 1e9).astype(np.int64)
        yield "all NaN", np.full_like(array, np.nan)
        yield "reversed", array[::-1]
        yield "huge", np.full_like(array, 3e38)
    else:
        yield "numbers with a point", array.astype(np.float64)
    if kind in "iu":
        yield "far too large", np.full_like(array, np.iinfo(array.dtype).max)
    if kind == "i":
        yield "negative", np.full_like(array, -7)


def field_forgeries(value: object) -> Iterator[tuple[str, Any]]:
    """A field of the head with one thing wrong."""
    yield "a number", 3
    yield "a text", "x"
    yield "truth", True
    yield "a list of numbers", [1, 2]
    yield "a mapping", {"a": [1]}
    if isinstance(value, list | tuple):
        yield "one less", list(value)[:-1]
        yield "one more", [*value, "one more"]
    if isinstance(value, int | float):
        yield "huge", 10**12
        yield "negative", -5


def forgeries(
    head: dict[str, Any], arrays: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name, array in arrays.items():
        for what, forged in array_forgeries(array):
            yield f"{name}: {what}", head, {**arrays, name: forged}
        yield (
            f"{name}: none",
            {**head, "none": [*head["none"], name]},
            {k: v for k, v in arrays.items() if k != name},
        )
    for name, value in head["fields"].items():
        for what, forged in field_forgeries(value):
            yield f"{name}: {what}", {**head, "fields": {**head["fields"], name: forged}}, arrays
    for name, value in head["provenance"].items():
        for what, forged in field_forgeries(value):
            yield (
                f"provenance {name}: {what}",
                {**head, "provenance": {**head["provenance"], name: forged}},
                arrays,
            )


def use(found: Result) -> None:
    """What a person does first with a result that was read."""
    repr(found)
    found.to_frame()
    found.plot()


def test_every_kind_is_here_and_says_what_its_arrays_are() -> None:
    assert {cls.kind for cls in result_classes()} == set(MADE)
    for cls in result_classes():
        assert cls.arrays, cls


@pytest.mark.parametrize("kind", sorted(MADE))
def test_forged_contents_are_refused_or_harmless(kind: str, folder: Path, tmp_path: Path) -> None:
    cls, head, arrays, schema = saved(kind, folder)
    use(cls.load(folder / kind))
    raw: list[str] = []
    accepted = tried = 0
    for what, forged_head, forged_arrays in forgeries(head, arrays):
        tried += 1
        storage.write(
            tmp_path / "f", kind=kind, schema=schema, head=forged_head, arrays=forged_arrays, durable=False
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = cls.load(tmp_path / "f")
                accepted += 1
                # Where a result comes from is said, not drawn.
                (repr if what.startswith("provenance") else use)(found)
        except InputError:
            continue
        except Exception as error:
            raw.append(f"{what}: {type(error).__name__}: {str(error)[:80]}")
    assert not raw, f"{len(raw)} of {tried} ({accepted} accepted)\n" + "\n".join(raw)


def test_the_lines_are_read_as_written() -> None:
    lines = {"a": "K C float finite", "b": "C names", "c": "? K+1 index <C"}
    good = {"a": np.zeros((2, 3)), "b": ("x", "y", "z"), "c": np.array([0, 1, 2])}
    assert list(faults(lines, good, {})) == []
    assert list(faults(lines, {**good, "c": None}, {})) == []
    wrong = {
        "a": np.full((2, 3), np.nan), "b": ("x", "y"), "c": np.array([0, 1, 3]),
    }  # fmt: skip
    for name, value in wrong.items():
        assert any(
            fault.startswith(name) or f" {name}" in fault
            for fault in faults(lines, {**good, name: value}, {})
        )
    assert list(faults({}, {"n": "3"}, {"n": "int"})) == ["n of type str"]
    assert list(faults({}, {"n": True}, {"n": "int"})) == ["n of type bool"]
