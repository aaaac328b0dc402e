"""Perturbations as films: every step of a run in few bytes, mirrored in ``panels/perturb/film.js``.

A step is sent as signed bytes on a square-root scale: small entries keep their relative size, and none that
is not zero becomes zero. Of each step the one before, shrunk, is subtracted and what is left deflated, so
that what a sparse step leaves alone costs next to nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.pixels import UNIT, box_from
from sparse_debug_widgets.perturbation import ConceptProbe, ErrorCounterfactuals, Perturbation
from sparse_debug_widgets.perturbation.norms import NORMS
from sparse_debug_widgets.widgets.kit import fields
from sparse_debug_widgets.widgets.shared.gallery import as_picture

Array = npt.NDArray[Any]
_CLASSES = 10
_LEVELS = 127


class Strip(NamedTuple):
    """One film: what is written beside it, and its arrays."""

    value: dict[str, Any]
    arrays: dict[str, Array]


def pack(frames: Array, *, scale: float | None = None) -> tuple[Array, float, list[float]]:
    """Frames (K, ...) of signed numbers as deflated bytes.

    Args:
        frames: The numbers.
        scale: What the largest code stands for, at least the largest number; None: that number.

    Returns:
        uint8; the number that the largest code stands for (code c is ``sign(c) scale (c / 127)^2``); and for
        each frame by how much the codes of the one before are multiplied before they are subtracted.
    """
    if scale is None:
        scale = float(np.abs(frames).max()) if frames.size else 0.0
    flat = frames.reshape(len(frames), -1).astype(np.float32) / (scale or 1.0)
    signs = np.sign(frames.reshape(flat.shape)).astype(np.float32)
    signed = signs * np.ceil(np.sqrt(np.abs(flat)) * _LEVELS - 0.5).clip(np.abs(signs), _LEVELS)
    shrinks = [1.0] * len(frames)
    residues = signed.copy()
    for k in range(1, len(frames)):
        # A step of Frank-Wolfe shrinks all that it does not choose by the same factor.
        both = (signed[k] != 0) & (signed[k - 1] != 0)
        if both.any():
            shrinks[k] = float(np.median(signed[k, both] / signed[k - 1, both]))
        residues[k] -= _shrunk(signed[k - 1], shrinks[k])
    packed = zlib.compress(residues.astype(np.int16).astype(np.uint8).tobytes(), 5)
    return np.frombuffer(packed, dtype=np.uint8), scale, shrinks


def unpack(packed: Array, scale: float, shrinks: Sequence[float], shape: Sequence[int]) -> Array:
    """The frames that :func:`pack` was given, to half a level."""
    bytes_ = np.frombuffer(zlib.decompress(packed.tobytes()), dtype=np.uint8).reshape(shape[0], -1)
    codes = np.zeros(bytes_.shape, dtype=np.int8)
    for k, residues in enumerate(bytes_):
        before = _shrunk(codes[k - 1], shrinks[k]) if k else 0
        codes[k] = (residues + before).astype(np.int16).astype(np.uint8).view(np.int8)
    levels = codes.astype(np.float32)
    return np.asarray(np.sign(levels) * scale * (levels / _LEVELS) ** 2).reshape(tuple(shape))


def _shrunk(codes: Array, factor: float) -> Array:
    return np.floor(codes.astype(np.float64) * factor + 0.5)


def joined(strips: Sequence[Strip], **value: Any) -> Strip:  # noqa: ANN401 (JSON)
    """Several strips as one message: their arrays are called ``<number>.<name>``."""
    arrays = {f"{i}.{name}": array for i, strip in enumerate(strips) for name, array in strip.arrays.items()}
    return Strip({**value, "strips": [strip.value for strip in strips]}, arrays)


def step_strip(result: Perturbation, i: int, *, title: str, names: Sequence[str], label: int = -1) -> Strip:
    """One example of a perturbation: all its steps where they were kept, else before and after.

    Args:
        result: The perturbation.
        i: Which example.
        title: Whose model it is.
        names: Of the classes.
        label: True class, -1 if unknown.
    """
    done = int(result.steps_done[i]) + 1
    if result.iterates is not None:
        frames, steps = result.iterates[i, :done], list(range(done))
        probabilities = result.probabilities[i, :done]
    else:
        frames = np.stack([np.zeros_like(result.delta[i]), result.delta[i]])
        steps = [0, int(result.best_step[i])]
        probabilities = np.stack([result.probabilities[i, 0], result.probabilities_after[i]])
    best = int(result.best_step[i])
    if result.iterates is not None and best < done:
        # What is returned may be a cut of the best iterate (box_mode="clamp"): the film shows that.
        frames, probabilities = frames.copy(), probabilities.copy()
        frames[best], probabilities[best] = result.delta[i], result.probabilities_after[i]
    target = int(result.target[i])
    shown = _shown_classes(probabilities, [target, int(result.prediction_before[i]), label])
    value, arrays = _pictures(result.inputs[i], frames, _ends(result))
    arrays |= {
        "probabilities": probabilities[:, shown].astype(np.float32),
        "losses": result.losses[i, :done].astype(np.float32),
        "gaps": result.gaps[i, :done].astype(np.float32),
        "supports": result.supports[i, :done].astype(np.int32),
    }
    value |= {
        "title": fields.cut(title, 200),
        "steps": steps,
        "total": int(result.losses.shape[1]) - 1,
        "classes": _named(shown, names),
        "target": target,
        "label": label,
        "predictions": probabilities.argmax(1).tolist(),
        "predictionNames": _named(probabilities.argmax(1).tolist(), names),
        "norm": result.norm,
        "eps": float(result.eps[i]),
        "height": float(result.vertex_height[i]),
        "saturates": bool(result.saturates[i]),
        "ascent": result.ascent,
        "best": best,
        "first": steps.index(best),
        "after": float(result.confidence_after[i]),
        "success": bool(result.success[i]),
        "cancelled": result.cancelled,
        "support": int(result.support[i]),
        "dims": int(result.delta[i].size),
    }
    return Strip(value, arrays)


def error_strips(result: ErrorCounterfactuals, i: int, names: Sequence[str]) -> list[Strip]:
    """Make two strips of three pictures: why the model made this mistake, and what would have corrected it.

    They are the original, what is enough, and all of the perturbation.
    """
    prediction, label = int(result.predictions[i]), int(result.labels[i])
    strips = []
    for word, target in (("why", prediction), ("fix", label)):
        share, enough = result.share(word, i), getattr(result, f"{word}_enough")
        delta, confidence, effort, support = (
            getattr(result, f"{word}_{part}")[i] for part in ("delta", "confidence", "effort", "support")
        )
        name = _named([target], names)[0]["name"]
        title = f"Why {name}?" if word == "why" else f"What would have made it {name}?"
        box = box_from(result.provenance.params)
        # The picture that is enough stands between the two; all of the perturbation where nothing is.
        part = min(share, 1.0)
        frames = np.stack([np.zeros_like(delta), part * delta, delta])
        value, arrays = _pictures(result.inputs[i], frames, box)
        at_part = confidence[1] if part != share else np.nan if enough is None else enough[i]
        sure = [confidence[0], at_part, confidence[1]]
        arrays["probabilities"] = np.asarray(sure, dtype=np.float32).reshape(3, 1)
        # That the label is predicted at the effort and after it is what the effort means.
        if word == "fix" and part == share:
            said = [prediction, label, label]
            value |= {"predictions": said, "predictionNames": _named(said, names)}
        supports = np.count_nonzero(frames.reshape(3, -1), axis=1)
        arrays["supports"] = supports.astype(np.int32)
        value |= {
            "title": title,
            "steps": [0, 1, 2],
            "stepNames": ["original", "what is enough", "all of it"],
            "first": 1,
            "total": 2,
            "classes": _named([target], names),
            "target": target,
            "label": label,
            "norm": result.norm,
            "eps": float(result.eps),
            "effort": float(effort),
            "support": int(support),
            "dims": int(delta.size),
        }
        strips.append(Strip(value, arrays))
    return strips


def concept_strips(result: ConceptProbe, *, title: str) -> list[Strip]:
    """Make one strip for each norm and seed of what a model drew: the noise and the drawing."""
    strips = []
    for k, norm in enumerate(result.norms):
        for s, seed in enumerate(result.seeds):
            frames = np.stack([np.zeros_like(result.deltas[k, s]), result.deltas[k, s]])
            value, arrays = _pictures(result.starts[s], frames, box_from(result.provenance.params) or UNIT)
            value |= {
                "title": fields.cut(title, 200),
                "norm": norm,
                "seed": int(seed),
                "eps": float(result.radii[k]),
                "before": float(result.confidences_before[s]),
                "after": float(result.confidences[k, s]),
                "support": int(result.supports[k, s]),
                "dims": int(result.deltas[k, s].size),
            }
            strips.append(Strip(value, arrays))
    return strips


def _pictures(
    original: Array, frames: Array, ends: tuple[Any, Any] | None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Original and frames in units of the pixel range."""
    if ends is None:
        low, high = float(original.min()), float(original.max())
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high if high > low else low + 1)
    else:
        low, high = ends
    span = np.asarray(high) - np.asarray(low)
    picture = as_picture(torch.from_numpy(np.asarray((original - low) / span, dtype=np.float32))).numpy()
    scaled = np.asarray(frames / span, dtype=np.float32)
    drawn = np.stack([as_picture(torch.from_numpy(frame)).numpy() for frame in scaled])
    packed, scale, shrinks = pack(drawn)
    value = {
        "shape": list(picture.shape),
        "scale": scale,
        "shrinks": shrinks,
        "averaged": int(original.shape[0]) if original.ndim > 2 and original.shape[0] not in {1, 3} else 0,
    }
    original8 = (picture * 255).round().clip(0, 255).astype(np.uint8)
    return value, {"original": original8, "frames": packed}


