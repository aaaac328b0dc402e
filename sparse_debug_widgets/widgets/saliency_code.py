"""The calls that give the maps of the Saliency panel again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparse_debug_widgets.saliency import METHODS
from sparse_debug_widgets.widgets.saliency_run import PREDICTION, SWEEP, Wish, parameters_of


def code(wish: Wish, models: Mapping[str, str], example: str) -> str:
    """Python for what a person chose.

    Args:
        wish: The choice.
        models: Name in the panel -> what the notebook calls it.
        example: Expression that gives the example as a batch of one.
    """
    lines = ["import sparse_debug_widgets as sdw", "", f"x = {example}"]
    classes = list(wish.classes)
    x = "x"
    if len(classes) > 1:
        first = next(iter(models.values()))
        if PREDICTION in classes:
            lines.append(f"predicted = int(sdw.attribute({first}, x).predicted[0])")
        listed = ", ".join("predicted" if k == PREDICTION else str(k) for k in classes)
        lines.append(f"classes = [{listed}]")
        # Indexing repeats tensors and arrays alike.
        many = (
            "{k: v[[0] * len(classes)] for k, v in x.items()}"
            if example.startswith(("{", "dict("))
            else "x[[0] * len(classes)]"
        )
        lines.append(f"x = {many}")
        target = ", target=classes"
    elif classes == [PREDICTION] and len(models) > 1:
        first = next(iter(models.values()))
        lines.append(f"predicted = int(sdw.attribute({first}, x).predicted[0])")
        target = ", target=predicted"
    else:
        target = "" if classes == [PREDICTION] else f", target={classes[0]}"
    shared = "".join(f", {name}={value!r}" for name, value in wish.options.items())
    for model in models.values():
        # A name of its own for each result, so that the second model does not overwrite the first.
        suffix = f"_{model}" if len(models) > 1 and model.isidentifier() else ""
        for method, values in wish.methods.items():
            said = _said(method, values, wish.seed)
            lines.append(f"{method}{suffix} = sdw.attribute({model}, {x}, {method!r}{target}{shared}{said})")
        if wish.sweep is not None:
            method, values = wish.sweep
            said = _said(SWEEP, values, wish.seed if method.startswith("smooth") else 0)
            lines.append(f"sweep{suffix} = sdw.lambda1_sweep({model}, {x}, {method!r}{target}{shared}{said})")
    last = "sweep" if wish.sweep is not None else next(iter(wish.methods))
    suffix = f"_{next(iter(models.values()))}" if len(models) > 1 else ""
    return "\n".join([*lines, f"sdw.panel({last}{suffix})"])


def _said(method: str, values: Mapping[str, Any], seed: int) -> str:
    """Parameters that differ from their defaults."""
    defaults = {parameter.name: parameter.default for parameter in parameters_of(method)}
    said = {name: value for name, value in values.items() if value != defaults.get(name)}
    noisy = method in METHODS and "n_samples" in defaults
    if seed and (noisy or method == SWEEP):
        said["seed"] = seed
    return "".join(f", {name}={value!r}" for name, value in said.items())
