"""The display of saliency maps: the rules of SmoothGrad and of the CASO paper (appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_real
from sparse_debug_widgets.core.pixels import Box, unit_pixels

if TYPE_CHECKING:
    import plotly.graph_objects as go

Array = npt.NDArray[Any]


def display_maps(values: Array, layout: str, *, percentile: float = 99.0) -> Array:
    """Absolute value, sum over channels (or embedding dimensions), cap, scale to [0, 1].

    Where more than ``percentile`` % of a map is 0 the cap would be 0; its largest value is the cap then. A
    map of zeros stays 0.

    Args:
        values: (B, channels, H, W), (B, tokens, dimensions) or (B, ...), signed.
        layout: ``"image"``, ``"tokens"`` or ``"features"``.
        percentile: In (0, 100].

    Returns:
        (B, H, W), (B, tokens) or (B, ...) float32.

    >>> display_maps(np.array([[[[0.0, -1.0]], [[0.0, 1.0]]]]), "image")
    array([[[0., 1.]]], dtype=float32)
    """
    check_real(percentile, "percentile", "a saliency display", low=0, high=100, open_low=True)
    size = np.abs(values)
    if layout in {"image", "tokens"}:
        size = size.sum(axis=1 if layout == "image" else 2)
    flat = size.reshape(len(size), -1)
    cap = np.percentile(flat, percentile, axis=1)
    cap = np.where(cap > 0, cap, flat.max(axis=1))
    cap = np.where(cap > 0, cap, 1.0).reshape(-1, *[1] * (size.ndim - 1))
    return np.asarray(np.clip(size / cap, 0, 1), np.float32)


def displayable(images: Array, box: Box | None = None) -> Array:
    """Images (B, channels, H, W) with values in [0, 1].

    Args:
        images: Inputs of a model.
        box: Range of their pixels; None: as they are if they fit, else each one stretched.
    """
    if box is not None:
        return unit_pixels(images, box)
    if images.min() >= 0 and images.max() <= 1:
        return images
    flat = images.reshape(len(images), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    span = np.where(high > low, high - low, 1.0)
    shape = (-1, *[1] * (images.ndim - 1))
    return np.asarray((images - low.reshape(shape)) / span.reshape(shape))


def figure_of_maps(
    maps: Array, inputs: Array, layout: str, captions: Sequence[str], title: str, box: Box | None = None
) -> go.Figure:
    """Images beside their maps; other inputs as rows of one matrix.

    Args:
        maps: (n, H, W), (n, tokens) or (n, ...) in [0, 1].
        inputs: What they belong to.
        layout: ``"image"``, ``"tokens"`` or ``"features"``.
        captions: n texts.
        title: Above the figure.
        box: Range of the pixels, see :func:`displayable`.
    """
    if layout != "image":
        rows = [f"{k}: {caption}" for k, caption in enumerate(captions)]
        return figures.heatmap(maps.reshape(len(maps), -1), rows=rows, title=title)
    pictures: list[Array] = []
    texts: list[str] = []
    shown = displayable(inputs, box)
    for image, heat, caption in zip(shown, maps, captions, strict=True):
        if len(image) in {1, 3}:
            pictures.append(image)
            texts.append("input")
        pictures.append(heat)
        texts.append(caption)
    return figures.images(pictures, texts, title=title)
