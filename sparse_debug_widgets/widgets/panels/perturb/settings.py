"""The settings of the Perturbation panel: signatures give its fields, its checks and its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from sparse_debug_widgets.core.checks import InputError, check_known
from sparse_debug_widgets.core.params import Among, Parameter, Range, check_parameters, read_parameters
from sparse_debug_widgets.perturbation.concepts import PAPER_SHARE
from sparse_debug_widgets.perturbation.methods import METHODS
from sparse_debug_widgets.perturbation.norms import BOX_MODES, NORMS
from sparse_debug_widgets.widgets.kit import fields as controls

_LARGE = 10_000
_LABELS = {
    "box_mode": "at the pixel range",
    "max_support": "most pixels",
    "eps_l2": "eps (l2)",
    "seeds": "pictures",
}


def perturb_settings(
    *,
    direction: Literal["towards", "away"] = "towards",
    norm: Annotated[str, Among(NORMS)] = "l1q",
    eps: Annotated[float, Range(0, 1e9, open_low=True, log=True)] = 1.0,
    q: Annotated[float, Range(0, 1, open_low=True, log=True)] = 0.05,
    steps: Annotated[int, Range(1, 500)] = 30,
    method: Annotated[str, Among(METHODS)] = "frank_wolfe",
    box_mode: Annotated[str, Among(BOX_MODES)] = "vertex",
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
) -> None:
    """The fields of the Perturbation panel.

    Args:
        direction: Make the class more probable, or less.
        norm: What is bounded: l1q is sparse and its sparsity is set by q; l2 and linf are dense.
        eps: Radius of the ball: how much may change in all.
        q: Share of the pixels that one step may touch (l1q only).
        steps: Forward and backward passes.
        method: How the ball is searched.
        box_mode: vertex keeps the range and the sparsity; spend uses all of eps; clamp cuts at the end.
        seed: Of what is random in the method (a random start of pgd).
    """


def concept_settings(
    *,
    eps_l2: Annotated[float, Range(0, 1e9, open_low=True, log=True)] = 35.0,
    q: Annotated[float, Range(0, 1, open_low=True, log=True)] = 0.1,
    steps: Annotated[int, Range(1, 500)] = 30,
    seeds: Annotated[int, Range(1, 12)] = 4,
) -> None:
    """The fields of the tab that lets a model draw a class.

    Args:
        eps_l2: Radius of the l2 ball; the sparse ball is drawn around it.
        q: Share of the pixels that one step may touch (the sparse ball).
        steps: Forward and backward passes.
        seeds: How many pictures, each from noise of its own.
    """


PARAMETERS: tuple[Parameter, ...] = read_parameters(perturb_settings)
CONCEPT: tuple[Parameter, ...] = read_parameters(concept_settings)
USUAL: dict[str, Any] = {parameter.name: parameter.default for parameter in PARAMETERS}


def options_of(method: str) -> tuple[Parameter, ...]:
    """List the settings of a method beyond the common fields that a control can be made for."""
    return tuple(option for option in METHODS[method].options if option.kind != "other")


def fields(values: Mapping[str, Any], concept: Mapping[str, Any]) -> dict[str, Any]:
    """The forms as the page makes them."""

    def form(parameters: Sequence[Parameter], start: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [controls.field(p, start.get(p.name), label=_LABELS.get(p.name, "")) for p in parameters]

    return {
        "fields": form(PARAMETERS, values),
        "options": {method: form(options_of(method), values) for method in METHODS},
        "conceptFields": form(CONCEPT, concept),
    }


def defaults(
    given: Mapping[str, Any], radii: Mapping[str, float], dims: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values to begin with: of the perturbation, and of the concept tab.

    Args:
        given: What the caller of the panel chose.
        radii: Radius to begin with, for each norm.
        dims: Numbers in one input.

    Raises:
        InputError: A name or a value that no field takes.
    """
    names = {p.name for p in PARAMETERS}
    methods = {p.name: p for method in METHODS for p in options_of(method)}
    check_known(sorted(given), sorted(names | set(methods) | {"target"}), "the Perturbation panel")
    common = {name: value for name, value in given.items() if name in names}
    start = check_parameters(PARAMETERS, common, "the Perturbation panel")
    if "eps" not in given:
        start["eps"] = radii[start["norm"]]
    for name in set(given) & set(methods):
        start[name] = methods[name].check(given[name], "the Perturbation panel")
    start["target"] = given.get("target", "prediction")
    drawn = {p.name: p.default for p in CONCEPT}
    # A digit of 28 x 28 pixels needs a larger share of its picture than a bird of 224 x 224.
    share = PAPER_SHARE if dims >= _LARGE else 2.4 * PAPER_SHARE
    drawn["eps_l2"] = float(f"{share * dims**0.5:.2g}") if dims else 1.0
    return start, {**drawn, "class_index": 0}


