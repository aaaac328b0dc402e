"""Weighted Gram matrices, one per row of the weight matrix: the quadratic model of a class on its own.

For class c with curvatures w_i (``p_ic (1 - p_ic)`` for the multinomial family, times the sample weight) the
model of the loss in that class's weights has the Hessian ``H_c = X_A diag(w) X_A^T / n`` over the class's
working set A, feature 0 being the intercept. Grams are expensive and change slowly, so they are kept along
the path: grown when features enter, and rebuilt once the curvatures have drifted. Examples that a class is
sure about are left out of its Gram; together they hold at most :data:`_NEGLECT` of its curvature.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_NEGLECT = 0.03
_GATHER = 5
"""A product with all features is cheaper than a copy of some when they are at most this many times more."""
_OVERHEAD = 3_000_000
"""Up to this many values of X one product for all classes beats many small ones."""
_BORDER_BYTES = 1 << 26


class ClassGram:
    """The Gram matrix of one class.

    Attributes:
        entries: Global columns (a,) of its working set; entries[0] is 0, the intercept.
        matrix: H, (a, a) float32, C-contiguous.
        held: (p + 1,) bool, the working set as a mask.
        examples: The examples (k,) that it sums over, or None for all.
    """

    def __init__(self) -> None:
        self.entries: Indices = np.zeros(0, np.int64)
        self.matrix: Float32 = np.empty((0, 0), np.float32)
        self.held: Mask = np.zeros(0, np.bool_)
        self.examples: Tensor | None = None

    def build(self, wanted: Mask, curvatures: Tensor, values: Tensor) -> None:
        """Compute the matrix from nothing.

        Args:
            wanted: (p + 1,) bool, the new working set.
            curvatures: (n,), zero for examples that are neglected.
            values: All features, (p, n).
        """
        self.held = wanted.copy()
        self.entries = np.flatnonzero(wanted)
        chosen = torch.from_numpy(self.entries[1:] - 1)
        self.examples = kept = self.examples_of(curvatures)
        if self.examples is None:
            root = curvatures.sqrt()
            rows = values[chosen].mul_(root)
        else:
            root = curvatures[kept].sqrt()
            rows = values[chosen[:, None], kept].mul_(root)
        self.matrix = np.empty((len(self.entries), len(self.entries)), np.float32)
        product = torch.from_numpy(self.matrix)
        _symmetric_product(rows, product[1:, 1:])
        product[0, 1:] = rows @ root
        product[1:, 0] = product[0, 1:]
        product[0, 0] = root.square().sum()
        product /= values.shape[1]

    @staticmethod
    def examples_of(curvatures: Tensor) -> Tensor | None:
        """The examples that count, or None where they are most: then leaving none out is faster."""
        kept = curvatures.nonzero()[:, 0]
        return kept if 2 * len(kept) < len(curvatures) else None

    def shrink(self, wanted: Mask) -> None:
        """Forget entries that are no longer wanted, once they are many."""
        if len(self.entries) > 1.5 * int(wanted.sum()) + 16:
            keep = np.flatnonzero(wanted[self.entries])
            self.matrix = np.ascontiguousarray(self.matrix[np.ix_(keep, keep)])
            self.entries = self.entries[keep]
            self.held &= wanted

    def border(self, missing: Indices, curvatures: Tensor, values: Tensor) -> Float32:
        """Products (b, a + b + 1) of missing entries with the intercept, the working set and themselves."""
        chosen = torch.from_numpy(np.concatenate([self.entries[1:], missing]) - 1)
        if self.examples is None:
            rows, weights = values[chosen], curvatures
        else:
            rows, weights = values[chosen[:, None], self.examples], curvatures[self.examples]
        weighted = rows[len(self.entries) - 1 :] * weights
        out = torch.cat([weighted.sum(1, keepdim=True), weighted @ rows.T], 1)
        return np.asarray(out.div_(values.shape[1]).numpy())

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
        values: All features, (p, n), in working precision.

    Attributes:
        classes: One Gram matrix per class.
        stale: (C,) bool: classes whose model has proved wrong; :meth:`require` rebuilds them.
        builds: Matrices computed from nothing so far.
    """

    def __init__(self, n_classes: int, values: Tensor) -> None:
        self.classes = [ClassGram() for _ in range(n_classes)]
        self.stale: Mask = np.ones(n_classes, np.bool_)
        self.builds = 0
        self._values = values
        self._curvatures = values.new_zeros(n_classes, values.shape[1])
        self._mass = values.new_zeros(n_classes)

    def require(self, wanted: Tensor, curvatures: Tensor, max_drift: float) -> None:
        """Make each class's matrix cover what is wanted, with curvatures that have not drifted too far.

        Args:
            wanted: (C, p + 1) bool; column 0, the intercept, is always wanted.
            curvatures: Present curvatures (C, n), working precision.
            max_drift: Relative l1 change of a class's curvatures that is tolerated.
        """
        masks: Mask = wanted.cpu().numpy()
        fresh = self._refresh(curvatures, max_drift)
        grown: list[tuple[int, Indices]] = []
        for c, gram in enumerate(self.classes):
            if fresh[c]:
                gram.build(masks[c], self._curvatures[c], self._values)
                continue
            gram.shrink(masks[c])
            missing = np.flatnonzero(masks[c] & ~gram.held)
            if len(missing):
                grown.append((c, missing))
        self._grow(grown)

    def _refresh(self, curvatures: Tensor, max_drift: float) -> Mask:
        """Take over the curvatures of classes that have drifted; tells which."""
        drift = (curvatures - self._curvatures).abs_().sum(1)
        fresh = (drift > (max_drift + _NEGLECT) * self._mass) | torch.from_numpy(self.stale).to(drift.device)
        chosen = fresh.nonzero()[:, 0]
        if len(chosen):
            part = curvatures[chosen].clamp_min_(1e-10)
            floor = _NEGLECT * part.mean(1, keepdim=True)
            self._curvatures[chosen] = torch.where(part < floor, 0.0, part)
            self._mass[chosen] = part.sum(1)
            self.builds += len(chosen)
        self.stale[:] = False
        return np.asarray(fresh.cpu().numpy())

    def _grow(self, grown: list[tuple[int, Indices]]) -> None:
        together: list[tuple[int, Indices]] = []
        for c, missing in grown:
            gram = self.classes[c]
            few = gram.examples is None and self._values.shape[0] <= _GATHER * len(gram.entries)
            if few or self._values.numel() <= _OVERHEAD:
                together.append((c, missing))
            else:
                gram.grow(missing, gram.border(missing, self._curvatures[c], self._values))
        limit = max(1, _BORDER_BYTES // (4 * self._values.shape[1]))
        batch: list[tuple[int, Indices]] = []
        for pair in together:
            if batch and sum(len(m) for _, m in batch) + len(pair[1]) > limit:
                self._grow_together(batch)
                batch = []
            batch.append(pair)
        if batch:
            self._grow_together(batch)

    def _grow_together(self, batch: list[tuple[int, Indices]]) -> None:
        """One product for the new entries of several classes."""
        features = torch.from_numpy(np.concatenate([m for _, m in batch]) - 1)
        classes = torch.from_numpy(np.repeat([c for c, _ in batch], [len(m) for _, m in batch]))
        weighted = self._values[features].mul_(self._curvatures[classes])
        products = (weighted @ self._values.T).div_(self._values.shape[1]).numpy()
        sums = (weighted.sum(1) / self._values.shape[1]).numpy()
        low = 0
        for c, missing in batch:
            gram, high = self.classes[c], low + len(missing)
            columns = np.concatenate([gram.entries[1:], missing]) - 1
            gram.grow(missing, np.concatenate([sums[low:high, None], products[low:high][:, columns]], 1))
            low = high


def _symmetric_product(rows: Tensor, out: Tensor, blocks: int = 4) -> None:
    """``rows @ rows.T`` with about half the work for large matrices."""
    size = rows.shape[0]
    if size < 256:
        out.copy_(rows @ rows.T)
        return
    edges = [size * i // blocks for i in range(blocks + 1)]
    for low, high in pairwise(edges):
        block = rows[low:] @ rows[low:high].T
        out[low:, low:high] = block
        out[low:high, low:] = block.T
