"""Data sets of pictures that are painted when they are first asked for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

_BLOCK = 50


class PaintedDataset(Dataset[tuple[Tensor, int]]):
    """Items are (float32 (3, 64, 64) in [0, 1], class index).

    Pixels are painted when first asked for, fifty pictures at a time, and kept as bytes (12 kB a picture).
    Subclasses set ``labels``, call ``_forget`` and paint.
    """

    labels: NDArray[np.int64]
    _blocks: dict[int, NDArray[np.uint8]]

    @abstractmethod
    def _paint(self, members: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures (m, 3, 64, 64) of some rows."""

    def _forget(self) -> None:
        self._blocks = {}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        i = self.position(index)
        block, within = divmod(i, _BLOCK)
        if block not in self._blocks:
            self._blocks[block] = self._paint(np.arange(block * _BLOCK, min((block + 1) * _BLOCK, len(self))))
        return torch.from_numpy(self._blocks[block][within] / np.float32(255)), int(self.labels[i])

    def __getstate__(self) -> dict[str, Any]:
        # Workers paint for themselves: cheaper than sending pixels.
        return {**self.__dict__, "_blocks": {}}

    def position(self, index: int) -> int:
        """A row as a number from 0; negative ones count from the end.

        Raises:
            IndexError: There is no such row; it ends iteration over a map-style data set.
        """
        i = int(index)
        if not -len(self) <= i < len(self):
            message = f"index {i} is not compatible with {self!r}: it must be below {len(self)}."
            raise IndexError(message)
        return i % len(self)
