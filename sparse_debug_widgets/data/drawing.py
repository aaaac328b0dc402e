"""Soft-edged drawing of many small pictures at once, in NumPy.

A shape is a signed distance (negative inside) in an object's own coordinates, where the object fills
about [-1, 1] x [-1, 1] and v grows downwards. Coverage is the distance turned into an opacity over one pixel,
so that edges are smooth and masks follow the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
Point: TypeAlias = tuple[float, float]

SIZE = 64


@dataclass(frozen=True)
class Figure:
    """One geometric figure in object coordinates.

    Attributes:
        kind: "box" and "ellipse" are given by their centre and half sizes, "dome" is the upper half of an
            ellipse, "polygon" is a convex outline.
        points: for "polygon" the corners in order (either sense), else
            ((centre u, centre v), (half u, half v)).
    """

    kind: Literal["box", "ellipse", "dome", "polygon"]
    points: tuple[Point, ...]

    def distance(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """Signed distance (exact for boxes near an edge and for polygons, approximate for ellipses).

        Args:
            u: horizontal object coordinate, (m, H, W).
            v: vertical object coordinate, (m, H, W).

        Returns:
            (m, H, W), negative inside, in object units.
        """
        if self.kind == "polygon":
            return _polygon(u, v, self.points)
        (cu, cv), (hu, hv) = self.points
        if self.kind == "box":
            across, down = np.abs(u - np.float32(cu)), np.abs(v - np.float32(cv))
            inside: FloatArray = np.maximum(across - np.float32(hu), down - np.float32(hv))
            return inside
        a = (u - np.float32(cu)) * np.float32(1 / hu)
        b = (v - np.float32(cv)) * np.float32(1 / hv)
        d: FloatArray = (np.sqrt(a * a + b * b) - np.float32(1)) * np.float32(min(hu, hv))
        return np.maximum(d, v - np.float32(cv), out=d) if self.kind == "dome" else d


def _polygon(u: FloatArray, v: FloatArray, corners: Sequence[Point]) -> FloatArray:
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(corners, [*corners[1:], corners[0]], strict=True))
    sense = 1.0 if area > 0 else -1.0
    result: FloatArray | None = None
    for (u0, v0), (u1, v1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = float(np.hypot(u1 - u0, v1 - v0))
        nu, nv = sense * (v1 - v0) / length, -sense * (u1 - u0) / length
        edge = u * np.float32(nu) + v * np.float32(nv) - np.float32(nu * u0 + nv * v0)
        result = edge if result is None else np.maximum(result, edge, out=result)
    if result is None:
        raise ValueError(
            "a polygon is not compatible with an empty outline: it must have three corners or more"
        )
    return result


def box(u: float, v: float, half_u: float, half_v: float) -> Figure:
    """An axis-parallel box around (u, v)."""
    return Figure("box", ((u, v), (half_u, half_v)))


def ellipse(u: float, v: float, half_u: float, half_v: float) -> Figure:
    """An axis-parallel ellipse around (u, v)."""
    return Figure("ellipse", ((u, v), (half_u, half_v)))


def dome(u: float, v: float, half_u: float, half_v: float) -> Figure:
    """The upper half of an ellipse, standing on the line through (u, v)."""
    return Figure("dome", ((u, v), (half_u, half_v)))


def polygon(*corners: Point) -> Figure:
    """A convex polygon through the corners."""
    return Figure("polygon", corners)


def object_coordinates(
    centre: FloatArray, scale: FloatArray, angle: FloatArray, stretch: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Pixel centres seen from each object.

    Args:
        centre: (m, 2), row and column in pixels.
        scale: (m,), pixels per object unit.
        angle: (m,), radians, clockwise on the screen.
        stretch: (m, 2), factors along v and u; a negative factor along u mirrors the object.

    Returns:
        u and v, (m, SIZE, SIZE) float32 each.
    """
    pixel = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    y = pixel[None, :, None] - centre[:, 0, None, None]
    x = pixel[None, None, :] - centre[:, 1, None, None]
    c, s = np.cos(angle), np.sin(angle)
    per_u, per_v = 1 / (scale * stretch[:, 1]), 1 / (scale * stretch[:, 0])
    u = x * (c * per_u)[:, None, None] + y * (s * per_u)[:, None, None]
    v = y * (c * per_v)[:, None, None] - x * (s * per_v)[:, None, None]
    return u.astype(np.float32), v.astype(np.float32)


def coverage(distance: FloatArray, scale: FloatArray) -> FloatArray:
    """Opacity in [0, 1] of a shape: one pixel wide edges.

    Args:
        distance: (m, H, W) in object units.
        scale: (m,), pixels per object unit.
    """
    opacity: FloatArray = np.clip(np.float32(0.5) - distance * scale[:, None, None], 0, 1)
    return opacity


def paint(canvas: FloatArray, alpha: FloatArray, colour: FloatArray) -> None:
    """Lay a colour over the canvas, in place.

    Args:
        canvas: (m, 3, H, W).
        alpha: (m, H, W) opacity.
        colour: (m, 3) or (m, 3, H, W).
    """
    full = colour[:, :, None, None] if colour.ndim == 2 else colour
    for channel in range(canvas.shape[1]):
        plane = canvas[:, channel]
        plane += alpha * (full[:, channel] - plane)


def upsampling_matrix(cells: int) -> FloatArray:
    """(SIZE, cells) weights of linear interpolation from `cells` knots to SIZE pixels."""
    position = (np.arange(SIZE) + 0.5) / SIZE * (cells - 1)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)[None, :]))
    return np.asarray(weights, dtype=np.float32)


def hsv_to_rgb(hsv: FloatArray) -> FloatArray:
    """Hue, saturation, value to red, green, blue; all in [0, 1] (the hue wraps), last axis of length 3."""
    hue, saturation, value = hsv[..., :1], hsv[..., 1:2], hsv[..., 2:]
    offset = np.array([5, 3, 1], dtype=np.float32)
    k = (offset + hue * 6) % 6
    rgb = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.asarray(rgb, dtype=np.float32)
