"""One pass over activations: the extremes of each feature, in all and per class, and its histogram."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.interpret.deep.examples import PICTURES, SENTENCES, Examples
from sparse_debug_widgets.interpret.deep.units import FeatureUnits
from sparse_debug_widgets.interpret.prototypes.topk import StreamedHistogram, TopK

Array = npt.NDArray[Any]
_WHAT = "prototypes"


class Batch(NamedTuple):
    """Raw activations (b, F), numbers of their rows, labels."""

    values: Array
    rows: Array
    labels: Array


class Scan:
    """One pass over activations: extremes in all and per class, and the histogram."""

    def __init__(
        self,
        units: FeatureUnits,
        columns: Array | None,
        class_names: tuple[str, ...],
        k: int,
        *,
        per_class: bool,
    ) -> None:
        self.units, self.class_names, self.k = units, class_names, k
        self.columns: Array = np.arange(units.p) if columns is None else columns
        self.per_class = per_class
        self.n, self.classes = 0, len(class_names)
        self._rows: list[Array] = []
        self._labels: list[Array] = []
        self._ends: list[TopK] = []
        self._class_ends: list[TopK] = []
        self._histogram: StreamedHistogram | None = None
        self._at_minimum: Array = np.zeros(0, np.int64)

    def update(self, batch: Batch) -> None:
        """Take in a batch of raw activations."""
        values = np.asarray(batch.values, np.float64)
        n_features = values.shape[1]
        if self._histogram is None:
            self._histogram = StreamedHistogram(n_features)
            self._ends = [TopK(n_features, 1, self.k) for _ in range(2)]
            self._at_minimum = np.zeros(n_features, np.int64)
        before = self._histogram.low.copy()
        self._histogram.update(values)
        low = self._histogram.low
        self._at_minimum = np.where(low < before, 0, self._at_minimum) + (values == low).sum(0)
        whole = np.zeros(len(values), np.int64)
        for end, sign in zip(self._ends, (1, -1), strict=True):
            end.update(sign * values, batch.rows, whole)
        self._rows.append(batch.rows)
        self._labels.append(batch.labels)
        self.n += len(values)
        if self.per_class and batch.labels.min() >= 0:
            self._update_classes(values, batch)

    def _update_classes(self, values: Array, batch: Batch) -> None:
        self.classes = max(self.classes, int(batch.labels.max()) + 1)
        if not self._class_ends:
            self._class_ends = [TopK(values.shape[1], self.classes, self.k) for _ in range(2)]
        for end, sign in zip(self._class_ends, (1, -1), strict=True):
            end.reserve(self.classes)
            end.update(sign * values, batch.rows, batch.labels)

    def finish(self, examples: Examples | None) -> dict[str, Any]:
        """The fields of ``Prototypes``, in standardised units."""
        histogram, columns = self._histogram, self.columns
        if histogram is None:
            reject("data", _WHAT, "hold at least one example", "none")
        counts, edges = histogram.finish()
        mean, scale = self.units.mean[columns], self.units.scale[columns]
        constant = (histogram.low == histogram.high) | ~self.units.alive[columns]
        (top, top_values), (bottom, bottom_values) = (
            self._end(end, sign, constant) for end, sign in zip(self._ends, (1, -1), strict=True)
        )
        both = np.stack([top[:, 0], bottom[:, 0]], 1)
        shown = np.unique(both[both >= 0])
        form = None if examples is None else examples.form
        classes: list[Array | None] = [None] * 4
        if self._class_ends:
            ends = zip(self._class_ends, (1, -1), strict=True)
            classes = [array for end, sign in ends for array in self._end(end, sign, constant)]
        return {
            "features": columns,
            "feature_names": tuple(self.units.names[j] for j in columns),
            "class_names": self.class_names,
            "n": self.n,
            "top": top[:, 0],
            "top_activations": top_values[:, 0],
            "bottom": bottom[:, 0],
            "bottom_activations": bottom_values[:, 0],
            "class_top": classes[0],
            "class_top_activations": classes[1],
            "class_bottom": classes[2],
            "class_bottom_activations": classes[3],
            "labels": self._labels_of(both),
            "counts": counts,
            "edges": (edges - mean[:, None]) / scale[:, None],
            "at_minimum": self._at_minimum,
            "constant": constant,
            "shown_rows": shown if examples is not None else shown[:0],
            # Of series and rows of numbers there is nothing to look at; their numbers say which they are.
            "pictures": examples.pictures(shown.tolist()) if examples and form == PICTURES else None,
            "sentences": examples.sentences(shown.tolist()) if examples and form == SENTENCES else None,
        }

    def _labels_of(self, rows: Array) -> npt.NDArray[np.int64]:
        known, labels = np.concatenate(self._rows), np.concatenate(self._labels)
        place = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        return np.where(rows >= 0, labels[place], -1)

    def _end(self, end: TopK, sign: int, constant: Array) -> tuple[Array, Array]:
        missing = (end.rows < 0) | constant[:, None, None]
        columns = self.columns
        raw = np.where(missing, np.nan, sign * end.values)
        mean, scale = self.units.mean[columns], self.units.scale[columns]
        standard = (raw - mean[:, None, None]) / scale[:, None, None]
        return np.where(missing, -1, end.rows), standard
