"""The scenes of `shapes`: a few numbers a picture, drawn from a seed for a whole split at once.

Sampling and painting (`painting`) are apart, so that the same scene can be painted with and without its mark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.data.drawing import (
    SIZE,
    FloatArray,
    hsv_to_rgb,
    object_coordinates,
)
from sparse_debug_widgets.data.watermark import WANDER

N_CLUTTER = 4
"""Kinds of distractors; a picture has at most one of each."""
SMOOTH_KNOTS, TEXTURE_KNOTS = 4, 17


@dataclass(frozen=True)
class Pose:
    """The poses of n things: centre (n, 2) in pixels, scale (n,), angle (n,), stretch (n, 2)."""

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

    scale = uniform(11.0, 20.0)
    room = np.clip(SIZE / 2 - 0.95 * scale, 1, None)[:, None]
    mirror = rng.choice(np.array([-1, 1], dtype=np.float32), n)
    stretch = uniform(0.86, 1.16, 2)
    stretch[:, 1] *= mirror
    pose = Pose(SIZE / 2 + uniform(-1, 1, 2) * room, scale, uniform(-0.5, 0.5), stretch)
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
        texture=rng.normal(0, 1, (n, TEXTURE_KNOTS, TEXTURE_KNOTS)).astype(np.float32)
        * uniform(0.01, 0.09)[:, None, None],
        clutter=tuple(_sample_clutter(rng, n) for _ in range(N_CLUTTER)),
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
    wander = rng.normal(0, 1, (n, SMOOTH_KNOTS * SMOOTH_KNOTS, 3)) * (0.02, 0.07, 0.07)
    knots = np.clip(hsv[:, None, :] + wander, (-2, 0, 0), (2, 1, 1)).astype(np.float32)
    return np.moveaxis(hsv_to_rgb(knots), 2, 1).reshape(n, 3, SMOOTH_KNOTS, SMOOTH_KNOTS)


def _object_colours(rng: np.random.Generator, n: int, background: FloatArray) -> FloatArray:
    """(n, 3, 3) three tones per object; some objects are hazy, that is close to their background."""
    hue = rng.uniform(0, 1, (n, 1, 1)) + np.array([[[0.0], [0.5], [0.1]]]) + rng.normal(0, 0.08, (n, 3, 1))
    low, high = ((0.45, 0.35, 0.3), (0.55, 0.6, 0.12)), ((0.95, 0.85, 0.8), (1.0, 1.0, 0.42))
    shade = np.stack([rng.uniform(low[k], high[k], (n, 3)) for k in (0, 1)], axis=2)
    rgb = hsv_to_rgb(np.concatenate([hue % 1, shade], axis=2).astype(np.float32))
    haze = rng.uniform(0, 0.7, (n, 1, 1)).astype(np.float32)
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
