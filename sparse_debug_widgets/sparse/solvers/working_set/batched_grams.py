"""The classes' models on any device: matrices padded to one size, and batched products in place of loops.

The block step is FISTA with restarts, all classes at once: on a GPU a batched product costs little more than
one class's, while coordinate descent would be thousands of tiny kernels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows.row_source import RowSource
from sparse_debug_widgets.sparse.solvers.working_set.class_models import ClassModels
from sparse_debug_widgets.sparse.solvers.working_set.point import View
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import BlockPreconditioner, factorised
from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows

_ITERATIONS = 400
_LOOK_EVERY = 8
_BUCKET = 32
"""Sizes are rounded up to a multiple of this, so that memory is seldom allocated anew."""
_POWER = 6


class BatchedGrams(ClassModels):
    """See :class:`ClassModels`.

    Attributes:
        columns: Global columns (C, a) of the entries, ascending; -1 where padded.
        matrices: (C, a, a), the identity where padded.
    """

    def __init__(self, n_classes: int, source: RowSource) -> None:
        super().__init__(n_classes, source)
        self.columns = torch.zeros(n_classes, 1, dtype=torch.long, device=source.device)
        self.matrices = torch.ones(n_classes, 1, 1, dtype=source.dtype, device=source.device)
        self._held = torch.zeros(n_classes, source.p + 1, dtype=torch.bool, device=source.device)

    def _cover(self, wanted: Tensor, fresh: Tensor) -> None:
        many = self._held.sum(1) > 1.5 * wanted.sum(1) + 16
        kept = self._held & ~fresh[:, None] & (wanted | ~many[:, None])
        if not bool(fresh.any()) and not bool((wanted & ~kept).any()) and not bool(many.any()):
            return
        missing = wanted & ~kept
        self._lay_out(kept, kept | wanted)
        built = fresh.nonzero()[:, 0]
        if len(built):
            self.matrices[built] = self._products(built, self.columns[built], None)
        grown = (missing.any(1) & ~fresh).nonzero()[:, 0]
        if len(grown):
            self._border(grown, missing[grown])
        padded = self.columns < 0
        self.matrices.diagonal(dim1=1, dim2=2).masked_fill_(padded, 1.0)

    def _lay_out(self, kept: Tensor, held: Tensor) -> None:
        """Make room for the entries held (C, p + 1); those kept keep their products."""
        columns = compact(held, _BUCKET)
        place = torch.full(held.shape, -1, dtype=torch.long, device=held.device)
        old_width = self.columns.shape[1]
        numbers = torch.arange(old_width, device=held.device).expand(len(held), -1)
        valid = self.columns >= 0
        row = torch.arange(len(held), device=held.device)[:, None].expand_as(valid)
        place[row[valid], self.columns[valid]] = numbers[valid]
        place[~kept] = -1
        source = torch.where(columns >= 0, place.gather(1, columns.clamp_min(0)), -1)
        inside = source >= 0
        index = source.clamp_min(0)
        matrices = self.matrices[row[:, :1, None], index[:, :, None], index[:, None, :]]
        self.matrices = matrices * (inside[:, :, None] & inside[:, None, :])
        self.columns, self._held = columns, held

    def _products(self, classes: Tensor, left: Tensor, right: Tensor | None) -> Tensor:
        return self._source.padded_grams(left, right, self._curvatures[classes])

    def _border(self, classes: Tensor, missing: Tensor) -> None:
        """Products of missing entries (k, p + 1) with everything their classes hold."""
        new = compact(missing, 1)
        border = self._products(classes, new, self.columns[classes])
        place = torch.zeros_like(missing, dtype=torch.long)
        held = self.columns[classes]
        width = torch.arange(held.shape[1], device=held.device).expand_as(held)
        # Padding writes to column 0, the intercept's, which is set right after.
        place.scatter_(1, held.clamp_min(0), width)
        place[:, 0] = 0
        valid = new >= 0
        k, i = valid.nonzero(as_tuple=True)
        slot = place[k, new[k, i]]
        self.matrices[classes[k], slot] = border[k, i]
        self.matrices[classes[k], :, slot] = border[k, i]

    def descend(self, rows: WorkingRows, view: View, *, damping: float, tol: float) -> tuple[Tensor, Tensor]:
        """Accelerated proximal gradient steps on all classes' models at once."""
        dtype = self.matrices.dtype
        index = rows.position[self.columns.clamp_min(0)]
        valid = (self.columns >= 0) & (index >= 0)
        index = index.clamp_min(0)
        start = view.weights.gather(1, index).mul_(valid).to(dtype)
        slope = view.gradient.gather(1, index).mul_(valid).to(dtype)
        l1 = torch.where(valid, view.strengths.l1[index], 0.0).to(dtype)
        l2 = view.strengths.l2[index].to(dtype)
        step = 1.0 / (damping * self._norms()[:, None] + l2)
        low, shrink = -step * l1, 1.0 - step * l2
        x, y, momentum = start, start, 1.0
        for iteration in range(1, _ITERATIONS + 1):
            bent = damping * torch.bmm((y - start)[:, None], self.matrices)[:, 0]
            moved = torch.addcmul(y * shrink, step, slope + bent, value=-1.0)
            new = (moved - torch.minimum(torch.maximum(moved, low), -low)) * valid
            change = new - x
            if iteration % _LOOK_EVERY == 0:
                if float((change.square() / step).max()) <= tol:
                    x = new
                    break
                if float(((y - new) * change).sum()) > 0.0:
                    momentum = 1.0
            following = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
            y = torch.add(new, change, alpha=(momentum - 1.0) / following)
            x, momentum = new, following
        step_taken = x - start
        bent = torch.bmm(step_taken[:, None], self.matrices)[:, 0]
        weights = view.weights.clone()
        k, i = (valid & (step_taken != 0)).nonzero(as_tuple=True)
        weights[k, index[k, i]] = x[k, i].double()
        return weights, (step_taken * bent).sum(1, dtype=torch.float64)

    def _norms(self) -> Tensor:
        """Bounds (C,) of the largest eigenvalues: of the power method's vector v, ``max (|H| v)_i / v_i``."""
        positive = self.matrices.abs()
        positive.diagonal(dim1=1, dim2=2).masked_fill_(self.columns < 0, 0.0)
        vector = torch.ones(len(positive), 1, positive.shape[1], dtype=positive.dtype, device=positive.device)
        for _ in range(_POWER):
            vector = torch.bmm(vector, positive)
            vector /= vector.amax(2, keepdim=True).clamp_min(1e-30)
            vector.clamp_min_(1e-3)
        # Collatz-Wielandt: for a positive vector this bounds the spectral radius of a non-negative matrix.
        return (torch.bmm(vector, positive) / vector).amax((1, 2)).clamp_min(1e-20)

    def factorise(self, support: Tensor, l2: float) -> BlockPreconditioner:
        """See :class:`ClassModels`."""
        chosen = support.gather(1, self.columns.clamp_min(0)) & (self.columns >= 0)
        order = compact(chosen, 1)
        valid, index = order >= 0, order.clamp_min(0)
        row = torch.arange(len(order), device=order.device)[:, None, None]
        blocks = self.matrices[row, index[:, :, None], index[:, None, :]]
        blocks = blocks * (valid[:, :, None] & valid[:, None, :])
        blocks.diagonal(dim1=1, dim2=2).masked_fill_(~valid, 1.0)
        columns = torch.where(valid, self.columns.gather(1, index), 0)
        scale = 1.0 / (self.matrices[:, :1, 0].double().clamp_min(1e-12) + l2)
        return BlockPreconditioner(factorised(blocks, valid, l2), columns, valid, scale, support.clone())

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ClassModels`."""
        held = {"columns_held": self.columns, "matrices": self.matrices}
        return super().state() | {name: tensor.cpu().numpy() for name, tensor in held.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """See :class:`ClassModels`."""
        super().restore(state)
        self.columns, self.matrices = self._tensor(state["columns_held"]), self._tensor(state["matrices"])
        valid = self.columns >= 0
        row = torch.arange(len(valid), device=valid.device)[:, None].expand_as(valid)
        self._held.fill_(False)
        self._held[row[valid], self.columns[valid]] = True


def compact(mask: Tensor, bucket: int) -> Tensor:
    """Places (C, w) of the True entries of each row of (C, a), ascending; -1 where padded to the width."""
    counts = mask.sum(1)
    width = min(mask.shape[1], -(-max(1, int(counts.max())) // bucket) * bucket)
    order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)[:, :width]
    return torch.where(torch.arange(width, device=mask.device) < counts[:, None], order, -1)
