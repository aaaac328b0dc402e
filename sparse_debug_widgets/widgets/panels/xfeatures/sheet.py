"""x-features as the page has them: all pictures and maps at once, in few bytes; toggling asks nobody."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.pixels import box_from, unit_pixels
from sparse_debug_widgets.interpret.xfeatures.xfeatures import XFeatures
from sparse_debug_widgets.widgets.kit import fields, wire
from sparse_debug_widgets.widgets.shared import heat as maps
from sparse_debug_widgets.widgets.shared.heat import Sheet
from sparse_debug_widgets.widgets.shared.series import drawn

Array = npt.NDArray[Any]


class Detail(NamedTuple):
    """The share of a result that the page gets.

    Attributes:
        levels: Steps of each map on a square-root scale.
        side: Longest side of pictures and maps; larger ones have blocks of pixels averaged.
        images: At most so many pictures.
    """

    levels: int = 255
    side: int = 128
    images: int = 1000


FULL = Detail()
# Coarser and coarser ways to show the same in a page inside a notebook.
LADDER = (
    FULL,
    Detail(127, 128),
    Detail(127, 64),
    Detail(63, 64, 48),
    Detail(63, 48, 30),
    Detail(31, 32, 24),
)


def sheet(found: XFeatures, detail: Detail = FULL, **more: object) -> Sheet:
    """Everything of a result but the names of its concepts, which a person changes.

    Args:
        found: The result; k pictures, n x-features.
        detail: How much of it.
        **more: Goes into the value.

    Returns:
        Value, and arrays: ``pictures`` uint8 (k, channels, H, W); ``maps``, deflated, for each picture its
        1-heatmap and then its n maps; ``contributions`` and ``mass`` (k, n), ``scores`` and
        ``reconstructed`` (k,).
    """
    rows = range(min(len(found.images), detail.images))
    pictures = _pictures(found, rows, detail)
    heat = np.zeros((len(rows), 1 + found.n, 1, 1), np.float32)  # an empty map lies over nothing
    if found.has_maps:
        heat = np.concatenate([found.baseline[:, None], found.maps], axis=1)[: len(rows)]
        heat = maps.shrunk(np.asarray(heat, np.float32), _factor(heat, detail))
    packed = maps.pack(heat.reshape(1, -1, heat.shape[-2] * heat.shape[-1]), detail.levels)
    # A nonfinite number cannot be packed, and is not made by excitation backprop; null would say so.
    value = {
        "k": len(rows),
        "of": len(found.images),
        "n": found.n,
        "classIndex": found.class_index,
        "className": _name(found, found.class_index),
        "labels": [_name(found, int(found.labels[i])) for i in rows],
        "predictions": [_name(found, int(found.predictions[i])) for i in rows],
        "wrong": [bool(found.labels[i] >= 0 and found.labels[i] != found.predictions[i]) for i in rows],
        "layer": fields.cut(found.layer, 200),
        "method": found.method,
        "weights": found.weights.tolist(),
        "bias": found.bias,
        "fidelity": dict(found.fidelity),
        "shape": list(heat.shape[-2:]),
        "picture": list(pictures.shape[1:]),
        "units": packed.units,
        "levels": packed.levels,
        "signed": bool((heat < 0).any()),
        "mapped": found.has_maps,
        "why": fields.cut(found.no_maps, 600),
        "texts": [fields.cut(found.texts[i], 400) for i in rows] if found.texts else [],
        "contrastive": bool(found.provenance.params.get("contrastive", False)),
        "seconds": found.provenance.seconds,
        **more,
    }
    arrays: dict[str, wire.Array] = {"pictures": pictures, "maps": packed.data}
    for name in ("contributions", "mass", "scores", "reconstructed"):
        arrays[name] = np.asarray(getattr(found, name), np.float32)[: len(rows)]
    return Sheet(dict(wire.jsonable(value)), arrays)


def fitting(found: XFeatures, limit: int, **more: object) -> Sheet:
    """The finest sheet of at most about ``limit`` bytes once its arrays are deflated; else the coarsest."""
    for detail in LADDER:
        shown = sheet(found, detail, **more)
        if (
            sum(len(zlib.compress(np.ascontiguousarray(a).tobytes(), 6)) for a in shown.arrays.values())
            <= limit
        ):
            break
    return shown


def _pictures(found: XFeatures, rows: range, detail: Detail) -> npt.NDArray[np.uint8]:
    """The examples as pictures: of series and rows of numbers their curves, of sentences nothing."""
    if found.images.ndim == 4:
        images = unit_pixels(found.images, box_from(found.provenance.params))
        return np.stack([maps.pixels(maps.shrunk(images[i], _factor(images, detail))) for i in rows])
    if found.texts or 0 in found.images.shape:
        return np.zeros((len(rows), 1, 1, 1), np.uint8)
    return drawn(found.images[: len(rows)])


def _factor(values: Array, detail: Detail) -> int:
    """Blocks of so many by so many pixels become one."""
    return -(-int(max(values.shape[-2:])) // detail.side)


def _name(found: XFeatures, index: int) -> str:
    if index < 0:
        return ""
    known = found.class_names
    return fields.cut(known[index] if index < len(known) else f"class {index}", 200)
