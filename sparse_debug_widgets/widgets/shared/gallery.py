"""Pictures to choose from: the data behind a panel as a gallery, misclassified first.

Data are read once, in order, a bounded part of them at a time; predictions come with the reading.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, default_collate

from sparse_debug_widgets.core.batching import Batch, batches, count_examples
from sparse_debug_widgets.core.checks import InputError, check_choice, check_int, refuse, reject
from sparse_debug_widgets.core.forms import as_data, numbering
from sparse_debug_widgets.core.hooks import call_model, model_untouched, placement
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.pixels import UNIT, model_box
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.sparse.features.origin import check_held
from sparse_debug_widgets.widgets.kit import fields

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

WHICH = ("errors", "all")
_BYTES = 256 << 20
_FIRST_CHUNK = 4
_CHUNK_SECONDS = 0.1
_WHAT = "the pictures of a panel"


class Thumbs(NamedTuple):
    """Some examples as the page shows them.

    Attributes:
        value: JSON: ``rows`` with index, label and prediction of each, and how many there are.
        arrays: ``thumbs`` uint8 (k, h, w, 1 or 3).
    """

    value: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


class OtherClassesError(InputError):
    """Labels or names that are not those of the model's classes."""


class Examples:
    """Examples of a data set, read as far as somebody looked.

    Args:
        data: Dataset, loader, ``(X, y)``, a batch ``X`` (one axis for the examples), one picture
            (channels, height, width), or a list of pictures or of (picture, label); None for no examples.
        class_names: One per class; ``data.classes`` where there are some.
        box: Pixel range (low, high), numbers or tensors that broadcast against one example; None: that of the
            first batch.
        normalize: How the inputs were normalised, see
            :func:`~sparse_debug_widgets.core.pixels.normalization`; None: as the data set's own
            transforms say, if they do.
        limit: At most so many examples are kept, and no more than 256 MB of them.
        batch_size: Examples that are read and predicted at a time.
        model: The model that will look at them, where it may know the names of its classes.

    Attributes:
        labels: Class index of each example read; -1 where the data have none.
        predictions: (n,) likewise; -1 where no model has looked.
        confidences: (n,) probability of the prediction; NaN where no model has looked.
        rank: (n,) order of the misclassified; None: those first of which the model is surest.
        numbers: What each example is called; None: its row.
        notes: What stands under an example in place of its classes.
        box: Range of the pixels in the model's units, where it is known.

    Raises:
        InputError: Data of no such form, or inputs that are no pictures or vectors.
        OtherClassesError: Later, when a model looks: labels or names that are not those of its classes.
    """

    def __init__(
        self,
        data: object = None,
        *,
        class_names: Sequence[str] = (),
        box: tuple[Any, Any] | None = None,
        normalize: object = None,
        limit: int = 2000,
        batch_size: int = 64,
        model: object = None,
    ) -> None:
        self._data = _as_data(data)
        self._limit = check_int(limit, "limit", _WHAT)
        self._batch_size = check_int(batch_size, "batch_size", _WHAT)
        self._named = len(class_names)
        names = None if data is None else numbering(model, self._data, given=class_names or None)[0]
        self.class_names = names or tuple(str(name) for name in class_names)
        known = UNIT if box is None else box
        ends = model_box(known, normalize, data)
        self.box = box if ends is known else ends
        self._source: Iterator[Batch] | None = None
        self._inputs: list[Tensor] = []
        self._bytes = 0
        self.complete = data is None
        self.labels = np.empty(0, dtype=np.int64)
        self.predictions = np.empty(0, dtype=np.int64)
        self.confidences = np.empty(0)
        self.rank: Ints | None = None
        self.numbers: Ints | None = None
        self.notes: dict[int, str] = {}
        self.read(1)

    # -- reading ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Examples read so far."""
        return len(self._inputs)

    @property
    def total(self) -> int | None:
        """Examples of the data; None where they do not say."""
        return 0 if self._data is None else count_examples(self._data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example; empty without data."""
        return tuple(self._inputs[0].shape) if self._inputs else ()

    def read(self, n: int) -> int:
        """Read on until there are ``n`` examples or no more; how many there are now."""
        while len(self) < n and not self.complete:
            self._read_batch()
        return len(self)

    def _read_batch(self) -> None:
        if self._source is None:
            self._source = batches(self._data, self._batch_size, classes=self.class_names or None)
        batch = next(self._source, None)
        if batch is None:
            self.complete = True
            return
        inputs = batch.inputs
        if not isinstance(inputs, Tensor) or inputs.ndim < 2:
            got = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else "a mapping"
            reject("data", _WHAT, "have examples of at least one axis", got)
        room = max(0, min(self._limit - len(self), (_BYTES - self._bytes) // max(1, inputs[0].nbytes)))
        kept = inputs[: max(room, 0 if self._inputs else 1)].detach().cpu()
        labels = _class_indices(batch.labels, len(inputs))[: len(kept)]
        self._inputs += list(kept)
        self._bytes += kept.nbytes
        self._note(len(kept), labels)
        self.complete = len(kept) < len(inputs) or len(self) >= self._limit

    def add(self, example: Tensor, label: int = -1) -> int:
        """Take in one more example, of the shape of the others; its row.

        Raises:
            InputError: Another shape.
        """
        if self._inputs and tuple(example.shape) != self.shape:
            reject(
                "a picture", _WHAT, f"have the shape {self.shape} of the others", f"{tuple(example.shape)}"
            )
        self._inputs.append(example.detach().cpu())
        self._note(1, np.array([label], dtype=np.int64))
        return len(self) - 1

    def _note(self, n: int, labels: Ints) -> None:
        self.labels = np.concatenate([self.labels, labels])
        self.predictions = np.concatenate([self.predictions, np.full(n, -1, dtype=np.int64)])
        self.confidences = np.concatenate([self.confidences, np.full(n, np.nan)])

    def look(
        self, model: nn.Module, *, seconds: float = 1.0, progress: ProgressCallback | None = None
    ) -> int:
        """Read on and predict, for about so many seconds; the model is left as it was.

        Call it where cells run: the model is in evaluation mode meanwhile.

        Args:
            model: A classifier; its logits give prediction and confidence.
            seconds: When to stop; one batch is always done.
            progress: Called before each batch; may raise Cancelled.

        Returns:
            Examples with a prediction so far.
        """
        began = time.monotonic()
        with model_untouched(model) as bare, torch.inference_mode(mode=False), torch.no_grad():
            device, dtype = placement(bare)
            chunk = _FIRST_CHUNK
            while True:
                rows = np.flatnonzero(self.predictions < 0)[:chunk]
                if not len(rows):
                    if self.complete:
                        break
                    self._read_batch()
                    continue
                if progress is not None:
                    seen = len(self) - int((self.predictions < 0).sum())
                    progress(Progress(seen, self.total or 0, f"{seen} pictures looked at"))
                started = time.monotonic()
                self._predict(bare, rows, device, dtype)
                now = time.monotonic()
                if now - began >= seconds:
                    break
                # Large batches are efficient, and small ones keep to the time.
                chunk = min(2 * chunk, self._batch_size) if now - started < _CHUNK_SECONDS else chunk
        return len(self) - int((self.predictions < 0).sum())

    def _predict(self, model: nn.Module, rows: Ints, device: torch.device, dtype: torch.dtype) -> None:
        inputs = torch.stack([self._inputs[row] for row in rows])
        answer = call_model(model, inputs.to(device, dtype if inputs.is_floating_point() else None))
        probabilities = logits_of(answer, rows=len(rows)).float().softmax(1)
        self._check_classes(probabilities.shape[1], self.labels[rows])
        best = probabilities.max(1)
        self.predictions[rows] = best.indices.cpu().numpy()
        self.confidences[rows] = best.values.double().cpu().numpy()
        if not self.class_names:
            self.class_names = tuple(f"class {c}" for c in range(probabilities.shape[1]))

    def _check_classes(self, classes: int, labels: Ints) -> None:
        """Names and labels must be those of the model; one output is a yes or no, with two of each."""
        if self._named not in {0, classes}:
            raise OtherClassesError(
                f"The model has {classes} classes, and class_names has {self._named} names. Pass one name "
                "for each class, in the order of the model's outputs."
            )
        if labels.max() >= classes:
            raise OtherClassesError(
                f"The model has {classes} classes, and a label is {labels.max()}: labels must be from 0 to "
                f"{classes - 1}, or -1 for none. Count classes from 0."
            )

    def forget_predictions(self) -> None:
        """After the model has changed."""
        self.predictions[:] = -1
        self.confidences[:] = np.nan

    # -- asking ----------------------------------------------------------------------------------------

    def input(self, row: int) -> Tensor:
        """Example ``row`` as a batch of one (1, ...), on the host.

        Raises:
            InputError: There is no such example.
        """
        check_int(row, "example", _WHAT, low=0, high=max(0, self.read(row + 1) - 1))
        if not self._inputs:
            refuse("There are no examples yet. Pass data to the panel, or choose(picture) first.")
        return self._inputs[row][None]

    def errors(self) -> Ints:
        """Misclassified examples, those first of which the model is surest."""
        wrong = np.flatnonzero(
            (self.labels >= 0) & (self.predictions >= 0) & (self.labels != self.predictions)
        )
        by = -self.confidences if self.rank is None else self.rank
        order: Ints = wrong[np.argsort(by[wrong], kind="stable")]
        return order

    def order(self, which: str = "all") -> Ints:
        """Rows as a gallery shows them: ``"errors"`` only, or ``"all"``, misclassified first."""
        check_choice(which, WHICH, "which", _WHAT)
        wrong = self.errors()
        rest: Ints = np.setdiff1d(np.arange(len(self)), wrong)
        return wrong if which == "errors" else np.concatenate([wrong, rest])

    def name(self, index: int) -> str:
        """Name of a class."""
        if index < 0:
            return ""
        return self.class_names[index] if index < len(self.class_names) else f"class {index}"

    def caption(self, row: int) -> dict[str, Any]:
        """Return what is known about one example, as JSON."""
        label, prediction = int(self.labels[row]), int(self.predictions[row])
        return {
            "row": int(row),
            "number": int(row if self.numbers is None else self.numbers[row]),
            "label": label,
            "prediction": prediction,
            "labelName": fields.cut(self.name(label), 200),
            "predictionName": fields.cut(self.name(prediction), 200),
            "confidence": float(self.confidences[row]),
            "wrong": label >= 0 and prediction >= 0 and label != prediction,
            "note": fields.cut(self.notes.get(int(row), ""), 200),
        }

    def page(self, which: str = "all", first: int = 0, count: int = 24, *, size: int = 56) -> Thumbs:
        """One page of the gallery.

        Args:
            which: ``"errors"`` or ``"all"``.
            first: Place of the first picture in that order.
            count: At most so many pictures.
            size: Longest side of a thumbnail, in pixels.
        """
        order = self.order(which)
        count = check_int(count, "count", _WHAT, high=200)
        first = min(check_int(first, "first", _WHAT, low=0), max(0, len(order) - 1))
        rows = order[first : first + count]
        seen = int((self.predictions >= 0).sum())
        value = {
            "which": which,
            "first": first,
            "rows": [self.caption(int(row)) for row in rows],
            "counts": {"errors": len(self.errors()), "all": len(self)},
            "seen": seen,
            "total": self.total,
            "complete": self.complete and seen == len(self),
            "labelled": bool((self.labels >= 0).any()),
        }
        if not len(rows):
            return Thumbs({**value, "shape": [0, 0, 0, 0]}, {})
        thumbs = self.thumbnails(rows, size)
        return Thumbs({**value, "shape": list(thumbs.shape)}, {"thumbs": thumbs})

    def thumbnails(self, rows: Sequence[int] | Ints, size: int = 56) -> Bytes:
        """Small pictures uint8 (k, h, w, 1 or 3); larger ones are averaged down, vectors become strips."""
        pictures = torch.stack([as_picture(self.unit(int(row))) for row in rows])
        longest = max(pictures.shape[-2:])
        if longest > size:
            h, w = (max(1, round(side * size / longest)) for side in pictures.shape[-2:])
            pictures = functional.interpolate(pictures, size=(h, w), mode="area")
        scaled = (pictures * 255).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())

    def unit(self, row: int) -> Tensor:
        """Example ``row`` with its pixels in units of their range, that is, in [0, 1]."""
        example = self._inputs[row].float()
        low, high = self.ends()
        unit: Tensor = (example - low) / (high - low)
        return unit

    @property
    def span(self) -> float:
        """Width of the pixel range; of the narrowest channel, where they differ."""
        low, high = self.ends()
        return float(np.min(np.asarray(high) - np.asarray(low)))

    def ends(self) -> tuple[Any, Any]:
        """Lowest and highest pixel, for display: the box, or what the first examples have."""
        if self.box is not None:
            ends = [torch.as_tensor(end, dtype=torch.float32) for end in self.box]
            return ends[0], ends[1]
        some = torch.stack(self._inputs[:64]).float() if self._inputs else torch.zeros(1, dtype=torch.float32)
        low, high = float(some.min()), float(some.max())
        if low >= 0 and high <= 1:
            return 0.0, 1.0
        return (low, high) if high > low else (low, low + 1)


def as_picture(example: Tensor) -> Tensor:
    """An example of any shape as float32 (1 or 3, height, width): what can be drawn.

    Three channels are colours; any other number is averaged. A matrix is one channel, a vector a strip.
    """
    picture = example.detach().float()
    if picture.ndim == 1:
        picture = picture[None]
    if picture.ndim == 2:
        picture = picture[None]
    if picture.ndim > 3:
        picture = picture.reshape(-1, *picture.shape[-2:])
    return picture if picture.shape[0] in {1, 3} else picture.mean(0, keepdim=True)


def check_result_in(result_inputs: Any, data: object, what: str) -> None:  # noqa: ANN401 (an array)
    """Refuse data that have not the examples of a result, see :func:`~sparse.features.origin.check_held`."""
    advice = "Pass those, or leave out data=: the result holds its own examples."
    check_held(result_inputs, lambda: _one_by_one(data), what, data, advice)


def _one_by_one(data: object) -> Iterator[Tensor]:
    if isinstance(data, DataLoader) and hasattr(data.dataset, "__getitem__"):
        # Not in the order of a sampler: what is compared with an example must come again.
        data = data.dataset if data.collate_fn is default_collate else data
    for batch in batches(_as_data(data), 64):
        if isinstance(batch.inputs, Tensor):
            yield from batch.inputs


def _as_data(data: object) -> object:
    """Single pictures and lists of pictures as what core.batching reads."""
    if isinstance(data, np.ndarray) and data.dtype.kind in "biuf":
        data = torch.from_numpy(np.array(data))
    if isinstance(data, Tensor):
        data = data[None] if data.ndim == 3 and data.shape[0] in {1, 3} else data
    return None if data is None else as_data(data)


def _class_indices(labels: Tensor | None, size: int) -> Ints:
    """Labels as class indices; -1 for those that are none."""
    if labels is None or labels.ndim != 1 or labels.is_floating_point():
        return np.full(size, -1, dtype=np.int64)
    return np.asarray(labels.cpu().numpy(), dtype=np.int64)
