"""The converter agrees with the format's own tool on what a notebook is."""

import json
from pathlib import Path

import nbformat
import pytest

from sparse_debug_widgets.cli.percent import split_cells, to_notebook, write_notebook
from sparse_debug_widgets.cli.tutorial import TUTORIAL, prepare, tutorial_script

SCRIPTS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_notebook_converts_to_a_valid_notebook_without_losing_a_line(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    nbformat.validate(nbformat.from_dict(to_notebook(text)))
    kept = "\n".join(source for _, source in split_cells(text))
    for line in text.splitlines():
        if line.strip() and not line.startswith("# %%"):
            assert line.removeprefix("#").removeprefix(" ").rstrip() in kept


def test_text_before_the_first_mark_is_left_out_and_titles_are_allowed() -> None:
    cells = split_cells("header\n# %% a title\nx = 1\n\n\n# %% [markdown]\n# text\n")
    assert cells == [("code", "x = 1"), ("markdown", "text")]


def test_a_comment_in_code_stays_a_comment() -> None:
    assert split_cells("# %%\n# why\nx = 1") == [("code", "# why\nx = 1")]


def test_converting_twice_gives_the_same_file(tmp_path: Path) -> None:
    write_notebook(tutorial_script(), tmp_path / "a.ipynb")
    write_notebook(tutorial_script(), tmp_path / "b.ipynb")
    assert (tmp_path / "a.ipynb").read_bytes() == (tmp_path / "b.ipynb").read_bytes()


def test_a_persons_copy_of_the_tutorial_is_kept(tmp_path: Path) -> None:
    notebook = prepare(tmp_path / "new")
    assert notebook.name == f"{TUTORIAL}.ipynb"
    assert json.loads(notebook.read_text(encoding="utf-8"))["nbformat"] == 4
    notebook.write_text("mine", encoding="utf-8")
    assert prepare(tmp_path / "new").read_text(encoding="utf-8") == "mine"


def test_all_tutorials_lie_side_by_side(tmp_path: Path) -> None:
    notebook = prepare(tmp_path)
    assert notebook.stem == TUTORIAL
    shipped = {script.stem for script in (Path(__file__).parents[2] / "notebooks").glob("*.py")}
    assert {made.stem for made in tmp_path.glob("*.ipynb")} == shipped
