"""The cell that "copy as code" gives."""

import ast

import pytest

from sparse_debug_widgets.widgets.kit.code import Cell, Expression, differing


def test_values_are_written_as_python_and_expressions_as_they_stand():
    cell = Cell()
    cell.call("perturb", "net[0]", "", "x", to="found", target="label", box=Expression("box"), eps=0.5)
    cell.call("found.save", repr("a'b\n.safetensors"))
    lines = str(cell).splitlines()
    assert lines[:2] == ["import sparse_debug_widgets as sdw", ""]
    assert lines[2] == "found = sdw.perturb(net[0], x, target='label', box=box, eps=0.5)"
    assert ast.literal_eval(lines[3].removeprefix("found.save(").removesuffix(")")) == "a'b\n.safetensors"


def test_imports_stand_first_and_what_is_missing_is_a_line_to_fill_in():
    cell = Cell()
    cell.add("box = (torch.zeros(1), torch.ones(1))")
    cell.import_("torch")
    cell.call("panel", "result", to="")
    text = cell.copied(result="the result of the last cell")
    head, rest = text.split("\n\n", 1)
    assert head.splitlines() == ["import sparse_debug_widgets as sdw", "import torch"]
    assert "result = ...  # fill in: the result of the last cell" in rest
    ast.parse(text)


@pytest.mark.parametrize(("value", "said"), [(1, {}), (2, {"a": 2}), (None, {"a": None})])
def test_only_what_differs_from_a_default_is_said(value, said):
    assert differing({"a": value}, {"a": 1}) == said
