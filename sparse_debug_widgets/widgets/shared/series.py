"""Series and rows of numbers as small pictures of their curves, where a panel shows pictures of examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SIZE = (64, 96)
"""Height and width of a picture."""
_MOST_CURVES = 8


def drawn(examples: Array, size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    """Pictures (k, 1, H, W) of curves, all on the same scale: light lines on a dark ground.

    Args:
        examples: (k, ...) numbers; the longest axis is drawn from left to right, with a curve for each entry
            of the others, at most eight.
        size: (H, W).
    """
    height, width = size
    flat = np.nan_to_num(np.asarray(examples, np.float64))
    if flat.ndim == 1:
        flat = flat[:, None]
    along = 1 + int(np.argmax(flat.shape[1:]))
    curves = np.moveaxis(flat, along, -1).reshape(len(flat), -1, flat.shape[along])[:, :_MOST_CURVES]
    low, high = (float(curves.min()), float(curves.max())) if curves.size else (0.0, 0.0)
    picture = np.full((len(flat), 1, height, width), 24, np.uint8)
    if not curves.size:
        return picture
    # The value at each column of pixels, then all pixels between it and the one before.
    place = np.linspace(0, curves.shape[2] - 1, width)
    left = np.floor(place).astype(int)
    right, part = np.minimum(left + 1, curves.shape[2] - 1), place - left
    values = (1 - part) * curves[..., left] + part * curves[..., right]
    rows = np.rint((high - values) / ((high - low) or 1.0) * (height - 1)).astype(int)
    before = np.concatenate([rows[..., :1], rows[..., :-1]], axis=-1)
    first, last = np.minimum(rows, before), np.maximum(rows, before)
    for curve in range(curves.shape[1]):
        down = np.arange(height)[None, :, None]
        inked = (down >= first[:, curve, None]) & (down <= last[:, curve, None])
        picture[:, 0][inked] = 255 - 20 * curve
    return picture
