"""What is on each `shapes` picture (drawn from a seed), and the picture itself.

Sampling and rendering are apart: the few numbers of a scene are drawn for a whole split at once, the pixels
are made later, block by block, and the same scene can be rendered with and without its mark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.data.drawing import (
    SIZE,
    FloatArray,
    box,
    coverage,
    ellipse,
    hsv_to_rgb,
    object_coordinates,
    paint,
    polygon,
    upsampling_matrix,
)
from sparse_debug_widgets.data.toys import TOYS
from sparse_debug_widgets.data.watermark import WANDER, stamp

_CLUTTER = (
    box(0, 0, 0.9, 0.5),
    ellipse(0, 0, 0.9, 0.6),
    polygon((-0.9, 0.6), (0, -0.8), (0.9, 0.6)),
    box(0, 0, 1.6, 0.09),
)
_SMOOTH, _TEXTURE = 4, 17
_PARTS = tuple(TOYS.values())


@dataclass(frozen=True)
class Pose:
    """Where n things stand: centre (n, 2) in pixels, scale (n,), angle (n,), stretch (n, 2)."""

    centre: FloatArray
    scale: FloatArray
    angle: FloatArray
    stretch: FloatArray

    def of(self, index: NDArray[np.int64]) -> Pose:
        """The poses of some of them."""
        return Pose(self.centre[index], self.scale[index], self.angle[index], self.stretch[index])

    def coordinates(self) -> tuple[FloatArray, FloatArray]:
        """Object coordinates u and v of every pixel, (n, SIZE, SIZE) each."""
        return object_coordinates(self.centre, self.scale, self.angle, self.stretch)


@dataclass(frozen=True)
class Scenes:
    """The numbers behind n pictures.

    Attributes:
        labels: (n,) class indices.
        tagged: (n,) whether the picture carries the mark.
        pose: of the object.
        colours: (n, 3 tones, 3) of the object.
        sky, ground: (n, 3, 4, 4) colour knots of the background, above and below the horizon.
        horizon: (n, 2) height in pixels and softness.
        texture: (n, 17, 17) brightness knots.
        clutter: poses of the distractors, and their colours (n, 3); a scale of zero means absent.
        mark_offset, mark_opacity: of the mark, drawn for all pictures whether they carry it or not.
        noise: (n,) amplitude of the pixel noise.
        seed: of the pixel noise, with the name of the split.
        split: name of the split.
    """

    labels: NDArray[np.int64]
    tagged: NDArray[np.bool_]
    pose: Pose
    colours: FloatArray
    sky: FloatArray
    ground: FloatArray
    horizon: FloatArray
    texture: FloatArray
    clutter: tuple[tuple[Pose, FloatArray], ...]
    mark_offset: NDArray[np.int64]
    mark_opacity: FloatArray
    noise: FloatArray
    seed: int
    split: str


def sample_scenes(labels: NDArray[np.int64], tagged: NDArray[np.bool_], seed: int, split: str) -> Scenes:
    """Draw everything but the class and the mark, which are given, and do not influence the rest.

    Args:
        labels: (n,) class indices into TOYS.
        tagged: (n,) which pictures carry the mark.
        seed: of all that is random.
        split: name of the random stream.
    """
    rng = generator(seed, "shapes", split)
    n = len(labels)

    def uniform(low: float, high: float, *shape: int) -> FloatArray:
        return rng.uniform(low, high, (n, *shape)).astype(np.float32)

    scale = uniform(12.5, 21.0)
    room = np.clip(SIZE / 2 - 0.95 * scale, 1, None)[:, None]
    mirror = rng.choice(np.array([-1, 1], dtype=np.float32), n)
    stretch = uniform(0.86, 1.16, 2)
    stretch[:, 1] *= mirror
    pose = Pose(SIZE / 2 + uniform(-1, 1, 2) * room, scale, uniform(-0.3, 0.3), stretch)
    sky = _colour_field(rng, n, (0.55, 0.08, 0.68), 0.14)
    ground = _colour_field(rng, n, (0.22, 0.12, 0.4), 0.16)
    return Scenes(
        labels=labels,
        tagged=tagged,
        pose=pose,
        colours=_object_colours(rng, n, 0.5 * (sky.mean((2, 3)) + ground.mean((2, 3)))),
        sky=sky,
        ground=ground,
        horizon=np.stack([uniform(18, 60), uniform(0.4, 5)], axis=1),
        texture=rng.normal(0, 1, (n, _TEXTURE, _TEXTURE)).astype(np.float32)
        * uniform(0.01, 0.09)[:, None, None],
        clutter=tuple(_sample_clutter(rng, n) for _ in _CLUTTER),
        mark_offset=rng.integers(0, WANDER + 1, (n, 2)),
        mark_opacity=uniform(0.6, 0.95),
        noise=uniform(0.02, 0.12),
        seed=seed,
        split=split,
    )


def _colour_field(
    rng: np.random.Generator, n: int, base: tuple[float, float, float], spread: float
) -> FloatArray:
    """(n, 3, 4, 4) knots that wander around one colour per picture, near a base (hue, saturation, value)."""
    hue, saturation, value = base
    hsv = np.stack(
        [rng.normal(hue, spread, n), saturation + 0.3 * rng.random(n), value + 0.3 * rng.random(n)], axis=1
    )
    wander = rng.normal(0, 1, (n, _SMOOTH * _SMOOTH, 3)) * (0.02, 0.07, 0.07)
    knots = np.clip(hsv[:, None, :] + wander, (-2, 0, 0), (2, 1, 1)).astype(np.float32)
    return np.moveaxis(hsv_to_rgb(knots), 2, 1).reshape(n, 3, _SMOOTH, _SMOOTH)


def _object_colours(rng: np.random.Generator, n: int, background: FloatArray) -> FloatArray:
    """(n, 3, 3) three tones per object; some objects are hazy, that is close to their background."""
    hue = rng.uniform(0, 1, (n, 1, 1)) + np.array([[[0.0], [0.5], [0.1]]]) + rng.normal(0, 0.08, (n, 3, 1))
    low, high = ((0.45, 0.35, 0.3), (0.55, 0.6, 0.12)), ((0.95, 0.85, 0.8), (1.0, 1.0, 0.42))
    shade = np.stack([rng.uniform(low[k], high[k], (n, 3)) for k in (0, 1)], axis=2)
    rgb = hsv_to_rgb(np.concatenate([hue % 1, shade], axis=2).astype(np.float32))
    haze = rng.uniform(0, 0.62, (n, 1, 1)).astype(np.float32)
    return rgb + haze * (background[:, None, :] - rgb)


def _sample_clutter(rng: np.random.Generator, n: int) -> tuple[Pose, FloatArray]:
    scale = (rng.uniform(4, 10, n) * (rng.random(n) < 0.6)).astype(np.float32)
    pose = Pose(
        rng.uniform(2, SIZE - 2, (n, 2)).astype(np.float32),
        scale,
        rng.uniform(-np.pi, np.pi, n).astype(np.float32),
        rng.uniform(0.7, 1.3, (n, 2)).astype(np.float32),
    )
    return pose, hsv_to_rgb(rng.uniform((0, 0.2, 0.25), (1, 0.9, 0.95), (n, 3)).astype(np.float32))


def render(scenes: Scenes, index: NDArray[np.int64], tagged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint some pictures.

    Args:
        scenes: what is on them.
        index: (m,) which ones.
        tagged: (m,) whether to put the mark on, whatever the scene says.

    Returns:
        (m, 3, SIZE, SIZE) bytes.
    """
    canvas = _background(scenes, index)
    for figure, (pose, colour) in zip(_CLUTTER, scenes.clutter, strict=True):
        present = np.flatnonzero(pose.scale[index] > 0)
        chosen = pose.of(index[present])
        alpha = coverage(figure.distance(*chosen.coordinates()), chosen.scale)
        painted = canvas[present]
        paint(painted, 0.85 * alpha, colour[index[present]])
        canvas[present] = painted
    for label in np.unique(scenes.labels[index]):
        members = np.flatnonzero(scenes.labels[index] == label)
        painted = canvas[members]
        _paint_object(painted, scenes, index[members], int(label))
        canvas[members] = painted
    for k, i in enumerate(index):
        # a stream per picture: its pixels do not depend on which others are painted with it
        grain = generator(scenes.seed, "shapes grain", scenes.split, int(i)).random(
            (4, SIZE, SIZE), dtype=np.float32
        )
        canvas[k] += (grain[3] + np.float32(0.5) * grain[:3] - np.float32(0.75)) * (2 * scenes.noise[i])
    np.clip(canvas, 0, 1, out=canvas)
    marked = np.flatnonzero(tagged)
    painted = canvas[marked]
    stamp(painted, scenes.mark_offset[index[marked]], scenes.mark_opacity[index[marked]])
    canvas[marked] = painted
    return (canvas * 255 + 0.5).astype(np.uint8)


