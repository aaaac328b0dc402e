"""Lists of entries: (class, feature) pairs, class after class, feature 0 being the intercept."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.sparse.rows.row_source import Indices

Mask = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]


class Entries:
    """Some entries of (C, p + 1) matrices; vectors over them are (e,).

    Args:
        flat: Their places (e,) in a flattened matrix, class after class.
        n_classes: C.
        width: p + 1.

    Attributes:
        owner: (e,) classes.
        feature: (e,) features.
        start: (C + 1,) where each class begins.
    """

    def __init__(self, flat: Indices, n_classes: int, width: int) -> None:
        self.flat, self.n_classes, self.width = flat, n_classes, width
        self.owner: Indices = flat // width
        self.feature: Indices = flat - self.owner * width
        self.start: Indices = np.searchsorted(self.owner, np.arange(n_classes + 1)).astype(np.int64)

    @classmethod
    def of(cls, mask: Mask) -> Entries:
        """The entries of a mask (C, p + 1)."""
        return cls(np.flatnonzero(mask), *mask.shape)

    def __len__(self) -> int:
        return len(self.flat)

    @cached_property
    def mask(self) -> Mask:
        """The entries as a mask (C, p + 1); not to be written to."""
        out = np.zeros((self.n_classes, self.width), np.bool_)
        out.ravel()[self.flat] = True
        return out

    @cached_property
    def place(self) -> Indices:
        """Place of each entry of the flattened matrix in this list, or -1; not to be written to."""
        out = np.full(self.n_classes * self.width, -1)
        out[self.flat] = np.arange(len(self.flat))
        return out

    def take(self, matrix: Float64) -> Float64:
        """The entries (e,) of a matrix (C, p + 1)."""
        return matrix.ravel()[self.flat]

    def spread(self, vector: Float64) -> Float64:
        """The matrix (C, p + 1) with these entries and zeros."""
        out = np.zeros((self.n_classes, self.width))
        out.ravel()[self.flat] = vector
        return out

    def chosen(self, kept: Mask) -> Entries:
        """The entries where a mask (e,) holds, in the same order."""
        return Entries(self.flat[kept], self.n_classes, self.width)

    def grown(self, wanted: Mask) -> Entries:
        """These entries, and after each class's own those of a mask (C, p + 1) that are missing."""
        missing = np.flatnonzero(wanted & ~self.mask)
        if len(missing) == 0:
            return self
        both = np.concatenate([self.flat, missing])
        return Entries(both[np.argsort(both // self.width, kind="stable")], self.n_classes, self.width)
