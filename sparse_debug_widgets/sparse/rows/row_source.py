"""The rows of the features as a path solver sees them: the one interface through which it touches examples.

Everything a solver asks is a sum over examples. A matrix in memory, memory-mapped chunks, and rows that are
shared out over processes answer the same questions, so a solver never knows which of them it works on.
Per-example arrays are ``(C, n_local)``, the examples of this process; ``n`` counts all examples, and is what
sums are divided by. Sums that leave a source have gone through :meth:`RowSource.total`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]

Total = Callable[[Tensor], Tensor]
"""Turns a sum over this process's examples into the sum over all; every process must call it alike."""


def alone(partial: Tensor) -> Tensor:
    """The :data:`Total` of a process that has all the examples."""
    return partial


class Block(ABC):
    """Some features of a source, ready for products; the working set of a solver."""

    @abstractmethod
    def predict(self, weights: Tensor) -> Tensor:
        """``weights @ X``, (C, n_local), of weights (C, m), in the precision of the source."""

    @abstractmethod
    def gradient(self, residuals: Tensor, wanted: Tensor | None = None) -> Tensor:
        """``residuals @ X.T``, (C, m) float64, of (C, n_local); neither totalled nor divided by n.

        Args:
            residuals: (C, n_local).
            wanted: Entries (C, m) bool that matter; what the others are is not said. All if None.
        """

    @abstractmethod
    def grown(self, features: Tensor) -> Block:
        """The block with further features (b,) int64 after those that it has; the old one is used up."""


class RowSource(ABC):
    """Standardised features of the training examples.

    Attributes:
        p: Features.
        n: Examples, of all processes together.
        n_local: Examples of this process.
    """

    p: int
    n: int
    n_local: int

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Storage precision."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of products and of per-example arrays."""

    @property
    def whole(self) -> Tensor | None:
        """The matrix (p, n), if all of it is in the memory of this one process."""
        return None

    def affords(self, numbers: int) -> bool:
        """Say whether a solver that asks for no blocks may keep so many float64 numbers; alike everywhere."""
        return numbers >= 0

    @property
    @abstractmethod
    def copy_share(self) -> float:
        """Share of the features up to which a block of them is cheaper than all of them; alike everywhere."""

    def total(self, partial: Tensor) -> Tensor:
        """The sum over all examples, given the sum over this process's; may overwrite its argument."""
        return partial

    @abstractmethod
    def logits(self, weights: Tensor) -> Tensor:
        """Predictions without the intercept, (C, n_local) float64, from weights (C, p), all in float64."""

    @abstractmethod
    def gradient(self, residuals: Tensor) -> Tensor:
        """``residuals @ X.T / n``, (C, p) float64, of weighted residuals (C, n_local), all in float64."""

    @abstractmethod
    def quick_logits(self, weights: Tensor) -> Tensor:
        """Like :meth:`logits`, but products may be as precise as the storage, if sums of them are float64."""

    @abstractmethod
    def quick_gradient(self, residuals: Tensor) -> Tensor:
        """Like :meth:`gradient`, but products may be as precise as the storage, if their sums are float64."""

    @abstractmethod
    def working(self, dtype: torch.dtype) -> RowSource:
        """The same rows in the precision that steps are computed in; itself where that is its own."""

    @abstractmethod
    def block(self, features: Tensor) -> Block:
        """A block of some features (m,) int64, in this order."""

    @abstractmethod
    def gather(self, features: Tensor) -> Tensor:
        """The values (m, n_local) of some features (m,) int64 or (p,) bool, in memory, storage precision."""

    def parts(self, features: Tensor, beside: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """The values of some features (m,) int64, a range of examples at a time: which, and (m, k).

        Args:
            features: Which features.
            beside: How many more numbers per example the caller has in memory at the same time.
        """
        yield slice(0, self.n_local), self.gather(features)

    def padded_grams(self, left: Tensor, right: Tensor | None, curvatures: Tensor) -> Tensor:
        """Like :meth:`grams`, for sets that are padded to one size; on the device, all at once.

        Args:
            left: (k, a) int64; 0 is a feature of ones, j + 1 is feature j, -1 is padding.
            right: (k, b) int64, or None for the symmetric products.
            curvatures: (k, n_local).

        Returns:
            (k, a, b), zero where padded.
        """
        sets = [row[row >= 0].cpu().numpy() for row in left]
        others = None if right is None else [row[row >= 0].cpu().numpy() for row in right]
        width = left if right is None else right
        out = curvatures.new_zeros(*left.shape, width.shape[1])
        for k, product in enumerate(self.grams(sets, others, curvatures)):
            out[k, : product.shape[0], : product.shape[1]] = product
        return out

    @abstractmethod
    def grams(
        self, left: Sequence[Indices], right: Sequence[Indices] | None, curvatures: Tensor
    ) -> list[Tensor]:
        """``X_left diag(curvatures_i) X_right.T / n`` for several sets of features at once.

        Args:
            left: k index arrays (a_i,); index 0 is a feature of ones (the intercept), j + 1 is feature j.
            right: As many (b_i,), or None for the symmetric products with ``left`` itself.
            curvatures: (k, n_local), zero for examples that may be left out. Not negative where ``right`` is
                given; what is to be taken off a model may be, where it is not.

        Returns:
            k matrices (a_i, b_i) in the precision of the source.
        """
