"""The public names: all of them resolve, and no two lists of them drift apart."""

import ast
from pathlib import Path
from types import ModuleType

import pytest

import sparse_debug_widgets as sdw

FIRST_TEN_MINUTES = {"list_demos", "load_demo", "extract_features", "elastic_net_path", "panel"}


@pytest.mark.parametrize("name", sdw.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(sdw, name) is not None


def test_names_of_the_first_ten_minutes_are_there() -> None:
    assert set(sdw.__all__) >= FIRST_TEN_MINUTES


def test_tab_completion_offers_exactly_the_public_names() -> None:
    assert dir(sdw) == sorted(sdw.__all__)


def test_no_public_name_is_also_a_room() -> None:
    package = Path(sdw.__file__).parent
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} | {
        path.stem for path in package.glob("*.py")
    }
    assert not rooms & set(sdw.__all__)
    assert type(sdw) is ModuleType


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'elastic_path'"):
        _ = sdw.elastic_path


def test_type_checkers_see_the_same_names_as_users() -> None:
    tree = ast.parse(Path(sdw.__file__).read_text(encoding="utf-8"))
    (block,) = (
        n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"
    )
    seen = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == {name: f"sparse_debug_widgets.{room}" for name, room in sdw._ROOM_OF.items()}
    assert set(seen) == set(sdw.__all__) - {"__version__"}
