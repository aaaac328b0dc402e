"""The truth about one generated picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ExampleTruth:
    """The truth about one picture.

    Attributes:
        label: class index.
        tagged: whether it carries the mark.
        tag_mask: (64, 64) bool, pixels that the mark changes; all False without it.
        object_mask: (64, 64) bool, the union of the parts.
        part_masks: part name -> (64, 64) bool, visible pixels only; a part outside the picture is all False.
    """

    label: int
    tagged: bool
    tag_mask: NDArray[np.bool_]
    object_mask: NDArray[np.bool_]
    part_masks: Mapping[str, NDArray[np.bool_]]

    @property
    def tag_box(self) -> tuple[int, int, int, int] | None:
        """Top, left, bottom, right (the last two exclusive) of the mark, or None."""
        return _bounds(self.tag_mask)

    @property
    def part_centres(self) -> dict[str, tuple[float, float]]:
        """Part name -> mean row and column of its visible pixels; parts out of sight are left out."""
        return {
            name: (float(rows.mean()) + 0.5, float(columns.mean()) + 0.5)
            for name, (rows, columns) in ((name, np.nonzero(mask)) for name, mask in self.part_masks.items())
            if len(rows)
        }


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1
