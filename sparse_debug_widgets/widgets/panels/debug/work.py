"""The findings behind a Debug panel: what they were made from, examples to look at, and repairs measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.groups import GivenGroups
from sparse_debug_widgets.analysis.common.layers import ClassLayer, Examined, class_layer, examined_rows
from sparse_debug_widgets.analysis.debug.counts import counts_of
from sparse_debug_widgets.analysis.debug.debug_report import Investigation
from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.interpret.deep.examples import PICTURES, SENTENCES, Examples, rgb_bytes
from sparse_debug_widgets.widgets.kit import fields

_SIDE = 160
_TEXT = 600


class Findings:
    """One investigation, to ask for examples and for repairs.

    Args:
        investigation: The report with features, path and data.
        groups: Groups of all rows.
        box: Range of the pictures' pixels, or None.
    """

    def __init__(self, investigation: Investigation, groups: GivenGroups, box: Any) -> None:  # noqa: ANN401
        self.features, self.path, self.report, data, test = investigation
        self._groups, self._box = groups, box
        self._examples = Examples(data, test)
        self._rows: Examined | None = None
        self._layer: ClassLayer | None = None

    def examples(self, errors: Sequence[int]) -> tuple[list[str], npt.NDArray[np.uint8] | None]:
        """Sentences or pictures of some errors.

        Args:
            errors: Their numbers in the report.

        Raises:
            InputError: No such errors.
        """
        if not isinstance(errors, list | tuple):
            reject("errors", "this panel", "be a list of numbers", type(errors).__name__)
        last = len(self.report.error_rows) - 1
        rows = [
            int(self.report.error_rows[check_int(k, "an error", "this panel", low=0, high=last)])
            for k in errors
        ]
        if self.report.form == SENTENCES:
            return [fields.cut(text, _TEXT) for text in self._examples.sentences(rows)], None
        if self.report.form != PICTURES or len({np.shape(self._examples[row]) for row in rows}) != 1:
            return [], None
        pictures = rgb_bytes(self._examples.pictures(rows), self._box)
        step = max(1, -(-max(pictures.shape[1:3]) // _SIDE))
        return [], np.ascontiguousarray(pictures[:, ::step, ::step])

    def repair(self, features: Sequence[int]) -> dict[str, Any]:
        """Measure the sparse layer with some features silenced, on the rows of the report.

        Args:
            features: Their numbers.

        Raises:
            InputError: No such features, or a model that predicts numbers.
        """
        if not isinstance(features, list | tuple):
            reject("features", "a repair", "be a list of numbers", type(features).__name__)
        last = self.path.n_features - 1
        silenced = sorted({check_int(j, "a feature", "a repair", low=0, high=last) for j in features})
        if not self.report.class_names:
            refuse("Repairs are measured for classes, and this model predicts numbers.")
        if self._rows is None or self._layer is None:
            self._rows = examined_rows(self.path, self.features, self.report.split, "a repair")
            self._layer = class_layer(self.path, index=self.report.index)
        rows = self._rows
        layers = {"before": self._layer, "after": self._layer.without(silenced)}
        numbers, names = self._groups.numbers[rows.rows], self._groups.names
        counts = counts_of(layers, rows, self.path.n_classes, numbers, len(names))
        before, after = counts.predictions == rows.labels
        return {
            "silenced": silenced,
            "accuracy": float(after.mean()),
            "mended": int((after & ~before).sum()),
            "broken": int((before & ~after).sum()),
            "classHits": counts.class_hits[1].tolist(),
            "groupHits": counts.group_hits[1].tolist(),
        }
