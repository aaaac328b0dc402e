"""What decision layers say of one example: the model's own, the sparse one, one with silenced features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.widgets import controls
from sparse_debug_widgets.widgets.live import Silenced
from sparse_debug_widgets.widgets.protocols import Path

Floats = npt.NDArray[np.float64]
_SHOWN = 3


def predictions(path: Path, z: Floats, index: int, silenced: Sequence[Silenced]) -> dict[str, Any]:
    """Answers of three layers to one example.

    Args:
        path: The path.
        z: (p,) deep features, in the path's units.
        index: Which sparse layer.
        silenced: Features held at their mean, that is at 0 in these units.

    Returns:
        ``own`` (None where the path does not know the model's layer), ``sparse`` and ``silenced``: each with
        ``top``, pairs (class, probability), most probable first, and ``scores``, all logits.
    """
    weights, intercepts = path.weights_at(index), path.intercepts_at(index)
    quiet = weights.copy()
    for feature, row in silenced:
        quiet[slice(None) if row is None else row, feature] = 0.0
    own = None
    if path.dense_weight is not None and path.dense_bias is not None:
        own = _said(path, np.asarray(path.dense_weight) @ z + np.asarray(path.dense_bias))
    return {
        "own": own,
        "sparse": _said(path, weights @ z + intercepts),
        "silenced": _said(path, quiet @ z + intercepts) if silenced else None,
    }


def _said(path: Path, scores: Floats) -> dict[str, Any]:
    if path.family == "gaussian":
        return {"top": [], "scores": scores.tolist()}
    logits = np.array([0.0, scores[0]]) if len(scores) == 1 else scores
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    names = path.class_names
    best = np.argsort(-shares, kind="stable")[:_SHOWN]
    top = [[int(c), controls.cut(str(names[c]), 200), float(shares[c])] for c in best]
    return {"top": top, "scores": scores.tolist()}
