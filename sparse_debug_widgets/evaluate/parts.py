"""Parts of an object, pixel by pixel: from part points (Voronoi) or from masks, with a context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject

Array = npt.NDArray[Any]
Weights = npt.NDArray[np.float64]
_WHAT = "locality"


class PartWeights(NamedTuple):
    """P(part | pixel) of all images.

    Attributes:
        n_parts: P, without the context.
        each: (P + 1, H, W) of each image; None where it shows no part.
    """

    n_parts: int
    each: Iterator[Weights | None]


def voronoi_weights(points: Array, box: tuple[float, float, float, float], size: tuple[int, int]) -> Weights:
    """P(part | pixel) of one image (thesis, Algorithm 3 of appendix A).

    Within the box each pixel belongs to the nearest visible part, with the weight 1 - d / max d over the
    part's cell, so that large cells do not win by their size. Outside it belongs to the context.

    Args:
        points: (P, 2) row and column of each part; NaN where it is not visible.
        box: (top, left, bottom, right) of the object, the lower ends included, the upper ends not.
        size: Height and width of the image.

    Returns:
        (P + 1, H, W), the last one the context.

    >>> weights = voronoi_weights(np.array([[0.0, 0.0], [0.0, 3.0]]), (0, 0, 1, 4), (1, 5))
    >>> weights[:, 0].tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    top, left, bottom, right = box
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    weights = np.zeros((len(points) + 1, *size))
    weights[-1] = ~inside
    visible = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(visible):
        return weights
    distances = np.stack([np.hypot(rows - i, columns - j) for i, j in points[visible]])
    nearest = distances.argmin(axis=0)
    for k, part in enumerate(visible):
        cell = inside & (nearest == k)
        if cell.any():
            farthest = distances[k][cell].max()
            weights[part][cell] = 1 - distances[k][cell] / farthest if farthest > 0 else 1
    return weights


def weights_from_points(
    points: object, boxes: object, shape: tuple[int, int, int], notes: list[str]
) -> PartWeights:
    """P(part | pixel) of each image; None where no part is visible.

    Args:
        points: (M, P, 2) row and column of each part, NaN where it is not visible.
        boxes: (M, 4) top, left, bottom, right of each object; None: the whole image.
        shape: (M, H, W) of the maps.
        notes: What was left out is appended.

    Raises:
        InputError: Another shape; not as many as maps; no visible part at all.
    """
    given = np.asarray(points)
    n_images, height, width = shape
    if given.dtype.kind not in "iuf" or given.ndim != 3 or given.shape[2] != 2 or given.shape[1] == 0:
        must = "be (images, parts, 2): row and column of each part, NaN where it is not visible"
        reject("points", _WHAT, must, f"{given.dtype} of shape {given.shape}")
    if len(given) != n_images:
        reject("points", "the maps", f"be of {n_images} images", f"{len(given)}")
    places = given.astype(np.float64)
    edges = _boxes(boxes, shape)
    known = np.asarray(np.isfinite(places).all(axis=2))
    with np.errstate(invalid="ignore"):
        in_image = np.asarray(((places > -0.5) & (places < np.array([height, width]) - 0.5)).all(axis=2))
    outside = int((known & ~in_image).sum())
    if outside:
        notes.append(f"{outside} parts lie outside their image and count as not visible")
    visible = known & in_image
    if not visible.any():
        reject("points", _WHAT, "show at least one part inside an image", "no visible part at all")
    places = np.where(visible[..., None], places, np.nan)
    missing = int((~visible.any(axis=1)).sum())
    if missing:
        notes.append(f"{missing} of {n_images} images have no visible part and are left out")
    each = (
        voronoi_weights(places[m], edges[m], (height, width)) if visible[m].any() else None
        for m in range(n_images)
    )
    return PartWeights(places.shape[1], each)


def weights_from_masks(masks: object, shape: tuple[int, int, int], notes: list[str]) -> PartWeights:
    """P(part | pixel) of each image: its masks, and the context where there is none.

    Where masks overlap, a pixel is shared equally.

    Args:
        masks: (M, P, H, W) boolean, or 0 and 1.
        shape: (M, H, W) of the maps.
        notes: What was left out is appended.

    Raises:
        InputError: Another shape or size; not 0 and 1; all of them empty.
    """
    given = np.asarray(masks)
    if given.dtype.kind not in "biuf" or given.ndim != 4 or given.shape[1] == 0:
        must = "be (images, parts, height, width)"
        reject("masks", _WHAT, must, f"{given.dtype} of shape {given.shape}")
    if (len(given), *given.shape[2:]) != shape:
        got = f"{len(given)} of {given.shape[2]} x {given.shape[3]}"
        must = f"be of {shape[0]} images of {shape[1]} x {shape[2]} pixels"
        reject("masks", "the maps", must, got, "Resize the masks (nearest pixel) or the maps first.")
    if not ((given == 0) | (given == 1)).all():
        reject("masks", _WHAT, "hold 0 and 1 only", "other numbers", "Compare part numbers with each part.")
    filled = np.asarray(given.any(axis=(1, 2, 3)))
    if not filled.any():
        reject("masks", _WHAT, "mark at least one pixel", "empty masks only")
    if not filled.all():
        notes.append(f"{int((~filled).sum())} of {shape[0]} images have no mask and are left out")

    def weights(m: int) -> Weights:
        parts = given[m].astype(np.float64)
        covered = parts.sum(axis=0)
        return np.concatenate([parts / np.maximum(covered, 1), (covered == 0)[None].astype(np.float64)])

    return PartWeights(given.shape[1], (weights(m) if filled[m] else None for m in range(shape[0])))


def _boxes(boxes: object, shape: tuple[int, int, int]) -> list[tuple[float, float, float, float]]:
    n_images, height, width = shape
    if boxes is None:
        return [(0.0, 0.0, float(height), float(width))] * n_images
    edges = np.asarray(boxes)
    must = f"be ({n_images}, 4): top, left, bottom, right of each object, with bottom > top and right > left"
    if edges.dtype.kind not in "iuf" or edges.shape != (n_images, 4):
        reject("boxes", _WHAT, must, f"{edges.dtype} of shape {edges.shape}")
    bad = ~((edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1]))
    if bad.any():
        first = int(bad.argmax())
        reject("boxes", _WHAT, must, f"{edges[first].tolist()} for image {first}")
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in edges]
