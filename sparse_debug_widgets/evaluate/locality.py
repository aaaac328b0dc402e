"""Locality: how few parts of the object an x-feature looks at (thesis, Sec. 3.3.2, point 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.evaluate.metric import Metric, probabilities, read_maps
from sparse_debug_widgets.evaluate.parts import PartWeights, weights_from_masks, weights_from_points

Maps = npt.NDArray[np.float64]
CONTEXT = "context"


def locality_from_points(
    maps: object, points: object, boxes: object = None, *, part_names: Sequence[str] | None = None
) -> Metric:
    """Mean entropy (nats) of the parts that x-features look at, from a point per part; lower is better.

    A Voronoi diagram with inverse-distance weights spreads the points over the object's box (thesis,
    Algorithm 3); all outside the box is one more part, the context.

    Args:
        maps: (M, n, H, W) >= 0; or (M, H, W), one map an image.
        points: (M, P, 2) row and column of each part in pixels of the maps, NaN where it is not visible.
        boxes: (M, 4) top, left, bottom, right of each object; None: the whole image, without a context.
        part_names: P names, for the details.

    Returns:
        Between 0 (one part) and log(P + 1). Details as in :func:`locality_from_masks`.

    Raises:
        InputError: Shapes that do not fit; no visible part at all.

    References:
        Khorram, "Toward Disentangling the Activations of the Deep Networks", Oregon State University, 2020,
        Algorithm 3; ``docs/methods/metrics.md``.
    """
    values = read_maps(maps, "locality")
    notes: list[str] = []
    shape = (len(values), values.shape[2], values.shape[3])
    weights = weights_from_points(points, boxes, shape, notes)
    return _locality(values, weights, part_names, notes)


def locality_from_masks(maps: object, masks: object, *, part_names: Sequence[str] | None = None) -> Metric:
    """Mean entropy (nats) of the parts that each x-feature looks at, from masks; lower is better.

    Args:
        maps: (M, n, H, W) >= 0; or (M, H, W), one map an image.
        masks: (M, P, H, W) boolean; what no mask covers is one more part, the context.
        part_names: P names, for the details.

    Returns:
        Between 0 (one part) and log(P + 1). Details: ``"entropies"`` of each x-feature (NaN where its maps
        are 0 everywhere), ``"histograms"`` (x-feature -> part -> share of its mass, thesis' S_n),
        ``"parts"`` (names, the context last), ``"n_images"`` (images that counted, of each x-feature). An
        image where an x-feature is dead does not count for it; images without parts do not count at all.

    Raises:
        InputError: Shapes or sizes that do not fit; no mask with a pixel.

    References:
        Khorram, "Toward Disentangling the Activations of the Deep Networks", Oregon State University, 2020,
        section 3.3.2; ``docs/methods/metrics.md``.
    """
    values = read_maps(maps, "locality")
    notes: list[str] = []
    shape = (len(values), values.shape[2], values.shape[3])
    weights = weights_from_masks(masks, shape, notes)
    return _locality(values, weights, part_names, notes)


def _locality(
    values: Maps, weights: PartWeights, part_names: Sequence[str] | None, notes: list[str]
) -> Metric:
    n_parts = weights.n_parts
    names = [f"part {k + 1}" for k in range(n_parts)] if part_names is None else list(part_names)
    if len(names) != n_parts:
        reject("part_names", "the parts", f"be {n_parts} names", str(len(names)))
    shares = probabilities(values)
    n = values.shape[1]
    total, counted = np.zeros((n, n_parts + 1)), np.zeros(n, dtype=int)
    for image, weight in zip(shares, weights.each, strict=True):
        if weight is not None:
            total += np.einsum("nhw,phw->np", image, weight)
            counted += image.any(axis=(1, 2))
    entropies = _entropies(total)
    dead = np.flatnonzero(counted == 0)
    lost = np.flatnonzero((counted > 0) & np.isnan(entropies))
    if len(dead):
        notes.append(f"x-features that look nowhere are left out: {', '.join(str(k + 1) for k in dead)}")
    if len(lost):
        notes.append(f"x-features that meet no part are left out: {', '.join(str(k + 1) for k in lost)}")
    mean = total / np.maximum(counted, 1)[:, None]
    details = {
        "entropies": tuple(entropies.tolist()),
        "histograms": tuple(tuple(row) for row in mean.tolist()),
        "parts": (*names, CONTEXT),
        "n_images": tuple(counted.tolist()),
    }
    value = float(np.nanmean(entropies)) if np.isfinite(entropies).any() else float("nan")
    return Metric("locality", value, "lower", 0.0, details, tuple(notes))


def _entropies(histograms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """H_n in nats of rows that need not sum to 1; NaN where a row is 0."""
    total = histograms.sum(axis=1, keepdims=True)
    shares = histograms / np.where(total > 0, total, 1)
    terms = np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0)
    found = np.abs(terms.sum(axis=1))
    return np.where(total[:, 0] > 0, found, np.nan)
