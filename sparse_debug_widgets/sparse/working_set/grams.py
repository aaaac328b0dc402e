"""Weighted Gram matrices, one per row of the weight matrix: the quadratic model of a class on its own.

For class c with curvatures w_i (``p_ic (1 - p_ic)`` for the multinomial family, times the sample weight) the
model of the loss in that class's weights has the Hessian ``H_c = X_A diag(w) X_A^T / n`` over the class's
working set A, feature 0 being the intercept. Grams are expensive and change slowly, so they are kept along
the path: grown when features enter, and rebuilt once the curvatures have drifted. Examples that a class is
sure about are left out of its Gram; together they hold at most :data:`_NEGLECT` of its curvature.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.row_source import Indices, RowSource

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_NEGLECT = 0.03


class ClassGram:
    """The Gram matrix of one class.

    Attributes:
        entries: Global columns (a,) of its working set; entries[0] is 0, the intercept.
        matrix: H, (a, a) float32, C-contiguous.
        held: (p + 1,) bool, the working set as a mask.
    """

    def __init__(self) -> None:
        self.entries: Indices = np.zeros(0, np.int64)
        self.matrix: Float32 = np.empty((0, 0), np.float32)
        self.held: Mask = np.zeros(0, np.bool_)

    def cover(self, wanted: Mask, matrix: Float32) -> None:
        """Start over with the entries of a mask (p + 1,) and their matrix (a, a)."""
        self.held = wanted.copy()
        self.entries = np.flatnonzero(wanted)
        self.matrix = matrix

    def shrink(self, wanted: Mask) -> None:
        """Forget entries that are no longer wanted, once they are many."""
        if len(self.entries) > 1.5 * int(wanted.sum()) + 16:
            keep = np.flatnonzero(wanted[self.entries])
            self.matrix = np.ascontiguousarray(self.matrix[np.ix_(keep, keep)])
            self.entries = self.entries[keep]
            self.held &= wanted

    def grow(self, missing: Indices, border: Float32) -> None:
        """Add entries (b,), given their products (b, a + b) with the intercept first."""
        held = len(self.entries)
        self.entries = np.concatenate([self.entries, missing])
        matrix = np.empty((len(self.entries), len(self.entries)), np.float32)
        matrix[:held, :held] = self.matrix
        matrix[held:] = border
        matrix[held:, held:] = 0.5 * (border[:, held:] + border[:, held:].T)
        matrix[:held, held:] = border[:, :held].T
        self.matrix = matrix
        self.held[missing] = True


class Grams:
    """The Gram matrices of all classes.

    Args:
        n_classes: Rows C of the weight matrix.
        source: All features, in working precision.

    Attributes:
        classes: One Gram matrix per class.
        stale: (C,) bool: classes whose model has proved wrong; :meth:`require` rebuilds them.
        builds: Matrices computed from nothing so far.
    """

    def __init__(self, n_classes: int, source: RowSource) -> None:
        self.classes = [ClassGram() for _ in range(n_classes)]
        self.stale: Mask = np.ones(n_classes, np.bool_)
        self.builds = 0
        self._source = source
        self._curvatures = torch.zeros(n_classes, source.n_local, dtype=source.dtype, device=source.device)
        self._mass = self._curvatures.new_zeros(n_classes)

    def require(self, wanted: Tensor, curvatures: Tensor, max_drift: float) -> None:
        """Make each class's matrix cover what is wanted, with curvatures that have not drifted too far.

        Args:
            wanted: (C, p + 1) bool; column 0, the intercept, is always wanted.
            curvatures: Present curvatures (C, n), working precision.
            max_drift: Relative l1 change of a class's curvatures that is tolerated.
        """
        masks: Mask = wanted.cpu().numpy()
        fresh = self._refresh(curvatures, max_drift)
        built = np.flatnonzero(fresh).tolist()
        sets = [np.flatnonzero(masks[c]) for c in built]
        made = self._source.grams(sets, None, self._curvatures[built]) if built else []
        for c, matrix in zip(built, made, strict=True):
            self.classes[c].cover(masks[c], matrix.cpu().numpy())
        grown: list[int] = []
        missing: list[Indices] = []
        for c, gram in enumerate(self.classes):
            if not fresh[c]:
                gram.shrink(masks[c])
                if (masks[c] & ~gram.held).any():
                    grown.append(c)
                    missing.append(np.flatnonzero(masks[c] & ~gram.held))
        if grown:
            right = [
                np.concatenate([self.classes[c].entries, m]) for c, m in zip(grown, missing, strict=True)
            ]
            borders = self._source.grams(missing, right, self._curvatures[grown])
            for c, new, border in zip(grown, missing, borders, strict=True):
                self.classes[c].grow(new, border.cpu().numpy())

    def _refresh(self, curvatures: Tensor, max_drift: float) -> Mask:
        """Take over the curvatures of classes that have drifted; tells which."""
        both = torch.stack([(curvatures - self._curvatures).abs_().sum(1), curvatures.sum(1)])
        drift, mass = self._source.total(both)
        fresh = (drift > (max_drift + _NEGLECT) * self._mass) | torch.from_numpy(self.stale).to(drift.device)
        chosen = fresh.nonzero()[:, 0]
        if len(chosen):
            part = curvatures[chosen].clamp_min_(1e-10)
            floor = _NEGLECT * mass[chosen, None] / self._source.n
            self._curvatures[chosen] = torch.where(part < floor, 0.0, part)
            self._mass[chosen] = mass[chosen]
            self.builds += len(chosen)
        self.stale[:] = False
        return np.asarray(fresh.cpu().numpy())
