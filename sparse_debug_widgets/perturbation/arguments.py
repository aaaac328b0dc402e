"""Checks of what a user passes: inputs and their range, targets, radii."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_real, reject
from sparse_debug_widgets.core.pixels import Bound, Box, check_box, layout_hint

PerExample: TypeAlias = float | Sequence[float] | np.ndarray | Tensor
WHAT = "a perturbation"


class Headroom(NamedTuple):
    """The headroom of each coordinate of the inputs within the pixel range.

    Attributes:
        low: (B, d), not positive: input + low is still in the range, exactly, in floating point.
        high: (B, d), not negative, likewise.
    """

    low: Tensor
    high: Tensor

    def within(self, most: Tensor) -> Headroom:
        """The room cut to at most ``most`` (B, 1) in each direction."""
        return Headroom(self.low.maximum(-most), self.high.minimum(most))

    def toward(self, direction: Tensor) -> Tensor:
        """(B, d) how far it is, not negative, in the direction of each entry."""
        return torch.where(direction > 0, self.high, -self.low)

    def clamp(self, delta: Tensor) -> Tensor:
        """A perturbation (..., B, d) cut to the room."""
        return torch.clamp(delta, self.low, self.high)


def check_inputs(x: object) -> Tensor:
    """A batch of inputs as a detached floating tensor.

    Raises:
        InputError: Not an array, no batch, an empty batch, integer pixels, NaN.
    """
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(np.array(x))
    if not isinstance(x, Tensor):
        advice = "Words cannot be changed a little: use attribute or lime_text to see which of them matter."
        reject("inputs", WHAT, "be a tensor or an array (batch, ...)", type(x).__name__, advice)
    if x.ndim < 2 or x.numel() == 0:
        must = "be a batch (batch, ...) of at least one example"
        advice = "One example becomes a batch by x[None]."
        reject("inputs", WHAT, must, f"shape {tuple(x.shape)}", advice)
    if not x.is_floating_point():
        advice = "Divide integer pixels by 255 first."
        reject("inputs", WHAT, "be floating point", f"dtype {x.dtype}", advice)
    inputs = x.detach()
    # A tensor made in inference mode could not be used in a graph.
    inputs = inputs.clone() if inputs.is_inference() else inputs
    if not bool(torch.isfinite(inputs).all()):
        reject("inputs", WHAT, "have finite entries only", "NaN or infinity")
    return inputs


def check_room(inputs: Tensor, box: Box | None) -> Headroom | None:
    """Room of every coordinate within the box.

    Args:
        inputs: (B, ...).
        box: Lower and upper end of the pixel range: numbers, or tensors that broadcast against ``inputs``
            (per channel: shape (channels, 1, 1)); None: no range.

    Returns:
        Room, or None without a box.

    Raises:
        InputError: No such box, or inputs outside it.
    """
    ends = check_box(box)
    if ends is None:
        return None
    low, high = (_bound(end, inputs) for end in ends)
    if not bool((low < high).all()):
        reject("box", WHAT, "have its lower end below its upper end", box)
    if not bool(((inputs >= low) & (inputs <= high)).all()):
        got = f"pixels from {float(inputs.min()):.4g} to {float(inputs.max()):.4g}"
        shown = ", ".join(f"{float(end.min()):g}" for end in (low, high))
        advice = (
            "If the inputs are normalised, say how: normalize=(mean, std), or the transform or weights that "
            "did it. Else pass the range that your model's inputs have, box=(low, high); or box=None."
        )
        reject("inputs", f"the pixel range ({shown})", "lie within it", got, advice)
    return Headroom(_toward_zero(inputs, low, -1), _toward_zero(inputs, high, 1))


def _bound(end: Bound, inputs: Tensor) -> Tensor:
    if isinstance(end, Tensor | np.ndarray):
        bound = torch.as_tensor(end, dtype=inputs.dtype, device=inputs.device)
    else:
        bound = torch.tensor(check_real(end, "an end of box", WHAT), dtype=inputs.dtype, device=inputs.device)
    try:
        return bound.expand_as(inputs)
    except RuntimeError:
        must = f"broadcast against inputs of shape {tuple(inputs.shape)}"
        return reject("an end of box", WHAT, must, f"shape {tuple(bound.shape)}", layout_hint(inputs.shape))


def _toward_zero(inputs: Tensor, end: Tensor, side: int) -> Tensor:
    """Room (B, d) to an end such that inputs + room does not pass it by a rounding error."""
    room = end - inputs
    for _ in range(2):
        passed = (inputs + room - end) * side > 0
        room = torch.where(passed, torch.nextafter(room, torch.zeros_like(room)), room)
    return room.reshape(len(inputs), -1)


def check_per_example(
    value: PerExample, what: str, batch: int, *, high: float = math.inf, zero: bool = False
) -> tuple[float, ...]:
    """One number for each example, as Python floats.

    Args:
        value: A number for all, or one for each example.
        what: Name of the parameter.
        batch: B.
        high: Largest value allowed.
        zero: Whether 0 is allowed.

    Raises:
        InputError: Not (a sequence of B) finite numbers in (0, high].
    """
    values = np.asarray(_host(value))
    if values.ndim == 0:
        return (check_real(values.item(), what, WHAT, low=0, high=high, open_low=not zero),) * batch
    if values.shape != (batch,) or values.dtype.kind not in "fiu":
        must = f"be one number, or one for each of the {batch} examples"
        reject(what, WHAT, must, f"shape {values.shape}, dtype {values.dtype}")
    return tuple(check_real(float(v), what, WHAT, low=0, high=high, open_low=not zero) for v in values)


def _host(value: object) -> object:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