def check_all(
    values: Mapping[str, Any], parameters: Sequence[Parameter] = PARAMETERS
) -> tuple[dict[str, Any], dict[str, str]]:
    """Each value in its own type, and what is wrong with which field."""
    good: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    checked = list(parameters)
    if parameters is PARAMETERS and values.get("method", USUAL["method"]) in METHODS:
        checked += options_of(values.get("method", USUAL["method"]))
    for parameter in checked:
        try:
            good[parameter.name] = parameter.check(
                values.get(parameter.name, parameter.default), "a perturbation"
            )
        except InputError as error:
            wrong[parameter.name] = str(error)
    return good, wrong


def read_target(target: object, label: int, n_classes: int) -> tuple[int | str, str]:
    """The target as ``perturb`` takes it, and what is wrong with it (empty if nothing).

    Args:
        target: ``"prediction"``, ``"label"`` or a class index, also as text.
        label: True class of the picture, -1 if unknown.
        n_classes: Classes; 0 if unknown.
    """
    if target == "prediction":
        return "prediction", ""
    if target == "label":
        return (label, "") if label >= 0 else (-1, "This picture has no label: choose a class.")
    text = str(target)
    if text.isdigit() and (n_classes == 0 or int(text) < n_classes):
        return int(text), ""
    return -1, f"Choose prediction, label or a class below {n_classes}."


def call_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked fields as arguments of ``perturb``: those that mean something there."""
    options = {name: values[name] for name in ("norm", "eps", "steps", "method", "box_mode")}
    if NORMS[values["norm"]].sparse:
        options["q"] = values["q"]
    if METHODS[values["method"]].random:
        options["seed"] = values["seed"]
    return {**options, **_unusual_options(values), "ascent": values["direction"] == "away"}


def _unusual_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the method that differ from their defaults."""
    defaults = {p.name: p.default for p in options_of(values["method"])}
    return {n: values[n] for n, d in defaults.items() if n in values and values[n] != d}


def more_words(values: Mapping[str, Any]) -> list[str]:
    """Say in a list of runs what is unusual about one, beside its target and its radius."""
    method = values.get("method", USUAL["method"])
    more = [method] if method != USUAL["method"] else []
    for name, value in _unusual_options({**values, "method": method}).items():
        label = _LABELS.get(name, name.replace("_", " "))
        more.append(
            label if value is True else f"{label} {value:,}" if isinstance(value, int) else f"{label} {value}"
        )
    words = BOX_MODES[values.get("box_mode", USUAL["box_mode"])].words
    return [*more, words] if words else more


def norm_facts() -> dict[str, dict[str, Any]]:
    """Return the page's facts about each norm, see :class:`~sparse_debug_widgets.perturbation.norms.Norm`."""
    return {
        name: {"sparse": norm.sparse, "words": norm.words, "power": 1 / norm.order}
        for name, norm in NORMS.items()
    }
