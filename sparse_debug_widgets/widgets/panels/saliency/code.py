"""The calls that give the maps of the Saliency panel again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparse_debug_widgets.saliency import METHODS
from sparse_debug_widgets.widgets.kit.code import Cell, Expression, differing
from sparse_debug_widgets.widgets.panels.saliency.work import PREDICTION, SWEEP, Wish, parameters_of


def cell(wish: Wish, models: Mapping[str, str], example: str) -> Cell:
    """The calls for what a person chose.

    Args:
        wish: The choice.
        models: Name in the panel -> what the notebook calls it.
        example: Expression that gives the example as a batch of one.
    """
    made, called = Cell(), list(models.values())
    made.add(f"x = {example}")
    shared = {**_target(made, wish, called, example), **wish.options}
    # A name of its own for each result, so that the second model does not overwrite the first.
    suffixes = [f"_{name}" if len(called) > 1 and name.isidentifier() else "" for name in called]
    for model, suffix in zip(called, suffixes, strict=True):
        for method, values in wish.methods.items():
            said = _said(method, values, wish.seed if METHODS[method].random else 0)
            made.call("attribute", model, "x", repr(method), to=f"{method}{suffix}", **shared, **said)
        if wish.sweep is not None:
            method, values = wish.sweep
            said = _said(SWEEP, values, wish.seed if METHODS[method].random else 0)
            made.call("lambda1_sweep", model, "x", repr(method), to=f"sweep{suffix}", **shared, **said)
    last = "sweep" if wish.sweep is not None else next(iter(wish.methods))
    made.call("panel", f"{last}{suffixes[0]}")
    return made


def _target(made: Cell, wish: Wish, models: Sequence[str], example: str) -> dict[str, Any]:
    """The argument that names the classes; lines that it needs are added, an example for each class too."""
    classes = list(wish.classes)
    alone = len(classes) == 1
    if PREDICTION in classes and not (alone and len(models) == 1):
        made.add(f"predicted = int(sdw.attribute({models[0]}, x).predicted[0])")
    if alone and classes[0] == PREDICTION:
        return {} if len(models) == 1 else {"target": Expression("predicted")}
    if alone:
        return {"target": classes[0]}
    listed = ", ".join("predicted" if k == PREDICTION else str(k) for k in classes)
    made.add(f"classes = [{listed}]")
    # Indexing repeats tensors and arrays alike.
    mapping = example.startswith(("{", "dict("))
    many = "{k: v[[0] * len(classes)] for k, v in x.items()}" if mapping else "x[[0] * len(classes)]"
    made.add(f"x = {many}")
    return {"target": Expression("classes")}


def _said(method: str, values: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Parameters that differ from their defaults."""
    defaults = {parameter.name: parameter.default for parameter in parameters_of(method)}
    said = differing(values, defaults)
    if seed:
        said["seed"] = seed
    return said
