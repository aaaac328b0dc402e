"""The Path panel: drag a regularisation path of a decision layer, and put the chosen layer to work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from sparse_debug_widgets.widgets import curves
from sparse_debug_widgets.widgets.base import Export
from sparse_debug_widgets.widgets.path_bound import PathBound
from sparse_debug_widgets.widgets.protocols import Path

if TYPE_CHECKING:
    import torch

# A page inside a notebook shows this many curves in all; to_html() has no limit.
_SMALL_CURVES = 5_200
# Numbers in a page beyond which they are rounded to coarser steps.
_FINE_NUMBERS = 150_000


class PathPanel(PathBound):
    """Coefficient paths, accuracy against sparsity, strongest features, features per class: all draggable.

    Attributes:
        pinned: Index of the pinned lambda, -1 for none.

    Args:
        path: The path to show.
        model: The live model that the path was computed from; needed for "use this layer".
        data: What accuracy is measured on, before and after.
        class_index: The class to begin with.
        index: The lambda to begin with; by default the one of the 5-point rule.
        title: Title of exported pages.
        fallback: See :class:`Panel`.

    Raises:
        InputError: An index out of range, or a model whose decision layer does not fit the path.
    """

    name = "path"

    pinned = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self,
        path: Path,
        model: torch.nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes, or DeepFeatures)
        class_index: int = 0,
        index: int | None = None,
        title: str = "Regularisation path",
        fallback: str = "auto",
    ) -> None:
        super().__init__(
            path, model, data=data, class_index=class_index, index=index, title=title, fallback=fallback
        )

    def adopt(self, path: Path) -> None:
        """See :meth:`PathBound.adopt`."""
        with self.hold_sync():
            self.pinned = -1
            super().adopt(path)

    @traitlets.validate("pinned")
    def _on_the_path(self, proposal: Mapping[str, Any]) -> int:
        return int(min(max(int(proposal["value"]), -1), len(self._path.lambdas) - 1))

    def export(self, *, small: bool = False) -> Export:
        """Everything a page needs to answer its own requests.

        Args:
            small: For the page inside a notebook: past a few thousand curves, only the strongest ones.
        """
        path = self._path
        value = {**self._head(), "model": False, "measurable": False}
        keep = len(path.feature_names)
        if small:
            keep = max(24, _SMALL_CURVES // len(path.class_names))
            value["shortened"] = keep if keep < len(path.feature_names) else 0
        rows = range(len(path.class_names)) if not small else _around(self.class_index, len(path.class_names))
        levels = curves.FINE if int(np.sum(path.n_nonzero)) <= _FINE_NUMBERS else curves.COARSE
        replies = [("class_path", {"index": row}, *self._squeezed(row, keep, levels)) for row in rows]
        state = {
            "idx": self.idx,
            "class_index": self.class_index,
            "pinned": self.pinned,
            "silenced": [list(pair) for pair in self.silenced],
            "live": {},
            "first": {},
        }
        return Export(state, {"head": (value, self._curves())}, replies)


def _around(row: int, n_rows: int, reach: int = 25) -> range:
    """The class that is looked at and its neighbours: a page inside a notebook has at most 50 classes."""
    first = max(0, min(row - reach, n_rows - 2 * reach))
    return range(first, min(n_rows, first + 2 * reach))