def _ends(result: Perturbation) -> tuple[Array, Array] | None:
    return None if result.low is None or result.high is None else (result.low, result.high)


def _shown_classes(probabilities: Array, wanted: Sequence[int]) -> list[int]:
    """The classes whose bars are shown: those asked about, and the most probable ones of any step."""
    order = np.argsort(-np.nan_to_num(probabilities).max(0), kind="stable").tolist()
    chosen = [c for c in dict.fromkeys(wanted) if c >= 0]
    chosen += [c for c in order if c not in chosen][: max(0, _CLASSES - len(chosen))]
    return sorted(chosen)


def _named(classes: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    texts = [names[c] if c < len(names) else f"class {c}" for c in classes]
    return [
        {"index": int(c), "name": text}
        for c, text in zip(classes, fields.labels(texts, limit=200), strict=True)
    ]


def in_bytes(strip: Strip) -> int:
    """Size of the arrays of a message."""
    return sum(array.nbytes for array in strip.arrays.values())


def thinned(film: Strip, most: int) -> Strip:
    """A film with fewer steps, spread evenly, the best among them, of about ``most`` bytes.

    For the page inside a notebook; where two steps are too large still, two remain.
    """
    count = max((len(strip["shrinks"]) for strip in film.value["strips"]), default=0)
    for keep in (16, 8, 4, 2):
        if in_bytes(film) <= most or count <= 2:
            break
        film = _fewer(film, keep)
        count = min(count, keep)
    return film


def _fewer(film: Strip, keep: int) -> Strip:
    strips, arrays = [], dict(film.arrays)
    for i, value in enumerate(film.value["strips"]):
        count = len(value["shrinks"])
        first = value.get("first", count - 1)
        spread = np.linspace(0, count - 1, min(keep, count)).round().astype(int)
        # The step that is looked at first stays among them, in the place of its neighbour.
        spread[np.abs(spread[1:] - first).argmin() + 1] = first
        kept = np.unique(spread)
        shape = (count, *value["shape"])
        frames = unpack(arrays[f"{i}.frames"], value["scale"], value["shrinks"], shape)[kept]
        # The scale stays, so that nothing is rounded twice.
        arrays[f"{i}.frames"], scale, shrinks = pack(frames, scale=value["scale"])
        changed = {"scale": scale, "shrinks": shrinks, "steps": [value["steps"][k] for k in kept]}
        if "first" in value:
            changed["first"] = int(np.flatnonzero(kept == first)[0])
        for name in ("predictions", "predictionNames", "stepNames"):
            if name in value:
                changed[name] = [value[name][k] for k in kept]
        if f"{i}.probabilities" in arrays:
            arrays[f"{i}.probabilities"] = arrays[f"{i}.probabilities"][kept]
        strips.append({**value, **changed})
    return Strip({**film.value, "strips": strips}, arrays)


def paper_radii(dims: int) -> Mapping[str, float]:
    """Radii to begin with: the paper's l2 radius 12 on 3 x 224 x 224 pixels, scaled to these dimensions."""
    l2 = 12 / (224 * math.sqrt(3)) * math.sqrt(dims)
    return {name: float(f"{norm.radius(l2, dims):.2g}") for name, norm in NORMS.items()}
