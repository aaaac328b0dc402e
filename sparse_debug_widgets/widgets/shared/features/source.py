"""The source behind the features of a path: examples (pictures, sentences, or rows only) and deep features.

Deep features are in the path's units whatever they were taken from, so that activations, contributions and
weights belong together.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import batches, count_examples, move
from sparse_debug_widgets.core.checks import InputError, check_int, refuse
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.pixels import known_box, normalization, recognised
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.text import TextData, as_text_data, for_model
from sparse_debug_widgets.interpret.deep import examples
from sparse_debug_widgets.interpret.deep.examples import Examples, rgb_bytes
from sparse_debug_widgets.interpret.deep.live import live_features
from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.sparse.features.origin import check_model_of, check_origin
from sparse_debug_widgets.sparse.layer.outputs import as_classes, counted_by
from sparse_debug_widgets.widgets.kit import fields
from sparse_debug_widgets.widgets.kit.protocols import Path
from sparse_debug_widgets.widgets.shared.series import drawn

Bytes = npt.NDArray[np.uint8]
PICTURES, TEXT, SERIES, PLAIN = "pictures", "text", "series", "rows"
_KINDS = {
    examples.PICTURES: PICTURES,
    examples.SENTENCES: TEXT,
    examples.SERIES: SERIES,
    examples.ROWS: PLAIN,
}
_WHAT = "the Features panel"
_IN_MEMORY = 1 << 30
_FIRST_LOOK, _GROWTH = 512, 8


class FeatureSource:
    """Examples and deep features of one path.

    Args:
        path: The path.
        data: A dataset, a loader, ``(X, y)``, sentences with a tokenizer; None for none.
        test: The test data, where deep features were taken with some.
        features: Deep features of these data, if they have been taken.
        tokenizer: For sentences that do not carry one.

    Attributes:
        kind: ``"pictures"``, ``"text"``, ``"series"``, or ``"rows"`` where examples cannot be shown.
        deep: Deep features in the path's units; None until they are taken.
        thumbnails: Small pictures by row, for whoever draws them.

    Raises:
        InputError: Features of another layer, or sentences without a tokenizer.
    """

    def __init__(
        self,
        path: Path,
        data: Any = None,  # noqa: ANN401 (see above)
        *,
        test: Any = None,  # noqa: ANN401 (likewise)
        features: DeepFeatures | None = None,
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
        normalize: Any = None,  # noqa: ANN401 (see core.pixels)
    ) -> None:
        if isinstance(data, DeepFeatures):
            data, features = None, data
        self.said, self.tokenizer = data, tokenizer
        if tokenizer is not None:
            data, test = (None if part is None else as_text_data(part, tokenizer) for part in (data, test))
        self.path = path
        self.data, self.test = data, test
        self.normalize, self._box = normalize, known_box(normalize, data)
        self.normalization = normalization(normalize) or recognised(data)
        self.given = features
        self.thumbnails: dict[int, Bytes] = {}
        self.deep = None if features is None else in_units_of(path, features)
        self._examples: Examples | None = None
        try:
            # Data that only flow by, or mappings, are read all the same: there is nothing to show of them.
            self._examples = None if data is None else Examples(data, test)
        except InputError:
            self._examples = None
        self.kind = self._kind()
        if features is not None and self.data is not None:
            check_origin(features, self.data, self.test)

    def _kind(self) -> str:
        if self._examples is None or not len(self._examples):
            return PLAIN
        return _KINDS[self._examples.form]

    @property
    def pictured(self) -> bool:
        """True if examples are shown as pictures: series are, as their curves."""
        return self.kind in {PICTURES, SERIES}

    # -- examples --------------------------------------------------------------------------------------

    def sentence(self, row: int) -> str:
        """The sentence of a row; empty where examples are none."""
        return str(self._examples[row]) if self._examples is not None and self.kind == TEXT else ""

    def picture(self, row: int) -> npt.NDArray[np.float32]:
        """The picture of a row (channels, H, W)."""
        if self._examples is None:
            refuse("This panel has no pictures: pass data= to it.")
        return np.asarray(self._examples.pictures([row])[0])

    def bytes_of(self, row: int) -> Bytes:
        """The picture of a row as colours (H, W, 3); of a series its curves."""
        if self.kind == SERIES and self._examples is not None:
            return np.repeat(drawn(self._examples.arrays([row]))[0].transpose(1, 2, 0), 3, axis=2)
        return np.asarray(rgb_bytes(self.picture(row)[None], self._box)[0])

    def about(self, row: int) -> dict[str, Any]:
        """Return what is known of an example: its row and class."""
        label = -1
        if self.deep is not None and self.deep.labels.dtype.kind in "iu":
            label = int(self.deep.labels[row])
        return {"row": int(row), "label": label, "labelName": fields.cut(self.class_name(label), 200)}

    def class_name(self, label: int) -> str:
        """Name of a class; empty for none."""
        names = self.path.class_names
        if label < 0:
            return ""
        return str(names[label]) if label < len(names) else f"class {label}"

    # -- deep features ---------------------------------------------------------------------------------

    def standardized(self, row: int) -> npt.NDArray[np.float64]:
        """Deep features (p,) of a row, in the path's units.

        Raises:
            InputError: There are none yet, or no such row.
        """
        if self.deep is None:
            refuse("The deep features are not there yet. Wait until they are taken, then choose an example.")
        check_int(row, "row", "these features", low=0, high=self.deep.n - 1)
        return (np.asarray(self.deep.values[row], np.float64) - self.deep.mean) / self.deep.scale

    def take(
        self, model: nn.Module, progress: ProgressCallback, first_look: Callable[[DeepFeatures], None]
    ) -> DeepFeatures:
        """One pass of a model over the data; only the deep features are kept.

        Args:
            model: A private copy.
            progress: Called once a batch; may raise Cancelled.
            first_look: Called with what there is after 512 examples, and again after 8 times as many.

        Raises:
            InputError: Data or a model that do not go together.
        """
        parts = [for_model(unwrap(model), part) for part in (self.data, self.test) if part is not None]
        counts = [count_examples(part) for part in parts]
        total = sum(count or 0 for count in counts)
        p, layer = len(self.path.feature_names), self.path.layer or None
        room = _RowBuffer(total if all(counts) else 0, p)
        labels: list[npt.NDArray[np.int64]] = []
        look = _FIRST_LOOK
        names = counted_by(self.path, unwrap(model))
        example = next(iter(batches(parts[0], 8))).inputs
        with live_features(model, example, layer, n_features=p) as live, torch.no_grad():
            for part in parts:
                for batch in batches(part, 256, classes=names):
                    room.add(live(move(batch.inputs, live.device)).float().cpu().numpy())
                    labels.append(as_classes(self.path, _class_indices(batch.labels, batch.size)))
                    progress(Progress(room.n, max(total, room.n), f"{room.n:,} examples read"))
                    if look <= room.n < total:
                        first_look(_features(self.path, room.values, np.concatenate(labels)))
                        look = room.n * _GROWTH
        return _features(self.path, room.values, np.concatenate(labels))

    @property
    def text(self) -> TextData:
        """The sentences with their tokenizer.

        Raises:
            InputError: They have none.
        """
        if not isinstance(self.data, TextData):
            refuse("The Features panel needs the sentences' tokenizer. Pass tokenizer= to the panel.")
        return self.data


class _RowBuffer:
    """Rows of deep features as they come: in memory, or in a temporary file where they are many."""

    def __init__(self, n: int, p: int) -> None:
        self.n = 0
        shape = (max(n, 1), p)
        if n * p * 4 <= _IN_MEMORY:
            self._values: npt.NDArray[np.float32] = np.empty(shape, np.float32)
        else:
            # Its name is gone at once and its space with the last view of it.
            with tempfile.TemporaryFile() as file:
                self._values = np.memmap(file, np.float32, "w+", shape=shape)

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        end = self.n + len(rows)
        if end > len(self._values):
            space = np.empty((max(end, 2 * self.n), rows.shape[1]), np.float32)
            space[: self.n] = self._values[: self.n]
            self._values = space
        self._values[self.n : end] = rows
        self.n = end

    @property
    def values(self) -> npt.NDArray[np.float32]:
        return self._values[: self.n]


def in_units_of(path: Path, features: DeepFeatures) -> DeepFeatures:
    """The same features, standardised and named as the path has it.

    Raises:
        InputError: Another number of features, or those of another model.
    """
    check_model_of(path, features, _WHAT)
    return dataclasses.replace(features, **_moments(path))


def _moments(path: Any) -> dict[str, Any]:  # noqa: ANN401 (a RegularizationPath)
    return {name: getattr(path, name) for name in ("mean", "scale", "alive", "feature_names")}


def _features(path: Any, values: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> DeepFeatures:  # noqa: ANN401
    return DeepFeatures(
        provenance=Provenance(method="features_panel", fingerprint=path.provenance.fingerprint),
        values=values,
        labels=labels,
        splits=np.zeros(len(values), np.uint8),
        class_names=tuple(path.class_names),
        layer=path.layer,
        **_moments(path),
    )


def _class_indices(labels: torch.Tensor | None, size: int) -> npt.NDArray[np.int64]:
    """Labels as class indices; -1 for those that are none."""
    if labels is None or labels.ndim != 1 or labels.is_floating_point():
        return np.full(size, -1, np.int64)
    return np.asarray(labels.cpu().numpy(), np.int64)
