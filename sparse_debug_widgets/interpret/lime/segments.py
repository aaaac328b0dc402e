"""Superpixels: the parts of a picture that LIME hides and shows, sensible at any size and channel count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_choice, check_int, reject

Array = npt.NDArray[Any]
Segments: TypeAlias = npt.NDArray[np.int32]
SEGMENTS = ("auto", "grid", "slic", "quickshift")
_SMALL = 96
_CELLS = 8
_WHAT = "superpixels"


def segment(picture: Array, segments: object = "auto", n_segments: int | None = None) -> Segments:
    """Divide a picture.

    ``"auto"`` is a grid below 96 pixels (there the finer methods cut small objects at random: quickshift
    overlaps with a planted mark at 64 pixels by 16 %, a grid by 100 %) and SLIC above.

    Args:
        picture: (channels, H, W).
        segments: ``"auto"``, ``"grid"``, ``"slic"``, ``"quickshift"``, a function from (H, W, channels)
            float64 to (H, W) numbers as ``lime`` takes one, or (H, W) numbers.
        n_segments: How many are wanted, about; None: 64 for a grid, 64 for SLIC. Quickshift decides itself.

    Returns:
        (H, W) numbers 0 ... d - 1.

    Raises:
        InputError: Unknown name, or numbers of another shape.
    """
    height, width = picture.shape[1:]
    if isinstance(segments, str):
        check_choice(segments, SEGMENTS, "segments", _WHAT)
        chosen = segments
        if chosen == "auto":
            chosen = "grid" if min(height, width) < _SMALL else "slic"
        found = _METHODS[chosen](picture, n_segments)
    elif callable(segments):
        found = np.asarray(segments(picture.transpose(1, 2, 0).astype(np.float64)))
    else:
        found = np.asarray(segments)
    if found.shape != (height, width) or found.dtype.kind not in "biu":
        must = f"be whole numbers of shape {(height, width)}"
        reject("segments", _WHAT, must, f"{found.dtype} of shape {found.shape}")
    return np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int32)


def _grid(picture: Array, n_segments: int | None) -> Array:
    """Cells as square as they can be; 8 along the shorter side, or the next lower divisor down to 6."""
    height, width = picture.shape[1:]
    if n_segments is None:
        along = _along(min(height, width))
        rows = max(1, round(along * height / min(height, width)))
        columns = max(1, round(along * width / min(height, width)))
    else:
        wanted = check_int(n_segments, "n_segments", _WHAT)
        rows = max(1, round((wanted * height / width) ** 0.5))
        columns = max(1, round(wanted / rows))
    rows, columns = min(rows, height), min(columns, width)
    down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
    return np.asarray(down[:, None] * columns + across)


def _along(side: int) -> int:
    return next((n for n in (8, 7, 6) if side % n == 0), min(_CELLS, side))


def _slic(picture: Array, n_segments: int | None) -> Array:
    from skimage.segmentation import slic

    wanted = _CELLS * _CELLS if n_segments is None else check_int(n_segments, "n_segments", _WHAT)
    image = picture.transpose(1, 2, 0).astype(np.float64)
    return np.asarray(
        slic(image, n_segments=wanted, compactness=10, convert2lab=_colour(image), start_label=0)
    )


def _quickshift(picture: Array, _: int | None) -> Array:
    """With ``lime``'s settings."""
    from skimage import segmentation

    image = picture.transpose(1, 2, 0).astype(np.float64)
    shift: Any = segmentation.quickshift
    return np.asarray(shift(image, kernel_size=4, max_dist=200, ratio=0.2, convert2lab=_colour(image), rng=0))


def _colour(image: Array) -> bool:
    # Lab is defined for colours in [0, 1] only.
    return image.shape[2] == 3 and bool(image.min() >= 0 and image.max() <= 1)


_METHODS: dict[str, Callable[[Array, int | None], Array]] = {
    "grid": _grid,
    "slic": _slic,
    "quickshift": _quickshift,
}


def hidden(picture: Array, segments: Segments, hide: str | float = "mean") -> npt.NDArray[np.float32]:
    """Fill hidden parts: each segment's mean colour as in ``lime``, or one value everywhere.

    Args:
        picture: (channels, H, W).
        segments: (H, W).
        hide: ``"mean"`` or a number (the paper's code takes 0).

    Returns:
        (channels, H, W) float32.

    Raises:
        InputError: Another word, or not a finite number.
    """
    if isinstance(hide, str):
        check_choice(hide, ("mean",), "hide", "hidden superpixels")
        flat = segments.ravel()
        sizes = np.bincount(flat)
        means = [np.bincount(flat, weights=channel.ravel()) / sizes for channel in picture]
        return np.stack([mean[segments] for mean in means]).astype(np.float32)
    if not np.isfinite(hide):
        reject("hide", "hidden superpixels", "be 'mean' or a finite number", hide)
    return np.full(picture.shape, hide, np.float32)
