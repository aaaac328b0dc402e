"""The settings of the Fit panel: one signature gives its fields, its checks and its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.params import Parameter, check_parameters, read_parameters
from sparse_debug_widgets.sparse.path.path import elastic_net_path
from sparse_debug_widgets.sparse.problem.families import FAMILIES, allowed_families
from sparse_debug_widgets.widgets.kit import fields as controls

if TYPE_CHECKING:
    from sparse_debug_widgets.sparse import DeepFeatures

_FIELDS = {
    "device": ("device", "Where the fit runs."),
    "family": ("family", "What the labels are: classes, two classes, or numbers."),
    "alpha": ("alpha", "Mix of the penalty: 1 is the lasso, 0 is ridge."),
    "n_lambdas": ("lambdas", "How many strengths the path has."),
    "eps": ("smallest lambda", "Smallest strength as a share of the largest."),
    "solver": ("solver", "working_set is fast; saga is the method of the paper."),
    "tol": (
        "tolerance",
        "Relative duality gap to reach at every strength; auto is 1e-5 for small problems, else 1e-3.",
    ),
    "validation": ("held-out share", "Share of the training data held out to choose the strength by."),
    "seed": ("seed", "Seed of the split, of the rows' order and of the minibatches."),
}
"""Setting of a path -> what a person calls it, and a sentence; what it may be stands in its signature."""
_KNOWN = {parameter.name: parameter for parameter in read_parameters(elastic_net_path)}
DEFAULT = {name: parameter.default for name, parameter in _KNOWN.items()}
PARAMETERS: tuple[Parameter, ...] = tuple(
    # The names of devices are those of this machine, known to the panel only.
    Parameter(name, "str", "cpu", help=text) if name == "device" else replace(_KNOWN[name], help=text)
    for name, (_, text) in _FIELDS.items()
)
FIT_ONLY = tuple(name for name in _FIELDS if name not in ("device", "validation"))


def fields(
    devices: Sequence[str], families: Sequence[str], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The form as the page makes it.

    Args:
        devices: Devices of this machine.
        families: Families that the labels allow; the others are shown, and refused with a reason.
        values: Value of each field.
    """
    shown = []
    for parameter in PARAMETERS:
        entry = controls.field(parameter, values[parameter.name], label=_FIELDS[parameter.name][0])
        if parameter.name == "device":
            entry |= {"kind": "choice", "choices": list(devices)}
        if parameter.name == "family":
            entry["barred"] = [family for family in parameter.choices if family not in families]
        shown.append(entry)
    return shown


def defaults(given: Mapping[str, Any], families: Sequence[str], share: float | None) -> dict[str, Any]:
    """Values to begin with.

    Args:
        given: What the caller of the panel chose.
        families: Families that the labels allow, the natural one first.
        share: Share that is held out already; None if nothing is known.

    Raises:
        InputError: A name or a value that no field takes.
    """
    start: dict[str, Any] = {"family": families[0]}
    if share is not None:
        start["validation"] = round(share, 6)
    return check_parameters(PARAMETERS, {**start, **given}, "the Fit panel")


def check_all(
    values: Mapping[str, Any], devices: Sequence[str], families: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Each value in its own type, and what is wrong with which field."""
    good, wrong = {}, {}
    for parameter in PARAMETERS:
        name = parameter.name
        try:
            good[name] = parameter.check(values.get(name, parameter.default), "a fit")
        except InputError as error:
            wrong[name] = str(error)
    if good.get("device", "cpu") not in devices:
        wrong["device"] = f"This machine has {', '.join(devices)}."
    if "family" in good and good["family"] not in families:
        wrong["family"] = barred_reason(good["family"], families)
    return good, wrong


def barred_reason(family: str, families: Sequence[str]) -> str:
    """Say why the labels do not allow a family."""
    kind = "are numbers" if all(FAMILIES[name].numbers for name in families) else "are more than two classes"
    return f"The labels {kind}: choose {' or '.join(families)} in place of {family}."


def families_of(features: DeepFeatures | None) -> tuple[str, ...]:
    """Families that the labels allow, the natural one first; all while the labels are not known."""
    if features is None:
        return tuple(FAMILIES)
    return allowed_families(None if features.labels.dtype.kind == "f" else features.n_classes)


def families_seen(labels: npt.NDArray[Any] | None) -> tuple[str, ...]:
    """Families that some of the labels, or all, do not rule out; all where none are known."""
    if labels is None or labels.size == 0 or labels.ndim != 1:
        return tuple(FAMILIES)
    # One class so far may have company in what has not been seen.
    return allowed_families(None if labels.dtype.kind == "f" else max(2, len(np.unique(labels))))


def same_share(values: Mapping[str, Any], share: float | None) -> bool:
    """Does a fit keep the split that the features have?"""
    return share is not None and abs(values["validation"] - share) < 1e-6
