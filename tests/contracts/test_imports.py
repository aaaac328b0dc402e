"""What importing costs, and who may import whom beyond what the import contracts can say."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "sparse_debug_widgets"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {
    "torch",
    "torchvision",
    "anywidget",
    "ipywidgets",
    "plotly",
    "IPython",
    "numpy",
    "pandas",
    "sklearn",
    "numba",
}


def modules_loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_loaded_by("import sparse_debug_widgets") & HEAVY


def test_importing_the_package_inside_ipython_loads_no_torch_and_no_widgets() -> None:
    shell = "from IPython.core.interactiveshell import InteractiveShell as S; S.instance()"
    assert not modules_loaded_by(f"{shell}; import sparse_debug_widgets") & {"torch", "anywidget", "plotly"}


@pytest.mark.parametrize("room", ["core", "data", "sparse"])
def test_importing_a_compute_room_loads_no_jupyter_and_no_plotly(room: str) -> None:
    loaded = modules_loaded_by(f"import sparse_debug_widgets.{room}")
    assert not loaded & {"anywidget", "ipywidgets", "IPython", "plotly", "traitlets"}


def imported_names(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import on line {node.lineno}"
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_the_package_root(module: Path) -> None:
    assert "sparse_debug_widgets" not in imported_names(module)


def test_every_compute_room_is_under_the_jupyter_contract() -> None:
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "forbidden")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"widgets", "cli"}
    assert set(contract["source_modules"]) == {f"sparse_debug_widgets.{room}" for room in rooms}


def test_every_room_says_what_it_is_for() -> None:
    rooms = [path.parent for path in PACKAGE.glob("*/__init__.py")]
    assert [room.name for room in rooms if not (room / "README.md").is_file()] == []
