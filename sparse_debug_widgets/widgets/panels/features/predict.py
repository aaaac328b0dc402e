"""Predictions for one example: of the model's own layer, the sparse one, and one with silenced features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.widgets.kit import fields
from sparse_debug_widgets.widgets.kit.protocols import Path
from sparse_debug_widgets.widgets.shared.live import Silenced

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
        ``top``, triples (class, name, probability), most probable first, and the ``scores`` of all classes.
    """
    weights, intercepts = path.weights_at(index), path.intercepts_at(index)
    quiet = weights.copy()
    for feature, spoken in silenced:
        rows = slice(None) if spoken is None else FAMILIES[path.family].place(spoken).row
        quiet[rows, feature] = 0.0
    own = None
    if path.dense_weight is not None and path.dense_bias is not None:
        own = _said(path, np.asarray(path.dense_weight) @ z + np.asarray(path.dense_bias))
    return {
        "own": own,
        "sparse": _said(path, weights @ z + intercepts),
        "silenced": _said(path, quiet @ z + intercepts) if silenced else None,
    }


def _said(path: Path, scores: Floats) -> dict[str, Any]:
    kind = FAMILIES[path.family]
    if kind.numbers:
        return {"top": [], "scores": scores.tolist()}
    shares = kind.probabilities(scores)
    names = path.class_names
    best = np.argsort(-shares, kind="stable")[:_SHOWN]
    top = [[int(c), fields.cut(str(names[c]), 200), float(shares[c])] for c in best]
    return {"top": top, "scores": kind.scores(scores).tolist()}
