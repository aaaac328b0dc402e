"""Small working sets: one Gram matrix over all classes at once, and one coordinate descent over everything.

With few entries at work the exact coupled model ``H_(cj)(dk) = sum_i s_i p_ic (1[c=d] - p_id) x_ij x_ik / n``
fits into one small matrix. It needs neither per-class models nor Newton steps, which for problems of
interactive size would spend their time on overhead.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses import Loss
from sparse_debug_widgets.sparse.rows.row_source import Indices, RowSource
from sparse_debug_widgets.sparse.solvers.working_set.grams import Float32, Mask
from sparse_debug_widgets.sparse.solvers.working_set.kernels import coordinate_descent
from sparse_debug_widgets.sparse.solvers.working_set.point import View
from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows

LIMIT = 400
"""Entries up to which the coupled model is used."""
_MOST = 800
"""The same where there are at least eight examples for an entry: then the model is well conditioned."""
_WORK = 4_000_000_000
"""Products s^2 n of one matrix beyond which it is not used."""
_RIDGE = 1e-4
_SWEEPS = 200


class CoupledGram:
    """The coupled model over the entries at work; rebuilt when entries enter or curvatures drift.

    Attributes:
        stale: Set when the model has proved wrong.
    """

    def __init__(self) -> None:
        self.stale = True
        self._held: Mask = np.zeros((0, 0), np.bool_)
        self._classes: Indices = np.zeros(0, np.int64)
        self._entries: Indices = np.zeros(0, np.int64)
        self._matrix: Float32 = np.empty((0, 0), np.float32)
        self._response: Tensor | None = None
        self._mass = 0.0

    def state(self) -> dict[str, np.ndarray]:
        """Return the state from which another model repeats this one bit by bit."""
        if self._response is None:
            return {}
        return {
            "coupled_held": self._held,
            "coupled_matrix": self._matrix,
            "coupled_response": self._response.numpy(),
            "coupled_numbers": np.array([self._mass, float(self.stale)]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state, if it has one of this model."""
        if "coupled_held" not in state:
            return
        self._held = state["coupled_held"].astype(np.bool_)
        self._classes, self._entries = np.nonzero(self._held)
        self._matrix = np.array(state["coupled_matrix"], np.float32)
        self._response = torch.from_numpy(np.array(state["coupled_response"]))
        mass, stale = state["coupled_numbers"].tolist()
        self._mass, self.stale = mass, bool(stale)

    def fits(self, wanted: Mask, n: int) -> bool:
        """Say whether the model of these entries (C, p + 1) is small enough."""
        count = int(wanted.sum())
        return count <= max(LIMIT, min(_MOST, n // 8)) and count * count * n <= _WORK

    def require(
        self, wanted: Mask, spare: Mask, loss: Loss, response: Tensor, source: RowSource, max_drift: float
    ) -> None:
        """Make the model cover the wanted entries (C, p + 1), with curvatures that have not drifted too far.

        Args:
            wanted: Entries that must be covered.
            spare: Entries that are covered too if the model has to be built.
            loss: The loss.
            response: Present probabilities (C, n_local).
            source: All features.
            max_drift: Change of the probabilities, relative to the curvature, that is tolerated.
        """
        if not self.stale and self._response is not None and not (wanted & ~self._held).any():
            drift = float(source.total((response - self._response).abs_().sum()))
            if drift <= max_drift * self._mass and int(self._held.sum()) <= 2 * int(wanted.sum()) + 40:
                return
        both = wanted | spare
        self._held = both if self.fits(both, source.n) else wanted
        self._classes, self._entries = np.nonzero(self._held)
        self._response = response
        self._mass = float(source.total((response * (1 - response)).sum()))
        self.stale = False
        self._matrix = self._build(loss, response, source)

    def _build(self, loss: Loss, response: Tensor, source: RowSource) -> Float32:
        features, place = np.unique(np.maximum(self._entries - 1, 0), return_inverse=True)
        classes = torch.from_numpy(self._classes)
        ones, chosen = torch.from_numpy(self._entries == 0), torch.from_numpy(place)
        edges = np.searchsorted(self._classes, np.arange(len(response) + 1)).tolist()
        matrix = torch.zeros(len(classes), len(classes), dtype=source.dtype)
        for part, values in source.parts(torch.from_numpy(features), beside=3 * len(classes)):
            rows = values[chosen].to(source.dtype)
            rows[ones] = 1.0
            likely = rows * response[:, part][classes]
            weighted = likely
            if loss.weights is not None:
                weighted = likely * loss.weights[part].to(likely.dtype)
            matrix.addmm_(weighted, likely.T, alpha=-1.0)
            for low, high in pairwise(edges):
                matrix[low:high, low:high].addmm_(weighted[low:high], rows[low:high].T)
        matrix = source.total(matrix)
        matrix.div_(source.n).diagonal().mul_(1.0 + _RIDGE)
        return np.ascontiguousarray(matrix.float().numpy())

    def step(self, rows: WorkingRows, view: View, tol: float) -> Tensor:
        """New weights (C, m + 1): the minimum of the coupled model.

        Args:
            rows: Features at work.
            view: Where the step starts.
            tol: Largest decrease by any one coordinate in the last sweep.
        """
        columns = rows.position.numpy()[self._entries]
        there = columns >= 0
        old = view.weights.numpy()[self._classes, columns]
        old = np.where(there, old, 0.0).astype(np.float32)
        slope = np.where(there, view.gradient.numpy()[self._classes, columns], 0.0).astype(np.float32)
        # An entry that is not at work may not move: a bound that nothing exceeds keeps it at zero.
        l1 = np.where(there, view.strengths.l1.numpy()[columns], 1e30).astype(np.float32)
        l2 = view.strengths.l2.numpy()[columns].astype(np.float32)
        point = old.copy()
        descend, one = coordinate_descent(), np.float32(1.0)
        descend(self._matrix, slope, point, l1, l2, one, np.float32(tol), _SWEEPS)
        new = view.weights.clone()
        moved = there & (point != old)
        new.numpy()[self._classes[moved], columns[moved]] = point[moved]
        return new
