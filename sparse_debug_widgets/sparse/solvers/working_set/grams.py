"""The classes' models on the CPU: matrices of exactly their sizes, and compiled coordinate descent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows.row_source import Indices, RowSource
from sparse_debug_widgets.sparse.solvers.working_set.class_models import ClassModels
from sparse_debug_widgets.sparse.solvers.working_set.kernels import coordinate_descent
from sparse_debug_widgets.sparse.solvers.working_set.point import View
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import BlockPreconditioner, factorised
from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SWEEPS = 100
_MENDED = 200
"""Entries from which on a model is worth mending."""
_REST = 0.1
"""Drift that may stay when a model is mended."""
_WORTH = 0.6
"""Share of the examples up to which mending is cheaper than building."""
_STEPS = 12


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
        self.matrix = np.ascontiguousarray(matrix, np.float32)

    def shrink(self, wanted: Mask) -> None:
        """Forget entries that are no longer wanted, once they are many."""
        if len(self.entries) > 1.5 * int(wanted.sum()) + 16:
            keep = np.flatnonzero(wanted[self.entries])
            self.matrix = np.ascontiguousarray(self.matrix[np.ix_(keep, keep)])
            self.entries = self.entries[keep]
            self.held &= wanted

    def grow(self, missing: Indices, border: Float32) -> None:
        """Add entries (b,), given their products (b, a + b) with all, those held first."""
        held = len(self.entries)
        self.entries = np.concatenate([self.entries, missing])
        matrix = np.empty((len(self.entries), len(self.entries)), np.float32)
        matrix[:held, :held] = self.matrix
        matrix[held:] = border
        matrix[held:, held:] = 0.5 * (border[:, held:] + border[:, held:].T)
        matrix[:held, held:] = border[:, :held].T
        self.matrix = matrix
        self.held[missing] = True


class Grams(ClassModels):
    """See :class:`ClassModels`.

    Attributes:
        classes: One Gram matrix per class.
    """

    def __init__(self, n_classes: int, source: RowSource) -> None:
        super().__init__(n_classes, source)
        self.classes = [ClassGram() for _ in range(n_classes)]

    def _cover(self, wanted: Tensor, fresh: Tensor) -> None:
        masks: Mask = wanted.cpu().numpy()
        is_fresh: Mask = fresh.cpu().numpy()
        built = np.flatnonzero(is_fresh).tolist()
        sets = [np.flatnonzero(masks[c]) for c in built]
        made = self._source.grams(sets, None, self._curvatures[built]) if built else []
        for c, matrix in zip(built, made, strict=True):
            self.classes[c].cover(masks[c], matrix.cpu().numpy())
        grown: list[int] = []
        missing: list[Indices] = []
        for c in np.flatnonzero(~is_fresh).tolist():
            gram = self.classes[c]
            gram.shrink(masks[c])
            new = np.flatnonzero(masks[c] & ~gram.held)
            if len(new):
                grown.append(c)
                missing.append(new)
        if grown:
            right = [
                np.concatenate([self.classes[c].entries, m]) for c, m in zip(grown, missing, strict=True)
            ]
            borders = self._source.grams(missing, right, self._curvatures[grown])
            for c, new, border in zip(grown, missing, borders, strict=True):
                self.classes[c].grow(new, border.cpu().numpy())

    def _mend(self, curvatures: Tensor, mass: Tensor, fresh: Tensor) -> Tensor:
        """Replace the part of the examples whose curvatures changed most: it makes up most of the drift."""
        mended = torch.zeros_like(fresh)
        large = torch.tensor([len(gram.entries) >= _MENDED for gram in self.classes])
        chosen = (fresh & large).nonzero()[:, 0]
        if self._source.whole is None or len(chosen) == 0:
            return mended
        target = self._trimmed(curvatures[chosen], mass[chosen])
        change = target - self._curvatures[chosen]
        size, scale = change.abs(), mass[chosen].to(change.dtype) / self._source.n
        bound = torch.zeros_like(scale)
        for step in range(_STEPS):
            # Thresholds from an eighth of the mean curvature on, by factors of the root of two.
            higher = scale * 0.125 * 2.0 ** (0.5 * step)
            below = torch.where(size <= higher[:, None], size, 0.0).sum(1, dtype=torch.float64)
            bound = torch.where(below <= _REST * mass[chosen], higher, bound)
        changed = torch.where(size > bound[:, None], change, 0.0)
        count = (changed != 0).sum(1)
        # A model that has proved wrong although little has changed is built anew.
        worth = (count > 0) & (count <= _WORTH * (target > 0).sum(1))
        chosen, changed = chosen[worth], changed[worth]
        models = [self.classes[c] for c in chosen.tolist()]
        made = self._source.grams([gram.entries for gram in models], None, changed)
        for gram, products in zip(models, made, strict=True):
            gram.matrix += products.cpu().numpy()
        self._curvatures[chosen] += changed
        self._mass[chosen] = mass[chosen]
        mended[chosen] = True
        return mended

    def descend(self, rows: WorkingRows, view: View, *, damping: float, tol: float) -> tuple[Tensor, Tensor]:
        """Coordinate descent, class after class."""
        descend = coordinate_descent()
        weights, gradient, strengths = view.weights, view.gradient, view.strengths
        old, slope = weights.cpu().numpy(), gradient.cpu().numpy()
        l1 = strengths.l1.cpu().numpy().astype(np.float32)
        l2 = strengths.l2.cpu().numpy().astype(np.float32)
        position = rows.position.cpu().numpy()
        new = old.copy()
        bent = np.zeros(len(self.classes))
        scale, limit = np.float32(damping), np.float32(tol)
        for c, gram in enumerate(self.classes):
            columns: Indices = position[gram.entries]
            start, point = slope[c, columns].astype(np.float32), old[c, columns].astype(np.float32)
            bound, away = l1[columns], columns < 0
            if away.any():
                # Entries that have left the features at work: a bound that nothing exceeds keeps them at 0.
                start[away], point[away], bound[away] = 0.0, 0.0, 1e30
            model, first = start.copy(), point.copy()
            descend(gram.matrix, model, point, bound, l2[columns], scale, limit, _SWEEPS)
            moved = point != first
            new[c, columns[moved]] = point[moved]
            bent[c] = float((point - first) @ (model - start)) / damping
        return torch.from_numpy(new).to(weights.device), torch.from_numpy(bent).to(weights.device)

    def factorise(self, support: Tensor, l2: float) -> BlockPreconditioner:
        """See :class:`ClassModels`."""
        rows = support.cpu().numpy()
        chosen = [np.flatnonzero(row[gram.entries]) for gram, row in zip(self.classes, rows, strict=True)]
        size = max(len(c) for c in chosen)
        blocks = torch.eye(size, dtype=torch.float32).repeat(len(rows), 1, 1)
        columns = torch.zeros(len(rows), size, dtype=torch.long)
        valid = torch.zeros(len(rows), size, dtype=torch.bool)
        for c, (gram, kept) in enumerate(zip(self.classes, chosen, strict=True)):
            a = len(kept)
            blocks[c, :a, :a] = torch.from_numpy(gram.matrix[np.ix_(kept, kept)])
            columns[c, :a] = torch.from_numpy(gram.entries[kept])
            valid[c, :a] = True
        curvature = torch.tensor([[float(g.matrix[0, 0])] for g in self.classes], dtype=torch.float64)
        scale = 1.0 / (curvature.clamp_min(1e-12) + l2)
        return BlockPreconditioner(factorised(blocks, valid, l2), columns, valid, scale, support.clone())

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ClassModels`."""
        state = super().state()
        for c, gram in enumerate(self.classes):
            if len(gram.entries):
                state[f"entries_{c}"], state[f"matrix_{c}"] = gram.entries, gram.matrix
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """See :class:`ClassModels`."""
        super().restore(state)
        for c, gram in enumerate(self.classes):
            if f"entries_{c}" in state:
                gram.entries, gram.matrix = state[f"entries_{c}"].copy(), state[f"matrix_{c}"].copy()
                gram.held = np.zeros(self._source.p + 1, np.bool_)
                gram.held[gram.entries] = True
