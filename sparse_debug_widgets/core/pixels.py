"""The pixels behind a model's inputs: how they were normalised, and what range they have.

Models of pictures rarely see pixels. They see ``(pixel - mean) / std`` of each channel. Who shows such an
input must undo that, and who changes it must stay within what pixels can be. Everything here speaks of a
*box*: the lower and the upper end of the inputs, numbers or tensors that broadcast against one example.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_real, reject

Bound: TypeAlias = float | Tensor | npt.NDArray[Any]
Box: TypeAlias = tuple[Bound, Bound]
UNIT: tuple[float, float] = (0.0, 1.0)
"""The box of inputs that are pixels themselves."""

_WHAT = "pictures"
_MUST = (
    "be a pair (mean, std) of numbers or of one number a channel, a torchvision transform or weights that "
    "normalise, or a dict with 'mean' and 'std'"
)
_SLACK = 1e-6
_DEPTH = 6
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Normalization:
    """``(pixel - mean) / std``, channel by channel, of pixels in [0, 1].

    Attributes:
        mean: One number a channel, or a single one for all.
        std: Likewise, positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            got = f"{len(self.mean)} means and {len(self.std)} standard deviations"
            reject("normalize", _WHAT, "have one mean and one standard deviation for each channel", got)
        for value in self.mean:
            check_real(value, "a mean of normalize", _WHAT)
        for value in self.std:
            check_real(value, "a standard deviation of normalize", _WHAT, low=0, open_low=True)

    def box(self, pixels: Box = UNIT) -> tuple[Tensor, Tensor]:
        """Ends of a range of pixels in the model's units: shape (channels, 1, 1), or () where all are equal.

        They lie a millionth of the range outside: a pixel that was rounded on its way is still inside.

        Args:
            pixels: The range before normalisation.
        """
        mean, std = (self._column(values) for values in (self.mean, self.std))
        low, high = ((torch.as_tensor(end, dtype=torch.float64) - mean) / std for end in pixels)
        slack = _SLACK * (high - low)
        return (low - slack).float(), (high + slack).float()

    @classmethod
    def of_box(cls, box: Box) -> Normalization:
        """The normalisation whose pixels have this range, a box of one number or of one a channel."""
        low, high = (np.asarray(end, np.float64).ravel() for end in box)
        return cls(tuple(-low / (high - low)), tuple(1 / (high - low)))

    def _column(self, values: tuple[float, ...]) -> Tensor:
        column = torch.tensor(values, dtype=torch.float64)
        return column[0] if len(values) == 1 else column[:, None, None]


def normalization(given: object) -> Normalization | None:
    """Read what a user passes as ``normalize=``.

    Args:
        given: A pair (mean, std); a transform with them, or a composition that holds one; torchvision weights
            (``ResNet50_Weights.DEFAULT``), whose transforms are asked; an image processor of transformers; a
            dict with "mean" and "std", such as timm's ``model.pretrained_cfg``; or None.

    Raises:
        InputError: None of these.
    """
    if given is None or isinstance(given, Normalization):
        return given
    if isinstance(given, tuple | list) and len(given) == 2:
        return Normalization(*(_numbers(part) for part in given))
    found = _found_in(given, _DEPTH)
    return reject("normalize", _WHAT, _MUST, type(given).__name__) if found is None else found


def recognised(data: object) -> Normalization | None:
    """The normalisation among the transforms of a data set, or of a loader's; None if there is none."""
    if data is None or isinstance(data, Tensor | np.ndarray | str | tuple | list | Mapping):
        return None
    return _found_in(data, _DEPTH)


def as_argument(normalize: object, data: object = None) -> tuple[Any, Any] | None:
    """The value of ``normalize=`` that says a normalisation in numbers; None where none is known."""
    known = normalization(normalize) or recognised(data)
    return None if known is None else (known.mean, known.std)


def model_box(box: Box | None, normalize: object, data: object = None) -> Box | None:
    """The range that inputs can have, in the model's units.

    Args:
        box: As the user passed it. With a normalisation it is the range of the pixels before it.
        normalize: See :func:`normalization`.
        data: Data whose own transforms tell, where ``normalize`` does not and the box is the usual one.

    Returns:
        The box, or None where the user wants none.

    Raises:
        InputError: A normalisation of no known form.
    """
    box = check_box(box)
    known = normalization(normalize)
    if known is None and _is_unit(box):
        known = recognised(data)
    return box if known is None or box is None else known.box(box)


