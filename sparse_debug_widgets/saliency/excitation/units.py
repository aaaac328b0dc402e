"""The starts of excitation backprop: units, channels, positions, linear combinations of units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_finite, check_int, reject

WHAT = "excitation backprop"
Unit: TypeAlias = int | tuple[int, ...]
Units: TypeAlias = int | Iterable[Unit]


@dataclass(frozen=True)
class Start:
    """One thing that mass starts from, for each example.

    Attributes:
        mass: (R, ...) mass of each unit, in all 1 (0 where the unit is dead); signed for the difference of a
            combination and its negative.
        activation: (R,) its value; of a channel the mean over positions.
        negated: The negative of the last layer's weights is still to be subtracted (contrastive maps).
    """

    mass: Tensor
    activation: Tensor
    negated: bool


def read_units(units: object) -> tuple[Unit, ...] | None:
    """Numbers of units, as a tuple; None stays None.

    Raises:
        InputError: Not whole numbers, negative, or none at all.
    """
    if units is None:
        return None
    must = "be a unit's number, or several in a list; a position in a map is a tuple (channel, row, column)"
    given = list(units) if isinstance(units, Iterable) and not isinstance(units, str | bytes) else [units]
    if not given:
        reject("units", WHAT, must, "none")
    return tuple(_unit(unit) for unit in given)


def _unit(unit: object) -> Unit:
    if isinstance(unit, tuple | list):
        return tuple(check_int(part, "units", WHAT, low=0) for part in unit)
    return check_int(unit, "units", WHAT, low=0)


def read_weights(weights: object) -> npt.NDArray[Any] | None:
    """Weights (k, units, ...) of linear combinations; None stays None.

    Raises:
        InputError: Not such an array, not finite, or a combination of nothing.
    """
    if weights is None:
        return None
    array = weights.detach().cpu().numpy() if isinstance(weights, Tensor) else np.asarray(weights)
    must = "be numbers (combinations, units), not all 0 in a combination"
    if array.dtype.kind not in "iuf" or array.ndim < 2 or array.size == 0:
        reject("weights", WHAT, must, f"{array.dtype} of shape {array.shape}")
    array = array.astype(np.float64)
    check_finite(array, "weights", WHAT)
    dead = ~array.reshape(len(array), -1).any(axis=1)
    if dead.any():
        reject("weights", WHAT, must, f"only zeros in combination {int(dead.argmax())}")
    return array


def starts_at_units(active: Tensor, units: Sequence[Unit], *, contrastive: bool) -> list[Start]:
    """A start for each unit of activations (R, units, ...)."""
    return [_start_at(active, unit, contrastive=contrastive) for unit in units]


def starts_at_classes(logits: Tensor, classes: Tensor, *, contrastive: bool) -> list[Start]:
    """One start: the class (R,) of each example."""
    mass = torch.zeros_like(logits).scatter_(1, classes[:, None], 1.0)
    return [Start(mass, logits.detach().gather(1, classes[:, None])[:, 0], contrastive)]


def starts_at_combinations(active: Tensor, weights: npt.NDArray[Any], *, contrastive: bool) -> list[Start]:
    """A start for each linear combination of units: a read-out by weights of its own."""
    values = active.detach().to(torch.promote_types(active.dtype, torch.float32))
    shape = tuple(values.shape[1:])
    if weights.shape[1:] not in (shape, shape[:1]):
        must = f"have the shape (combinations, {', '.join(map(str, shape))}) or (combinations, {shape[0]})"
        reject("weights", "the units that they combine", must, str(weights.shape))
    found = []
    for row in weights:
        weight = torch.from_numpy(row).to(values)
        contributions = values * weight.reshape(*weight.shape, *[1] * (len(shape) - weight.ndim))
        mass = _shares(contributions)
        if contrastive:
            mass = mass - _shares(-contributions)
        positions = math.prod(shape[1:]) if row.ndim < len(shape) else 1
        total = contributions.flatten(1).sum(1) / positions
        found.append(Start(mass, total, False))
    return found


def _start_at(active: Tensor, unit: Unit, *, contrastive: bool) -> Start:
    shape = tuple(active.shape[1:])
    index = unit if isinstance(unit, tuple) else (unit,)
    if len(index) not in {1, len(shape)} or any(i >= n for i, n in zip(index, shape, strict=False)):
        must = f"lie within units of shape {shape}: a number below {shape[0]}"
        must += f", or {len(shape)} numbers" if len(shape) > 1 else ""
        reject("units", WHAT, must, repr(unit))
    mass = torch.zeros_like(active, dtype=torch.promote_types(active.dtype, torch.float32))
    place: tuple[Any, ...] = (slice(None), *index)
    values = active.detach()[place]
    if len(index) == len(shape):
        mass[place] = 1
        return Start(mass, values, contrastive)
    mass[place] = _shares(values.to(mass.dtype))
    return Start(mass, values.flatten(1).mean(1), contrastive)


def _shares(values: Tensor) -> Tensor:
    """Return the positive part, with a sum of 1 in each row (0 where nothing is positive)."""
    positive = values.clamp_min(0)
    total = positive.flatten(1).sum(1).view(-1, *[1] * (values.ndim - 1))
    return torch.where(total > 0, positive / total.masked_fill(total <= 0, 1), 0)
