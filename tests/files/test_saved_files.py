"""What earlier versions saved is still read, with the same values; and every kind has such a file."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import sparse_debug_widgets as sdw
from tests.files.make import HERE, VALUES, described, fields_of
from tests.files.samples import LEFT, MADE, result_classes

VERSIONS = sorted(place.name for place in HERE.iterdir() if (place / VALUES).is_file())
NEWEST = VERSIONS[-1]


def saved_in(names: Iterable[str]) -> list[tuple[str, str]]:
    """Versions with what they saved; the newest knows every name, older ones those of their time."""
    known = {
        version: json.loads((HERE / version / VALUES).read_text(encoding="utf-8")) for version in VERSIONS
    }
    return [(v, name) for v in VERSIONS for name in names if v == NEWEST or name in known[v]]


FILES = saved_in(MADE)
LEAVINGS = saved_in(LEFT)
CLOSE = 1e-3
"""What is computed from a file may differ a little on another machine; what is read from it may not."""


def expected(version: str, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((HERE / version / VALUES).read_text(encoding="utf-8"))[name]
    return values


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(sdw.__path__, "sparse_debug_widgets."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def kinds_in_the_package() -> set[str]:
    """Kinds of results, and whatever is passed to ``storage.write(kind=...)``."""
    kinds = {cls.kind for cls in result_classes()}
    for module in modules():
        for call in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and (said := _kind_written(call)) is not None:
                kinds |= _value(said, module)
    return kinds


def _kind_written(call: ast.Call) -> ast.expr | None:
    function = ast.unparse(call.func)
    if function == "write_answer":
        return call.args[1]
    if function == "storage.write":
        return next(word.value for word in call.keywords if word.arg == "kind")
    return None


def _value(said: ast.expr, module: Any) -> set[str]:
    """A kind as it is written in a call; none where it is that of a result, or passed on."""
    if isinstance(said, ast.Constant):
        return {str(said.value)}
    text = ast.unparse(said)
    if text in {"self.kind", "kind"}:
        return set()
    return {str(getattr(module, text))}


def kinds_in(folder: Path) -> set[str]:
    """Kinds of the files of a folder, as their heads say."""
    kinds = set()
    for file in folder.rglob("*"):
        if file.suffix in {".safetensors", ".lime"}:
            with safe_open(str(file), framework="numpy") as opened:
                head = (opened.metadata() or {}).get("sparse_debug_widgets")
            if head:
                kinds.add(json.loads(head)["kind"])
    return kinds


def assert_same(found: Any, wanted: Any, what: str, close: float) -> None:
    if isinstance(wanted, dict):
        assert set(wanted) <= set(found), what
        for name, value in wanted.items():
            assert_same(found[name], value, f"{what} {name}", close)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), what
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other, what, close)
    elif isinstance(wanted, float):
        assert np.isclose(found, wanted, rtol=close, atol=close, equal_nan=True), what
    else:
        assert found == wanted, what


@pytest.mark.parametrize(("version", "kind"), FILES)
def test_a_result_that_was_saved_is_read_with_its_values(version: str, kind: str) -> None:
    cls = next(cls for cls in result_classes() if cls.kind == kind)
    found = cls.load(HERE / version / f"{kind}.safetensors")
    assert_same(described(fields_of(found)), expected(version, kind), kind, 0.0)
    assert repr(found)
    found.to_frame()
    found.plot()


@pytest.mark.parametrize(("version", "name"), LEAVINGS)
def test_work_goes_on_from_what_was_left(version: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(HERE / version / name, folder)
    before = {file.name for file in folder.iterdir()}
    found = LEFT[name][1](folder)
    assert_same(described(found), expected(version, name), name, CLOSE)
    after = {file.name for file in folder.iterdir()}
    # Answers and features that were not known again would be written anew, under another name.
    assert before <= after
    assert name.startswith("path_") or before == after


def test_every_kind_has_a_file_and_every_file_a_kind() -> None:
    assert kinds_in(HERE / NEWEST) == kinds_in_the_package()
    assert {name for version, name in FILES + LEAVINGS if version == NEWEST} == {*MADE, *LEFT}
    for version in VERSIONS:
        # Older versions lack the kinds that came after them, and none of what they saved.
        assert kinds_in(HERE / version) <= kinds_in_the_package()
        saved = {place.name.removesuffix(".safetensors") for place in (HERE / version).iterdir()} - {VALUES}
        assert saved == set(json.loads((HERE / version / VALUES).read_text(encoding="utf-8")))
        assert saved <= {*MADE, *LEFT}


def test_files_are_small() -> None:
    assert sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file()) < 400_000


def test_what_a_file_is_does_not_depend_on_where_its_class_lives() -> None:
    for version in VERSIONS:
        for file in (HERE / version).rglob("*"):
            if file.is_file():
                assert b"sparse_debug_widgets." not in file.read_bytes(), file.name
