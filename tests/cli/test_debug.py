"""The command `debug`: a function or a demo in, a report out; nothing that is read is overwritten."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sparse_debug_widgets.cli.parser import main

SCRIPT = """
import torch
from torch import nn

def both():
    torch.manual_seed(0)
    x = torch.rand(90, 5)
    return nn.Linear(5, 3), (x, torch.arange(90) % 3)

def model():
    return both()[0]

def named():
    model, data = both()
    return {"model": model, "data": data, "class_names": ["<a>", "b", "c"]}

def number():
    return 3

not_a_function = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_model.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    return tmp_path


def test_a_function_that_returns_model_and_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", "own_model:both", "--out", "new/report.html"]) == 0
    page = (folder / "new" / "report.html").read_text(encoding="utf-8")
    assert "What this model gets wrong" in page
    printed = capsys.readouterr().out
    assert "The model's own layer is right on" in printed
    assert "Wrote new/report.html" in printed


def test_a_dict_of_arguments(folder: Path) -> None:
    assert main(["debug", "own_model:named"]) == 0
    assert "&lt;a&gt;" in (folder / "debug-report.html").read_text(encoding="utf-8")


def test_data_from_a_file(folder: Path) -> None:
    rng = np.random.default_rng(0)
    groups = np.array(["old", "new"] * 45)
    np.savez(folder / "data.npz", inputs=rng.random((90, 5)), labels=np.arange(90) % 3, groups=groups)
    assert main(["debug", "own_model:model", "data.npz"]) == 0
    assert "<td>old</td>" in (folder / "debug-report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name a function"),
        (["own_model:both", "--demo", "shapes"], "Name a function"),
        (["own_model"], "names no function"),
        (["no_such_module:both"], "There is no module 'no_such_module'"),
        (["own_model:nothing"], "has no function 'nothing'"),
        (["own_model:not_a_function"], "has no function"),
        (["own_model:number"], "return (model, data)"),
        (["own_model:model"], "There are no data"),
        (["own_model:both", "--out", "."], "is a folder"),
        (["own_model:model", "missing.npz"], "missing.npz"),
        (["own_model:model", "data.npz", "--out", "data.npz"], "data.npz"),
        (["own_model:model", "empty.npz"], "'inputs'"),
        (["--demo", "no demo"], "no demo"),
        (["own_model:both", "--batch-size", "0"], "batch_size"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(folder / "data.npz", inputs=np.zeros((6, 5)), labels=np.arange(6) % 3)
    np.savez(folder / "empty.npz", values=np.zeros(3))
    before = (folder / "data.npz").read_bytes()
    assert main(["debug", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert (folder / "data.npz").read_bytes() == before
    assert not (folder / "debug-report.html").exists()
