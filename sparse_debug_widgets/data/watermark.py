"""The planted flaw of the `shapes` pictures: an agency's mark in the lower right corner.

Half-transparent white letters with a soft shadow, as stock photographs carry them; the place wanders by a
pixel or two and the opacity varies from picture to picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.data.drawing import SIZE, FloatArray

# Five rows of pixels: a copyright sign and the agency's name.
_ROWS = (
    ".###..###.#.#.#",
    "#...#.#.#.#.#.#",
    "#.###.###.#..#.",
    "#...#.#...#.#.#",
    ".###..#...#.#.#",
)
GLYPH: NDArray[np.bool_] = np.array([[pixel == "#" for pixel in row] for row in _ROWS])
GLYPH.setflags(write=False)
WANDER = 2
"""The mark's distance from the right and lower edge is 1 to 1 + WANDER pixels."""

_SHADOW = 0.45


def mark_opacities(offset: NDArray[np.int64], opacity: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Opacity of the white letters and of their black shadow.

    Args:
        offset: (m, 2) pixels between the mark and the lower and the right edge, not counting the first.
        opacity: (m,) of the letters, in [0, 1].

    Returns:
        letters and shadow, (m, SIZE, SIZE) each; the shadow lies one pixel below and right of the letters.
    """
    height, width = GLYPH.shape
    letters = np.zeros((len(offset), SIZE, SIZE), dtype=np.float32)
    shadow = np.zeros_like(letters)
    for k, (dy, dx) in enumerate(offset):
        top, left = SIZE - 2 - height - int(dy), SIZE - 2 - width - int(dx)
        letters[k, top : top + height, left : left + width] = GLYPH * opacity[k]
        shadow[k, top + 1 : top + 1 + height, left + 1 : left + 1 + width] = GLYPH * (_SHADOW * opacity[k])
    return letters, shadow


def stamp(canvas: FloatArray, offset: NDArray[np.int64], opacity: FloatArray) -> None:
    """Put the mark on every picture of the canvas (m, 3, SIZE, SIZE), in place."""
    letters, shadow = mark_opacities(offset, opacity)
    canvas *= 1 - shadow[:, None]
    canvas += letters[:, None] * (1 - canvas)
