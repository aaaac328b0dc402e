"""Numbers for the front end's unit tests, made by the Python side of each mirrored codec."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from sparse_debug_widgets.widgets.kit import wire
from sparse_debug_widgets.widgets.panels.perturb import film
from sparse_debug_widgets.widgets.shared import curves, heat


def write(path: Path) -> None:
    """Write everything that the tests compare with into one JSON file."""
    everything = {
        "arrays": _arrays(),
        "halves": _held({"halves": np.arange(65536, dtype=np.uint16).view(np.float16)}),
        "curves": _curves(),
        "heat": _heat(),
        "film": _film(),
        "colours": {name: _colours(name) for name in ("inferno", "viridis", "cividis")},
    }
    path.write_text(json.dumps(everything, allow_nan=False), encoding="utf-8")


def _text(buffer: bytes) -> str:
    return base64.b64encode(buffer).decode("ascii")


def _held(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as a trait holds them, their buffers as text."""
    return {name: {**head, "data": _text(head["data"])} for name, head in wire.in_trait(arrays).items()}


def _numbers(array: np.ndarray) -> list[float | str]:
    """Numbers as JSON has them; what JSON lacks by its name in JavaScript."""
    flat = np.asarray(array, np.float64).ravel().tolist()
    return [x if np.isfinite(x) else str(x).replace("inf", "Infinity").replace("nan", "NaN") for x in flat]


def _arrays() -> dict[str, Any]:
    whole = {name: np.iinfo(name) for name in wire.DTYPES if "int" in name}
    arrays = {name: np.array([[info.min, 0, info.max]], name) for name, info in whole.items()}
    arrays["bool"] = np.array([True, False])
    for name in ("float16", "float32", "float64"):
        info = np.finfo(name)
        ends = [info.min, info.max, info.tiny, info.smallest_subnormal, -0.0, np.nan, np.inf, -np.inf, 0.1]
        arrays[name] = np.array(ends, name)
    arrays["int64"] = np.array([-(2**31), 2**31 - 1], np.int64)
    arrays["empty"] = np.empty((0, 3), np.float32)
    arrays["strided"] = np.arange(12, dtype=np.int16).reshape(3, 4)[:, ::2]
    arrays["big_endian"] = np.array([1, 256], ">i4")
    return {"held": _held(arrays), "values": {name: _numbers(array) for name, array in arrays.items()}}


def _curves() -> dict[str, Any]:
    """A class with a feature from the first lambda on, one late, one never, one almost zero."""
    rng = np.random.default_rng(0)
    n_lambdas, n_features = 30, 12
    starts = np.array([0, 29, 30, *rng.integers(1, 29, n_features - 3)])
    grown = np.maximum(np.arange(n_lambdas)[:, None] - starts + 1, 0)
    weights = grown / n_lambdas * rng.normal(size=n_features) * 0.3 * (1 + 0.1 * np.sin(grown))
    weights[:, 3] *= 1e-9
    weights = np.where(np.arange(n_lambdas)[:, None] >= starts, weights, 0).astype(np.float32)
    unit, live = curves.encode(weights)
    decoded = curves.decode(unit, live["starts"], live["values"], n_lambdas)
    _, page = curves.squeeze(weights, curves.COARSE)
    return {
        "K": n_lambdas,
        "unit": unit,
        "levels": curves.COARSE,
        "weights": _numbers(weights),
        "decoded": _numbers(decoded),
        "live": _held(live),
        "page": _held(page),
    }


def _heat() -> dict[str, Any]:
    """A sweep of maps with two planes: one map is all zeros, one has a single place that is not."""
    signed = np.random.default_rng(1).normal(size=(5, 48)).astype(np.float32) ** 3
    signed[1] = 0
    signed[2] = 0
    signed[2, 7] = -4
    both = np.stack([np.abs(signed) * 1.5, signed], axis=1)
    packed = heat.pack(both)
    unpacked = heat.unpack(packed, both.shape)
    sizes = np.abs(unpacked.astype(np.float64))
    percentiles = [0.5, 37, 50, 99, 100]
    return {
        "packed": {"units": packed.units, "levels": packed.levels, "planes": 2},
        "data": _held({"data": packed.data}),
        "n": both.shape[2],
        "values": _numbers(unpacked),
        "percentiles": percentiles,
        "caps": _numbers(np.percentile(sizes, percentiles, axis=2).transpose(1, 2, 0)),
    }


def _film() -> dict[str, Any]:
    """Frames that shrink as those of Frank-Wolfe do; of a few entries the sign changes."""
    rng = np.random.default_rng(2)
    frames = np.cumsum(rng.normal(size=(6, 3, 4, 5)) * (rng.random((6, 3, 4, 5)) < 0.2), axis=0)
    frames = (frames * np.linspace(1, 0.4, 6)[:, None, None, None]).astype(np.float32)
    frames[0] = 0
    packed, scale, shrinks = film.pack(frames)
    original = rng.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    unpacked = film.unpack(packed, scale, shrinks, frames.shape)
    return {
        "facts": {"shape": list(original.shape), "scale": scale, "shrinks": shrinks, "steps": list(range(6))},
        "held": _held({"0.frames": packed, "0.original": original}),
        "frames": _numbers(unpacked),
        "mixed": _numbers(np.clip(original / 255 + unpacked, 0, 1)),
    }


def _colours(name: str) -> list[float | str]:
    return _numbers(np.rint(np.asarray(colormaps[name](np.arange(256)))[:, :3] * 255))
