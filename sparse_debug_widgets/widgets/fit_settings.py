"""The settings of the Fit panel: one signature gives its fields, its checks and its code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.params import Among, Parameter, Range, check_parameters, read_parameters
from sparse_debug_widgets.sparse.families import FAMILIES, allowed_families
from sparse_debug_widgets.sparse.path import elastic_net_path
from sparse_debug_widgets.widgets import controls

if TYPE_CHECKING:
    from sparse_debug_widgets.sparse import DeepFeatures

DEFAULT = {name: p.default for name, p in inspect.signature(elastic_net_path).parameters.items()}
_LABELS = {
    "device": "device",
    "family": "family",
    "alpha": "alpha",
    "n_lambdas": "lambdas",
    "eps": "smallest lambda",
    "solver": "solver",
    "tol": "tolerance",
    "validation": "held-out share",
    "seed": "seed",
}


def fit_settings(  # noqa: PLR0913 - read as a table of fields, never called
    *,
    device: str = "cpu",
    family: Annotated[str, Among(FAMILIES)] = DEFAULT["family"],
    alpha: Annotated[float, Range(0, 1)] = DEFAULT["alpha"],
    n_lambdas: Annotated[int, Range(1, 1000)] = DEFAULT["n_lambdas"],
    eps: Annotated[float, Range(0, 1, open_low=True, open_high=True, log=True)] = DEFAULT["eps"],
    solver: Literal["working_set", "saga"] = DEFAULT["solver"],
    tol: Annotated[float | Literal["auto"], Range(0, 1, open_low=True, open_high=True, log=True)] = DEFAULT[
        "tol"
    ],
    validation: Annotated[float, Range(0, 0.9)] = DEFAULT["validation"],
    seed: Annotated[int, Range(0, 2**31 - 1)] = DEFAULT["seed"],
) -> None:
    """The fields of the Fit panel.

    Args:
        device: Where the fit runs.
        family: What the labels are: classes, two classes, or numbers.
        alpha: Mix of the penalty: 1 is the lasso, 0 is ridge.
        n_lambdas: How many strengths the path has.
        eps: Smallest strength as a share of the largest.
        solver: working_set is fast; saga is the method of the paper.
        tol: Relative duality gap to reach at every strength; auto is as tight as is nearly free.
        validation: Share of the training data held out to choose the strength by.
        seed: Seed of the split, of the rows' order and of the minibatches.
    """


PARAMETERS: tuple[Parameter, ...] = read_parameters(fit_settings)
FIT_ONLY = ("family", "alpha", "n_lambdas", "eps", "solver", "tol", "seed")


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
        entry = controls.field(parameter, values[parameter.name], label=_LABELS[parameter.name])
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
