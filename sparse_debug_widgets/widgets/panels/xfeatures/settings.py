"""The settings of the x-feature panel: one signature gives its fields, checks and code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from sparse_debug_widgets.core.checks import check_choice, check_int
from sparse_debug_widgets.core.params import Among, Parameter, Range, check_parameters, read_parameters
from sparse_debug_widgets.interpret import EXPLANATION_METHODS, x_features
from sparse_debug_widgets.sparse.layer.naming import position
from sparse_debug_widgets.widgets.kit import fields as controls

DEFAULT = {name: p.default for name, p in inspect.signature(x_features).parameters.items()}
_WHAT = "the x-feature panel"
_MOST_LAYERS = 300
AUTOMATIC = "automatic"
_LABELS = {"n": "x-features", "gallery": "pictures", "contrastive": "contrastive maps"}


def xfeatures_settings(
    *,
    method: Annotated[str, Among(EXPLANATION_METHODS)] = DEFAULT["method"],
    n: Annotated[int, Range(1, 64)] | Literal["auto"] = DEFAULT["n"],
    layer: str = AUTOMATIC,
    gallery: Annotated[int, Range(1, 500)] = DEFAULT["gallery"],
    contrastive: bool = DEFAULT["contrastive"],
    seed: Annotated[int, Range(0, 2**31 - 1)] = DEFAULT["seed"],
) -> None:
    """The fields of the x-feature panel.

    Args:
        method: srae is the full method; nn, sae and cae are it with terms of the loss switched off;
            lasso picks n features of the layer.
        n: How many concepts; auto keeps as many of eight as contribute.
        layer: Whose output the explanation network reads; automatic is what enters the decision layer.
        gallery: Pictures of the class to show maps of.
        contrastive: Maps of what speaks for an x-feature against what speaks for all others.
        seed: Of everything random.
    """


PARAMETERS: tuple[Parameter, ...] = read_parameters(xfeatures_settings)


def fields(layers: Sequence[str], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The form as the page makes it; the class has a list of its own.

    Args:
        layers: Layers of the model to choose from.
        values: Value of each field.
    """
    shown = []
    for parameter in PARAMETERS:
        entry = controls.field(parameter, values[parameter.name], label=_LABELS.get(parameter.name, ""))
        if parameter.name == "layer":
            entry |= {"kind": "choice", "choices": [AUTOMATIC, *layers]}
        shown.append(entry)
    return shown


def names() -> tuple[str, ...]:
    """List the names of what may be chosen."""
    return ("class_index", *(parameter.name for parameter in PARAMETERS))


def checked(values: Mapping[str, Any], layers: Sequence[str], class_names: Sequence[str]) -> dict[str, Any]:
    """All settings in their own types.

    Args:
        values: What was typed, or what the caller of the panel chose.
        layers: Layers of the model.
        class_names: Classes to choose from, by number or name; none where they are not known.

    Raises:
        InputError: An unknown name, a value out of its range, no such class or layer.
    """
    given = dict(values)
    wanted = given.pop("class_index", 0)
    if class_names:
        index = position(wanted, tuple(class_names), "class_index", _WHAT)
    else:
        index = check_int(wanted, "class_index", _WHAT, low=0)
    if given.get("layer") is None:
        given["layer"] = AUTOMATIC
    good = check_parameters(PARAMETERS, given, _WHAT)
    check_choice(good["layer"], [AUTOMATIC, *layers], "layer", _WHAT)
    return {"class_index": index, **good}


def call_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked settings as keyword arguments of ``x_features``."""
    options = {name: value for name, value in values.items() if name != "class_index"}
    return {**options, "layer": None if values["layer"] == AUTOMATIC else values["layer"]}


def layers_of(model: Any) -> tuple[str, ...]:  # noqa: ANN401 (an nn.Module)
    """Layers to choose from: modules that have no others inside, as many as a list can show."""
    if model is None:
        return ()
    found = [name for name, module in model.named_modules() if name and not list(module.children())]
    return tuple(found[:_MOST_LAYERS])