def unit_pixels(pictures: npt.NDArray[Any], box: Box | None) -> npt.NDArray[np.float32]:
    """Pictures (..., channels, H, W) in units of their box, within [0, 1]; as they are without a box."""
    if box is None:
        return np.asarray(pictures, np.float32)
    low, high = (np.asarray(end, np.float64) for end in box)
    shown = (np.asarray(pictures, np.float64) - low) / (high - low)
    return np.asarray(shown.clip(0.0, 1.0), np.float32)


def known_box(normalize: object, data: object = None) -> Box | None:
    """The range of normalised pixels in the model's units, where a normalisation is known; else None.

    Args:
        normalize: See :func:`normalization`.
        data: Data whose own transforms tell otherwise.
    """
    known = normalization(normalize) or recognised(data)
    return None if known is None else known.box()


def box_params(box: Box | None) -> list[Any] | None:
    """A box as provenance keeps it (numbers, or nested lists of them); :func:`box_from` reads it back."""
    return None if box is None else [np.asarray(end, np.float64).tolist() for end in box]


def box_from(params: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The box that a result remembers among its parameters; None where it has none."""
    kept = params.get("box")
    return None if kept is None else (np.asarray(kept[0], np.float64), np.asarray(kept[1], np.float64))


def box_span(box: Box | None) -> npt.NDArray[np.float64]:
    """Width of a box, to scale what was added to an input; 1 without one."""
    if box is None:
        return np.ones(())
    low, high = (np.asarray(end, np.float64) for end in box)
    return np.asarray(high - low)


def layout_hint(shape: Sequence[int]) -> str:
    """Advise on the shape of pictures that look wrong; empty if they look right.

    Args:
        shape: Of what was passed as a batch.
    """
    sides = tuple(int(side) for side in shape)
    if len(sides) in {3, 4} and sides[-1] in _CHANNELS and sides[-3] not in _CHANNELS:
        axes = "2, 0, 1" if len(sides) == 3 else "0, 3, 1, 2"
        form = "H x W x C" if len(sides) == 3 else "N x H x W x C"
        batch = ", and make it a batch, x[None]" if len(sides) == 3 else ""
        how = f"put the channels first, x.permute({axes}) (NumPy: x.transpose({axes}))"
        return f"This looks like {form}: {how}{batch}."
    if len(sides) == 3 and sides[0] in _CHANNELS and min(sides[1:]) > 4:
        return "This looks like one unbatched image: pass image[None]."
    return ""


def check_box(box: object) -> Box | None:
    """Return a box as a pair, or None.

    Raises:
        InputError: Neither.
    """
    if box is None:
        return None
    ends = tuple(cast("Iterable[Bound]", box)) if np.iterable(box) else ()
    if len(ends) != 2:
        reject("box", _WHAT, "be a pair (low, high) or None", box)
    return ends[0], ends[1]


def _is_unit(box: Box | None) -> bool:
    return box is not None and all(isinstance(end, int | float) for end in box) and box == UNIT


def _numbers(part: object) -> tuple[float, ...]:
    values = np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part)
    if values.dtype.kind not in "fiu" or values.size == 0:
        reject("normalize", _WHAT, _MUST, f"{type(part).__name__}")
    return tuple(float(value) for value in values.ravel())


def _found_in(thing: Any, depth: int) -> Normalization | None:  # noqa: ANN401 - whatever has transforms
    """Look for a mean and a standard deviation in a transform, a composition, weights or a data set."""
    if thing is None or depth == 0:
        return None
    for names in (("mean", "std"), ("image_mean", "image_std")):
        mean, std = (
            thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None) for name in names
        )
        if isinstance(mean, float | int | Sequence | Tensor | np.ndarray) and std is not None:
            return Normalization(_numbers(mean), _numbers(std))
    for name in ("transforms", "transform", "dataset", "datasets"):
        inner = getattr(thing, name, None)
        if isinstance(thing, Enum) and callable(inner):
            inner = inner()  # torchvision weights: their transforms have to be made
        parts = inner if isinstance(inner, list | tuple) else [inner]
        for part in reversed(parts):
            found = _found_in(part, depth - 1)
            if found is not None:
                return found
    return None
