"""Quadratic models over lists of entries: one over all classes while it is small, else one for each class."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.sparse.rows.row_source import Indices
from sparse_debug_widgets.sparse.solvers.working_set.compact import loops
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Entries, Float64, Mask
from sparse_debug_widgets.sparse.solvers.working_set.compact.loops import Float32
from sparse_debug_widgets.sparse.solvers.working_set.compact.rows import Rows
from sparse_debug_widgets.sparse.solvers.working_set.kernels import coordinate_descent

_RIDGE = 1e-4
_SWEEPS, _CLASS_SWEEPS = 200, 100


class Quadratic(NamedTuple):
    """The quadratic of a model over its entries.

    Attributes:
        weights: (e,).
        slopes: Gradient (e,) of the loss.
        l1: (e,) factors of absolute values; 0 for intercepts.
        l2: (e,) factors of half the squares.
    """

    weights: Float64
    slopes: Float64
    l1: Float64
    l2: Float64

    def narrow(self) -> tuple[Float32, Float32, Float32, Float32]:
        """Slopes, weights, l1 and l2 in float32, as coordinate descent wants them."""
        parts = self.slopes, self.weights, self.l1, self.l2
        slopes, weights, l1, l2 = (np.array(part, np.float32) for part in parts)
        return slopes, weights, l1, l2


class CoupledModel:
    """The exact coupled Hessian over all entries; see :mod:`working_set.coupled`.

    Attributes:
        stale: Set when the model has proved wrong.
    """

    def __init__(self) -> None:
        self.stale = True
        self._flat: Indices = np.zeros(0, np.int64)
        self._matrix: Float32 = np.empty((0, 0), np.float32)
        self._response: Float32 | None = None
        self._mass = 0.0

    def require(self, entries: Entries, rows: Rows, response: Float32, max_drift: float) -> None:
        """Make the model cover the entries, with probabilities that have not drifted too far.

        New entries get their products with the probabilities of the others', so that the matrix is the
        Hessian of one point.
        """
        kept = self._response
        if kept is None or self.stale or float(np.abs(response - kept).sum()) > max_drift * self._mass:
            self._response = kept = response
            self._mass = float((response * (1.0 - response)).sum())
            self._flat, self._matrix = self._flat[:0], np.empty((0, 0), np.float32)
            self.stale = False
        elif len(self._flat) == len(entries) and (self._flat == entries.flat).all():
            return
        table = np.full(entries.n_classes * entries.width, -1)
        table[self._flat] = np.arange(len(self._flat))
        size = len(entries)
        out = np.empty((size, size), np.float32)
        operands = (rows.values, kept, rows.share, entries.start, entries.feature)
        loops.couple()(*operands, table[entries.flat], self._matrix, _RIDGE, out)
        self._flat, self._matrix = entries.flat, out

    def solve(self, task: Quadratic, tol: float) -> Float64:
        """The minimum (e,) of the model with the penalty."""
        slopes, point, l1, l2 = task.narrow()
        first = point.copy()
        one = np.float32(1.0)
        coordinate_descent()(self._matrix, slopes, point, l1, l2, one, np.float32(tol), _SWEEPS)
        return np.where(point == first, task.weights, point)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state from which another model repeats this one bit by bit."""
        if self._response is None:
            return {}
        numbers = np.array([self._mass, float(self.stale)])
        return {
            "coupled_flat": self._flat,
            "coupled_matrix": self._matrix,
            "coupled_response": self._response,
            "coupled_numbers": numbers,
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state."""
        if "coupled_flat" not in state:
            return
        self._flat = np.array(state["coupled_flat"], np.int64)
        self._matrix = np.array(state["coupled_matrix"], np.float32)
        self._response = np.array(state["coupled_response"], np.float32)
        mass, stale = np.asarray(state["coupled_numbers"], np.float64).tolist()
        self._mass, self.stale = mass, bool(stale)


class ClassModels:
    """The classes' Hessians ``X_A diag(w) X_A^T / n``, each over the class's own entries A.

    Args:
        n_classes: C.
        n: Examples.

    Attributes:
        matrices: One (a_c, a_c) for each class, over the first a_c of its entries.
        stale: (C,) classes whose model has proved wrong.
    """

    def __init__(self, n_classes: int, n: int) -> None:
        self.matrices: list[Float32] = [np.empty((0, 0), np.float32)] * n_classes
        self.stale: Mask = np.ones(n_classes, np.bool_)
        self._curvatures = np.zeros((n_classes, n), np.float32)

    def keep(self, entries: Entries, kept: Mask) -> None:
        """Restrict the models to those of their entries where a mask (e,) holds."""
        for c, part in enumerate(np.split(kept, entries.start[1:-1])):
            held = self.matrices[c]
            chosen = np.flatnonzero(part[: len(held)])
            if len(chosen) < len(held):
                self.matrices[c] = np.ascontiguousarray(held[np.ix_(chosen, chosen)])

    def require(self, entries: Entries, rows: Rows, curvatures: Float32, max_drift: float) -> None:
        """Make the models cover the entries, with curvatures (C, n) that have not drifted too far."""
        drift = np.abs(curvatures - self._curvatures).sum(1)
        fresh = self.stale | (drift > max_drift * curvatures.sum(1))
        self._curvatures[fresh] = curvatures[fresh]
        self.stale = np.zeros_like(self.stale)
        grow = loops.grow()
        for c, feature in enumerate(np.split(entries.feature, entries.start[1:-1])):
            held = 0 if fresh[c] else len(self.matrices[c])
            if held < len(feature):
                out = np.empty((len(feature), len(feature)), np.float32)
                out[:held, :held] = self.matrices[c][:held, :held]
                grow(rows.values, self._curvatures[c], feature, held, out)
                self.matrices[c] = out

    def solve(
        self, entries: Entries, task: Quadratic, *, damping: float, tol: float
    ) -> tuple[Float64, Float64]:
        """The minimum (e,) of each class's model with the others held fixed.

        Returns:
            New weights, and ``d' H_c d`` (C,) of the step d.
        """
        slopes, point, l1, l2 = task.narrow()
        first, before = point.copy(), slopes.copy()
        descend, scale, limit = coordinate_descent(), np.float32(damping), np.float32(tol)
        for matrix, (low, high) in zip(self.matrices, pairwise(entries.start.tolist()), strict=True):
            part = slice(low, high)
            descend(matrix, slopes[part], point[part], l1[part], l2[part], scale, limit, _CLASS_SWEEPS)
        products = (point - first) * (slopes - before)
        bent = np.add.reduceat(products.astype(np.float64), entries.start[:-1]) / damping
        return np.where(point == first, task.weights, point), bent

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state from which other models repeat these bit by bit."""
        held = {f"matrix_{c}": matrix for c, matrix in enumerate(self.matrices) if len(matrix)}
        return {**held, "curvatures_held": self._curvatures, "stale_models": self.stale}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state."""
        self._curvatures = np.array(state["curvatures_held"], np.float32)
        self.stale = np.array(state["stale_models"], np.bool_)
        for c in range(len(self.matrices)):
            if f"matrix_{c}" in state:
                self.matrices[c] = np.array(state[f"matrix_{c}"], np.float32)
