"""The public names: all of them resolve, and no two lists of them drift apart."""

import ast
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("first", ["", "import sparse_debug_widgets.perturbation.balls; "])
def test_a_name_that_is_also_a_room_is_the_function_in_whatever_order_things_are_imported(first: str) -> None:
    script = (
        f"{first}import sparse_debug_widgets as sdw; from sparse_debug_widgets.perturbation import pgd; "
        "assert sdw.perturb.__name__ == 'perturb' and callable(sdw.perturb), sdw.perturb; "
        "from sparse_debug_widgets import perturb; assert perturb is sdw.perturb"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


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
