"""Paints `shapes` scenes, and says where their parts are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.data.drawing import (
    SIZE,
    FloatArray,
    box,
    coverage,
    ellipse,
    paint,
    polygon,
    upsampling_matrix,
)
from sparse_debug_widgets.data.scenes import SMOOTH_KNOTS, TEXTURE_KNOTS, Scenes
from sparse_debug_widgets.data.toys import TOYS, Part
from sparse_debug_widgets.data.watermark import stamp

_CLUTTER = (
    box(0, 0, 0.9, 0.5),
    ellipse(0, 0, 0.9, 0.6),
    polygon((-0.9, 0.6), (0, -0.8), (0.9, 0.6)),
    box(0, 0, 1.6, 0.09),
)
_PARTS = tuple(TOYS.values())


def render(scenes: Scenes, index: NDArray[np.int64], tagged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint some pictures.

    Args:
        scenes: what is on them.
        index: (m,) which ones.
        tagged: (m,) whether to put the mark on, whatever the scene says.

    Returns:
        (m, 3, SIZE, SIZE) bytes.
    """
    canvas = surroundings(scenes, index)
    for label in np.unique(scenes.labels[index]):
        members = np.flatnonzero(scenes.labels[index] == label)
        painted = canvas[members]
        _paint_object(painted, scenes, index[members], int(label))
        canvas[members] = painted
    add_grain(canvas, scenes, index)
    marked = np.flatnonzero(tagged)
    painted = canvas[marked]
    stamp(painted, scenes.mark_offset[index[marked]], scenes.mark_opacity[index[marked]])
    canvas[marked] = painted
    return (canvas * 255 + 0.5).astype(np.uint8)


def surroundings(scenes: Scenes, index: NDArray[np.int64]) -> FloatArray:
    """Backgrounds (m, 3, SIZE, SIZE) of some pictures, with the distractors on them."""
    canvas = _background(scenes, index)
    for figure, (pose, colour) in zip(_CLUTTER, scenes.clutter, strict=True):
        present = np.flatnonzero(pose.scale[index] > 0)
        chosen = pose.of(index[present])
        alpha = coverage(figure.distance(*chosen.coordinates()), chosen.scale)
        painted = canvas[present]
        paint(painted, 0.85 * alpha, colour[index[present]])
        canvas[present] = painted
    return canvas


def add_grain(canvas: FloatArray, scenes: Scenes, index: NDArray[np.int64]) -> None:
    """Add the pixel noise of some pictures and clip to [0, 1], in place."""
    for k, i in enumerate(index):
        # a stream per picture: its pixels do not depend on which others are painted with it
        grain = generator(scenes.seed, "shapes grain", scenes.split, int(i)).random(
            (4, SIZE, SIZE), dtype=np.float32
        )
        canvas[k] += (grain[3] + np.float32(0.5) * grain[:3] - np.float32(0.75)) * (2 * scenes.noise[i])
    np.clip(canvas, 0, 1, out=canvas)


def _background(scenes: Scenes, index: NDArray[np.int64]) -> FloatArray:
    smooth, fine = upsampling_matrix(SMOOTH_KNOTS), upsampling_matrix(TEXTURE_KNOTS)
    sky = smooth @ scenes.sky[index] @ smooth.T
    ground = smooth @ scenes.ground[index] @ smooth.T
    height, softness = scenes.horizon[index, 0], scenes.horizon[index, 1]
    below = np.clip((np.arange(SIZE, dtype=np.float32) - height[:, None]) / softness[:, None] + 0.5, 0, 1)
    canvas = sky + below[:, None, :, None] * (ground - sky)
    canvas += (fine @ scenes.texture[index] @ fine.T)[:, None]
    return np.asarray(canvas, dtype=np.float32)


def _paint_object(canvas: FloatArray, scenes: Scenes, index: NDArray[np.int64], label: int) -> None:
    u, v = scenes.pose.of(index).coordinates()
    for part in _PARTS[label]:
        paint_part(canvas, scenes, index, part, (u, v))


def paint_part(
    canvas: FloatArray,
    scenes: Scenes,
    index: NDArray[np.int64],
    part: Part,
    coordinates: tuple[FloatArray, FloatArray],
) -> None:
    """Lay one part over the pictures (m, 3, SIZE, SIZE) of some scenes, in place.

    Args:
        canvas: of the scenes ``index``.
        scenes: what is on the pictures.
        index: (m,) which ones.
        part: its figures and tone.
        coordinates: u and v of the objects, (m, SIZE, SIZE) each.
    """
    u, v = coordinates
    scale = scenes.pose.scale[index]
    distance = part_distance(u, v, part)
    light = np.float32(1.04) - np.float32(0.1) * v
    # a darker rim, two pixels wide, as a pencil line would leave it
    rim = np.clip(1 + distance * (scale[:, None, None] * np.float32(0.5)), 0, 1)
    shade = light - np.float32(0.24) * rim
    colour = scenes.colours[index, part.tone][:, :, None, None] * shade[:, None]
    paint(canvas, coverage(distance, scale), colour)


def part_distance(u: FloatArray, v: FloatArray, part: Part) -> FloatArray:
    """Signed distance (m, H, W) from a part, negative inside, in object units."""
    distance = part.figures[0].distance(u, v)
    for figure in part.figures[1:]:
        distance = np.minimum(distance, figure.distance(u, v))
    return distance


def part_masks(scenes: Scenes, i: int, parts: Iterable[Part] | None = None) -> dict[str, NDArray[np.bool_]]:
    """Masks of the visible parts of picture i: name -> (SIZE, SIZE), disjoint.

    Args:
        scenes: what is on the pictures.
        i: which one.
        parts: its parts, back to front; None for those of its class.
    """
    index = np.array([i])
    pose = scenes.pose.of(index)
    u, v = pose.coordinates()
    masks: dict[str, NDArray[np.bool_]] = {}
    for part in _PARTS[int(scenes.labels[i])] if parts is None else parts:
        mask = coverage(part_distance(u, v, part), pose.scale)[0] > 0.5
        masks = {name: behind & ~mask for name, behind in masks.items()}
        masks[part.name] = mask
    return masks
