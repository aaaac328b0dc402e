"""The paths of one class as few bytes: what a browser needs to draw and read any lambda of it.

Most features enter late, so each curve is kept from its first nonzero lambda on. Live panels get float16
(exact to 3 digits, nothing to unpack). Standalone pages get the same curves in ``levels`` steps per
feature, as second differences split into byte planes, which deflate shrinks well because paths are smooth.
``shared/curves.js`` is the mirror image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Steps per feature: a twentieth of a pixel while there is room, at most a quarter of one in large pages.
FINE, COARSE = 2047, 511


def starts_of(weights: Array) -> npt.NDArray[np.uint16]:
    """Index at which each feature enters, K if it never does; (p,) for weights (K, p)."""
    nonzero = weights != 0
    first = nonzero.argmax(axis=0)
    return np.asarray(np.where(nonzero.any(axis=0), first, weights.shape[0]), dtype=np.uint16)


def encode(weights: Array) -> tuple[float, dict[str, Array]]:
    """Curves of one class, weights (K, p), for a live panel.

    Returns:
        The unit (largest weight), and the arrays ``starts`` (p,) and ``values`` (m,): feature after feature,
        from its start to the last lambda, in that unit.
    """
    unit = float(np.abs(weights).max(initial=0.0)) or 1.0
    starts = starts_of(weights)
    return unit, {"starts": starts, "values": _visible(_run_values(weights / unit, starts))}


def _visible(values: Array) -> npt.NDArray[np.float16]:
    """Round to float16, but never a nonzero to zero: "nonzero" must survive the trip."""
    rounded = values.astype(np.float16)
    lost = (rounded == 0) & (values != 0)
    rounded[lost] = np.copysign(np.finfo(np.float16).smallest_subnormal, values[lost])
    return rounded


def _run_values(weights: Array, starts: Array) -> Array:
    inside = np.arange(weights.shape[0])[None, :] >= starts[:, None]
    return np.asarray(weights.T[inside])


def runs(starts: Array, n_lambdas: int) -> tuple[Array, Array]:
    """First position and length of each feature's run in ``values``."""
    lengths = n_lambdas - starts.astype(np.int64)
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64), lengths


def decode(unit: float, starts: Array, values: Array, n_lambdas: int) -> Array:
    """The weights (K, p) that :func:`encode` stands for (float32)."""
    weights = np.zeros((starts.size, n_lambdas), dtype=np.float32)
    weights[np.arange(n_lambdas)[None, :] >= starts[:, None]] = values.astype(np.float32) * np.float32(unit)
    return weights.T


def squeeze(weights: Array, levels: int = FINE) -> tuple[float, dict[str, Array]]:
    """Curves of one class for a standalone page: ``starts``, ``scales`` (p,) and ``planes`` (2 m,).

    Each feature's curve is rounded to ``levels`` steps of its own largest weight (a nonzero stays one step).
    """
    unit = float(np.abs(weights).max(initial=0.0)) or 1.0
    starts = starts_of(weights)
    # The rounding is done with the scale the browser will use, so nothing is lost twice.
    scales = _visible(np.abs(weights).max(axis=0) / unit)
    step = np.where(scales > 0, scales.astype(np.float64) * unit / levels, 1.0)
    steps = np.rint(weights / step)
    steps = np.where((steps == 0) & (weights != 0), np.copysign(1.0, weights), steps)
    bent = _second_differences(_run_values(steps, starts).astype(np.int64), *runs(starts, weights.shape[0]))
    zigzag = ((bent << 1) ^ (bent >> 63)).astype(np.uint16)
    planes = np.concatenate([zigzag & 0xFF, zigzag >> 8]).astype(np.uint8)
    return unit, {"starts": starts, "scales": scales, "planes": planes}


def _second_differences(values: Array, first: Array, lengths: Array) -> Array:
    """v[i] - 2 v[i-1] + v[i-2] within each run, with zeros before its beginning."""
    for _ in range(2):
        previous = np.concatenate([[0], values[:-1]]).astype(np.int64)
        previous[first[lengths > 0]] = 0
        values = values - previous
    return values
