"""The notebook extension in the wheel: all files, the tutorial as its script says, known to JupyterLab."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from hatch_build import NAME, SOURCE, assemble
from sparse_debug_widgets.cli.percent import to_notebook
from sparse_debug_widgets.cli.tutorial import TUTORIAL

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
FILES = sorted(path for path in (ROOT / SOURCE / "static").iterdir() if path.is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


def test_the_wheel_puts_every_file_where_jupyterlab_looks(wheel: Path) -> None:
    place = f".data/data/share/jupyter/labextensions/{NAME}/"
    with zipfile.ZipFile(wheel) as archive:
        found = {name.partition(place)[2]: name for name in archive.namelist() if place in name}
        assert set(found) == {
            "package.json",
            "install.json",
            f"static/{TUTORIAL}.ipynb",
            *(f"static/{path.name}" for path in FILES),
        }
        for path in FILES:
            assert archive.read(found[f"static/{path.name}"]) == path.read_bytes()
        package = json.loads(archive.read(found["package.json"]))
        notebook = json.loads(archive.read(found[f"static/{TUTORIAL}.ipynb"]))
        assert not [name for name in archive.namelist() if name.startswith(SOURCE.as_posix())]
    assert package["version"] == VERSION
    assert package["jupyterlab"]["_build"]["load"] == "static/remoteEntry.js"
    assert notebook == to_notebook((ROOT / "notebooks" / f"{TUTORIAL}.py").read_text(encoding="utf-8"))


def test_the_wheel_holds_every_tutorial(wheel: Path) -> None:
    place = "sparse_debug_widgets/cli/notebooks/"
    with zipfile.ZipFile(wheel) as archive:
        found = {name.removeprefix(place) for name in archive.namelist() if name.startswith(place)}
    assert found == {script.name for script in (ROOT / "notebooks").glob("*.py")}


def test_a_plain_install_makes_the_extension_known(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    install = [*pip, "install", "--no-deps", "--no-index", "--ignore-installed", "--prefix", str(tmp_path)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=120)
    environment = {
        **os.environ,
        "JUPYTER_PATH": str(tmp_path / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
    }
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path
    )
    listed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert re.search(
        rf"{NAME} v{re.escape(VERSION)} enabled OK \(python, {NAME}\)", listed.replace("  ", " ")
    )


def test_assembling_writes_nothing_into_the_repository(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / SOURCE).rglob("*")}
    assemble(ROOT, tmp_path / "extension", "1.2.3")
    assert (
        json.loads((tmp_path / "extension" / "package.json").read_text(encoding="utf-8"))["version"]
        == "1.2.3"
    )
    assert {path: path.stat().st_mtime_ns for path in (ROOT / SOURCE).rglob("*")} == before


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_texts_reach_the_page_as_text(path: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", path.read_text("utf-8"))
