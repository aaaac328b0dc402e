"""The calls that do in a cell what the Perturbation panel does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparse_debug_widgets.core.pixels import UNIT
from sparse_debug_widgets.widgets.kit.code import Cell, Expression
from sparse_debug_widgets.widgets.panels.perturb.settings import USUAL, call_options

_WRITTEN = 64
"""Numbers of a pixel range that are written out; a longer one is a variable."""
_USUAL = {"ascent": False, "method": USUAL["method"], "box_mode": USUAL["box_mode"]}


def perturb_cell(
    values: Mapping[str, Any],
    names: Mapping[str, str],
    more: Mapping[str, Any],
    *,
    target: object,
    box: object,
) -> Cell:
    """The calls that reproduce a run.

    Args:
        values: Checked fields.
        names: What the notebook calls the model, the picture, and the model compared with.
        more: Further arguments of ``perturb``.
        target: As ``perturb`` takes it.
        box: Pixel range.
    """
    made, options = Cell(), call_options(values)
    said = {name: value for name, value in options.items() if _USUAL.get(name, ...) != value}
    said |= {**_boxed(made, box), "keep_iterates": True, **more}
    made.add(f"x = {names['picture']}")
    made.call("perturb", names["model"], "x", to="result", target=target, **said)
    if "compare" in names:
        same = Expression("result.target") if target == "prediction" else target
        made.call("perturb", names["compare"], "x", to="compared", target=same, **said)
    made.call("panel", "result", names["model"])
    return made


def concept_cell(
    values: Mapping[str, Any],
    names: Mapping[str, str],
    more: Mapping[str, Any],
    class_index: int,
    *,
    shape: tuple[int, ...],
    box: object = UNIT,
) -> Cell:
    """The call that lets the model draw the same again."""
    made = Cell()
    said: dict[str, Any] = {"shape": shape, **{name: values[name] for name in ("eps_l2", "q", "steps")}}
    said |= {"seeds": Expression(f"range({values['seeds']!r})"), **_boxed(made, box), **more}
    made.call("probe_concept", names["model"], str(class_index), to="drawn", **said)
    if "compare" in names:
        made.call("probe_concept", names["compare"], str(class_index), to="compared", **said)
    made.call("panel", "drawn", names["model"])
    return made


def _boxed(made: Cell, box: Any) -> dict[str, Any]:  # noqa: ANN401 (numbers or tensors)
    """The argument that says a pixel range, none for the usual one; lines that it needs are added."""
    if box is None:
        return {"box": None}
    ends = [np.asarray(end) for end in box]
    if all(end.ndim == 0 for end in ends):
        pair = tuple(float(end) for end in ends)
        return {} if pair == UNIT else {"box": pair}
    if sum(end.size for end in ends) <= _WRITTEN:
        made.import_("torch")
        made.add(f"box = ({', '.join(f'torch.tensor({end.tolist()})' for end in ends)})")
    return {"box": Expression("box")}
