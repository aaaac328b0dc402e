"""The calls that do in a cell what the x-feature panel does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparse_debug_widgets.widgets.kit.code import Cell, Expression, differing
from sparse_debug_widgets.widgets.panels.xfeatures.settings import DEFAULT, call_options


def cell(values: Mapping[str, Any], names: Mapping[str, str], more: Mapping[str, Any]) -> Cell:
    """The calls that reproduce a run.

    Args:
        values: Checked settings.
        names: What the notebook calls the ``model``, the ``data`` and the ``test`` data, if any.
        more: Further arguments of ``x_features``.
    """
    said = differing(call_options(values), DEFAULT)
    if "test" in names:
        said["test"] = Expression(names["test"])
    made = Cell()
    given = (names["model"], names["data"], str(values["class_index"]))
    made.call("x_features", *given, to="found", **said, **more)
    again = {name: value for name, value in more.items() if name == "tokenizer"}
    made.call("panel", "found", names["model"], data=Expression(names["data"]), **again)
    return made
