"""A path while it is being solved, as the page draws it: a few numbers a lambda and the strongest curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.widgets.kit import wire

if TYPE_CHECKING:
    from sparse_debug_widgets.sparse.path.records import LambdaPiece

CURVES = 10


class Growth:
    """The part of a path that is solved so far; each lambda is read once, when it comes.

    Args:
        run: Number of the fit.
        n_features: p.
        class_index: The class whose coefficient paths are drawn.
        family: What the labels are.
    """

    def __init__(self, run: int, n_features: int, class_index: int, family: str = "multinomial") -> None:
        self.run = run
        self.class_index = class_index
        self._family = FAMILIES[family]
        self.total = 0
        self.tol = 0.0
        self._seen = 0
        self._numbers: list[tuple[float, ...]] = []
        self._weights: list[npt.NDArray[np.float32]] = []
        self._strength = np.zeros(n_features, np.float32)

    def update(self, pieces: Sequence[LambdaPiece]) -> bool:
        """Take in what is new; whether there was anything."""
        new = pieces[self._seen :]
        for piece in new:
            self._take(piece)
        self._seen = len(pieces)
        return bool(new)

    def _take(self, piece: LambdaPiece) -> None:
        record = piece.record
        self.total, self.tol = piece.n_requested, piece.tol
        counts = record.row_nonzeros
        row, sign = self._family.place(self.class_index)
        row = min(row, len(counts) - 1)
        self._numbers.append((piece.lambda_, record.gap, float(counts.mean()), *record.accuracies.tolist()))
        start = int(counts[:row].sum())
        part = slice(start, start + int(counts[row]))
        weights = np.zeros(len(self._strength), np.float32)
        weights[record.indices[part]] = sign * record.data[part]
        self._weights.append(weights)
        np.maximum(self._strength, np.abs(weights), out=self._strength)

    def content(self, feature_names: Sequence[str]) -> tuple[dict[str, Any], dict[str, wire.Array]]:
        """JSON value and arrays for the page."""
        order = np.argsort(-self._strength, kind="stable")[:CURVES]
        chosen = np.sort(order[self._strength[order] > 0])
        value: dict[str, Any] = {
            "total": self.total,
            "tol": self.tol,
            "classIndex": self.class_index,
            "names": [feature_names[j][:200] for j in chosen.tolist()],
        }
        table = np.array(self._numbers, np.float64).reshape(-1, 6)
        shape = (len(self._weights), len(chosen))
        curves = np.array([weights[chosen] for weights in self._weights], np.float32).reshape(shape)
        arrays: dict[str, wire.Array] = {
            "lambdas": table[:, 0],
            "gaps": table[:, 1].astype(np.float32),
            "means": table[:, 2].astype(np.float32),
            "accuracies": table[:, 3:].astype(np.float32),
            "curves": np.ascontiguousarray(curves.T),
        }
        return value, arrays
