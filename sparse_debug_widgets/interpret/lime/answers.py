"""The findings of LIME about one example, for all features, and the file that keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.interpret.deep.units import FeatureUnits

Array = npt.NDArray[Any]
_SCHEMA = 1
_SHARED = ("r2", "r2_left_out", "stability")


class LimeAnswer(NamedTuple):
    """One example: surrogates of all p features in raw units, and what the model answered.

    Attributes:
        weights: (p, d) effect of each of the d parts.
        intercepts: (p,) answer with every part hidden.
        r2: (p,).
        r2_left_out: (p,).
        stability: (p,) over the seeds; NaN for one.
        raw: (p,) what the model answered to the whole example.
    """

    weights: Array
    intercepts: Array
    r2: Array
    r2_left_out: Array
    stability: Array
    raw: Array


def read_answer(path: Path, kind: str, p: int, d: int) -> LimeAnswer | None:
    """The answer of a file that :func:`write_answer` wrote, or None where there is none to be trusted.

    Args:
        path: The file.
        kind: Of the explanation: pictures or sentences.
        p: Features of the model.
        d: Parts of the example.
    """
    try:
        answer = LimeAnswer(**storage.read(path, kind=kind, schema=_SCHEMA)[1])
    except (FileNotFoundError, storage.StorageError, TypeError):
        # Missing, or half written when the power went: it is computed anew.
        return None
    return answer if _is_sound(answer, p, d) else None


def _is_sound(answer: LimeAnswer, p: int, d: int) -> bool:
    """Say whether arrays are what an explanation of d parts can be; how well it fits may be unknown."""
    shapes = {name: (p, d) if name == "weights" else (p,) for name in LimeAnswer._fields}
    arrays = answer._asdict()
    if any(arrays[name].shape != shape or arrays[name].dtype.kind != "f" for name, shape in shapes.items()):
        return False
    known = all(np.isfinite(arrays[name]).all() for name in ("weights", "intercepts", "raw"))
    return known and not any((arrays[name] > 1 + 1e-6).any() for name in _SHARED)


def write_answer(path: Path, kind: str, answer: LimeAnswer) -> None:
    """Keep an answer; an existing file is replaced atomically."""
    storage.write(path, kind=kind, schema=_SCHEMA, head={}, arrays=answer._asdict(), durable=False)


def row_numbers(rows: object, n: int, what: str) -> npt.NDArray[np.int64]:
    """Numbers (n,) to remember n examples by; None for 0 ... n - 1.

    Raises:
        InputError: Not n whole numbers.
    """
    found = np.arange(n) if rows is None else np.asarray(rows)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        reject("rows", what, f"be {n} whole numbers", f"shape {found.shape}, {found.dtype}")
    return found.astype(np.int64)


def common_fields(answers: list[LimeAnswer], columns: Array, units: FeatureUnits) -> dict[str, Any]:
    """Return the fields that explanations of pictures and of sentences have in common, by name."""
    stacked = {name: np.stack([getattr(one, name)[columns] for one in answers]) for name in _SHARED}
    return stacked | {
        "features": columns,
        "feature_names": tuple(units.names[j] for j in columns),
        "intercepts": np.stack([units.standardize(one.intercepts[columns], columns) for one in answers]),
        "activations": np.stack([units.standardize(one.raw[columns], columns) for one in answers]),
    }
