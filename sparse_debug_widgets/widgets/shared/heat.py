"""Heat maps in few bytes; ``shared/heat.js`` reads them.

A map is sent as one number per pixel and rule: the absolute values summed over channels, and the signed ones.
Numbers are rounded on a square-root scale of the map's largest value, so that what is far below it keeps its
shades, whatever percentile the map is capped at later. Maps of a sweep change little from one lambda to the
next: their differences are sent, in two planes of bytes, deflated.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.widgets.kit import wire

Array = npt.NDArray[Any]

FINE = 2047
COARSE = 127
_MOST_CHANNELS = 8


class Sheet(NamedTuple):
    """A trait: JSON and arrays."""

    value: dict[str, Any]
    arrays: dict[str, wire.Array]

    def trait(self) -> dict[str, Any]:
        """As ipywidgets sends it."""
        return {"value": self.value, "arrays": wire.in_trait(self.arrays)} if self.value else {}


class Packed(NamedTuple):
    """Maps on the wire.

    Attributes:
        units: Largest absolute value of each map, which ``levels`` steps stand for; 0 for a map of zeros.
        levels: Steps on the square-root scale.
        data: Deflated bytes.
    """

    units: list[float]
    levels: int
    data: npt.NDArray[np.uint8]


def planes(values: Array, layout: str) -> Array:
    """One or two numbers per place: sum of the absolute values over channels, and signed sum.

    Args:
        values: (B, ...) as in :class:`Attribution`.
        layout: ``"image"``, ``"tokens"`` or ``"features"``.

    Returns:
        (B, P, n) float32; P is 1, the signed values themselves, where there is one channel only.
    """
    axis = {"image": 1, "tokens": 2}.get(layout)
    if axis is None or values.shape[axis] == 1:
        return np.asarray(values, np.float32).reshape(len(values), 1, -1)
    parts = [np.abs(values).sum(axis=axis), values.sum(axis=axis)]
    return np.stack([np.asarray(part, np.float32).reshape(len(values), -1) for part in parts], axis=1)


def pack(maps: Array, levels: int = FINE) -> Packed:
    """Round and deflate.

    Args:
        maps: (K, P, n), in the order of a sweep; K is 1 for a single map.
        levels: Steps on the square-root scale of each map, at most 2047.
    """
    units = np.abs(maps).max(axis=2, initial=0.0)
    share = np.abs(maps) / np.where(units > 0, units, 1)[:, :, None]
    steps = np.rint(np.sign(maps) * levels * np.sqrt(share)).astype(np.int32)
    change = np.diff(steps, axis=0, prepend=0)
    zigzag = ((change << 1) ^ (change >> 31)).astype(np.uint16)
    raw = np.stack([(zigzag & 255).astype(np.uint8), (zigzag >> 8).astype(np.uint8)])
    deflated = np.frombuffer(zlib.compress(raw.tobytes(), 6), np.uint8)
    return Packed(units.ravel().astype(float).tolist(), levels, deflated)


def unpack(packed: Packed, shape: tuple[int, int, int]) -> Array:
    """The maps (K, P, n) as the page has them; the mirror of what the page does."""
    raw = np.frombuffer(zlib.decompress(packed.data.tobytes()), np.uint8).astype(np.int32).reshape(2, *shape)
    zigzag = raw[0] | (raw[1] << 8)
    steps = np.cumsum((zigzag >> 1) ^ -(zigzag & 1), axis=0)
    units = np.asarray(packed.units).reshape(*shape[:2], 1)
    return np.asarray(np.sign(steps) * (steps / packed.levels) ** 2 * units, np.float32)


def shrunk(values: Array, k: int) -> Array:
    """Values (..., height, width) with blocks of k by k averaged; what is left at two edges is dropped."""
    if k == 1:
        return values
    h, w = (side // k for side in values.shape[-2:])
    blocks = values[..., : h * k, : w * k].reshape(*values.shape[:-2], h, k, w, k)
    return np.asarray(blocks.mean(axis=(-3, -1)))


def pixels(picture: Array) -> npt.NDArray[np.uint8]:
    """A picture (C, H, W) in 256 steps; past eight channels their mean."""
    shown = picture if len(picture) <= _MOST_CHANNELS else picture.mean(axis=0, keepdims=True)
    low, high = float(shown.min()), float(shown.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.asarray(np.rint((shown - low) / ((high - low) or 1.0) * 255), np.uint8)