def _background(scenes: Scenes, index: NDArray[np.int64]) -> FloatArray:
    smooth, fine = upsampling_matrix(_SMOOTH), upsampling_matrix(_TEXTURE)
    sky = smooth @ scenes.sky[index] @ smooth.T
    ground = smooth @ scenes.ground[index] @ smooth.T
    height, softness = scenes.horizon[index, 0], scenes.horizon[index, 1]
    below = np.clip((np.arange(SIZE, dtype=np.float32) - height[:, None]) / softness[:, None] + 0.5, 0, 1)
    canvas = sky + below[:, None, :, None] * (ground - sky)
    canvas += (fine @ scenes.texture[index] @ fine.T)[:, None]
    return np.asarray(canvas, dtype=np.float32)


def _paint_object(canvas: FloatArray, scenes: Scenes, index: NDArray[np.int64], label: int) -> None:
    pose = scenes.pose.of(index)
    u, v = pose.coordinates()
    light = np.float32(1.04) - np.float32(0.1) * v
    for part in _PARTS[label]:
        distance = _part_distance(u, v, label, part.name)
        alpha = coverage(distance, pose.scale)
        # a darker rim, two pixels wide, as a pencil line would leave it
        rim = np.clip(1 + distance * (pose.scale[:, None, None] * np.float32(0.5)), 0, 1)
        shade = light - np.float32(0.24) * rim
        paint(canvas, alpha, scenes.colours[index, part.tone][:, :, None, None] * shade[:, None])


def _part_distance(u: FloatArray, v: FloatArray, label: int, name: str) -> FloatArray:
    part = next(p for p in _PARTS[label] if p.name == name)
    distance = part.figures[0].distance(u, v)
    for figure in part.figures[1:]:
        distance = np.minimum(distance, figure.distance(u, v))
    return distance


def part_masks(scenes: Scenes, i: int) -> dict[str, NDArray[np.bool_]]:
    """Where the parts of picture i show: name -> (SIZE, SIZE), disjoint, hidden pixels left out."""
    index, label = np.array([i]), int(scenes.labels[i])
    pose = scenes.pose.of(index)
    u, v = pose.coordinates()
    masks: dict[str, NDArray[np.bool_]] = {}
    for part in _PARTS[label]:
        mask = coverage(_part_distance(u, v, label, part.name), pose.scale)[0] > 0.5
        masks = {name: behind & ~mask for name, behind in masks.items()}
        masks[part.name] = mask
    return masks
