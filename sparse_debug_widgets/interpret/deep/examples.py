"""The examples behind the rows of deep features: pictures, or sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils import data as torch_data

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.core.classes import names_in
from sparse_debug_widgets.core.forms import as_data, example_in, is_pair, is_table
from sparse_debug_widgets.core.pixels import Box, unit_pixels
from sparse_debug_widgets.core.text import is_frame
from sparse_debug_widgets.sparse.layer.naming import resolve_class_names

Array = npt.NDArray[Any]
PICTURES, SERIES, ROWS, SENTENCES = "pictures", "series", "rows of numbers", "sentences"
_SHORT, _LONG = 8, 4
"""A series has fewer than 8 channels and at least 4 times as many points: no picture is so."""

_FORMS = "a Dataset of (picture, label), an array of pictures, or a sequence of sentences"


class Examples:
    """Data sets one after the other, as the rows of deep features are: training data, then test data.

    Args:
        *parts: Datasets, loaders over one, arrays, pairs (X, y), sequences of str; None is skipped.

    Raises:
        InputError: Data that cannot be asked for one example.
    """

    def __init__(self, *parts: object) -> None:
        self._parts = [_indexable(part) for part in parts if part is not None]

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, row: int) -> Any:  # noqa: ANN401
        place = int(row)
        for part in self._parts:
            if place < len(part):
                return example_in(part[place])
            place -= len(part)
        if not len(self):
            refuse("There are no examples in these data. Pass at least one.")
        return refuse(
            f"The features have a row {row}, and the data hold only {len(self)} examples. Pass the data "
            "that the features were taken from, test= included."
        )

    def pictures(self, rows: Iterable[int]) -> npt.NDArray[np.float32]:
        """Pictures (m, channels, H, W).

        Raises:
            InputError: The examples are no pictures of one size.
        """
        found = [_picture(self[row]) for row in rows]
        if len({picture.shape for picture in found}) > 1:
            reject("data", "pictures", "have one size", f"{sorted({picture.shape for picture in found})[:4]}")
        return np.stack(found) if found else np.zeros((0, 1, 1, 1), np.float32)

    def sentences(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Sentences of these rows."""
        return tuple(str(self[row]) for row in rows)

    @property
    def form(self) -> str:
        """The form of the first example: see :func:`form_of`."""
        return form_of(self[0]) if len(self) else ROWS

    @property
    def are_text(self) -> bool:
        """True if the first example is a sentence."""
        return self.form == SENTENCES

    def arrays(self, rows: Iterable[int]) -> Array:
        """Examples (m, ...) float32 of any form; (m, 0) where they are no arrays of one shape."""
        found = [] if self.are_text else [_array(self[row]) for row in rows]
        if found and len({array.shape for array in found}) == 1 and found[0].dtype.kind in "biuf":
            return np.stack(found).astype(np.float32)
        return np.zeros((len(found) or len(list(rows)), 0), np.float32)


def form_of(example: object) -> str:
    """Say what an example is to a person who looks at it: a picture, a sentence, a series or a row.

    Returns:
        "pictures" for (channels, H, W) and (H, W); "series" for (channels, points) with few channels and
        many points, either way round; "sentences" for a str; "rows of numbers" for all else.

    >>> form_of(np.zeros((28, 28))), form_of(np.zeros((3, 128))), form_of(np.zeros(10)), form_of("well")
    ('pictures', 'series', 'rows of numbers', 'sentences')
    """
    if isinstance(example, str):
        return SENTENCES
    shape = np.shape(example) if isinstance(example, np.ndarray | torch.Tensor) else np.shape(_array(example))
    if 0 in shape or len(shape) not in {2, 3}:
        return ROWS
    if len(shape) == 2 and min(shape) < _SHORT and max(shape) >= _LONG * min(shape):
        return SERIES
    return PICTURES


def _array(example: object) -> Array:
    if isinstance(example, torch.Tensor):
        held = example.detach().cpu()
        # NumPy knows no bfloat16.
        return (held.float() if held.dtype == torch.bfloat16 else held).numpy()
    try:
        return np.asarray(example)
    except ValueError:  # lists of unequal length
        return np.zeros(0)


def _indexable(part: object) -> Any:  # noqa: ANN401
    if isinstance(part, torch_data.DataLoader):
        part = part.dataset
    if isinstance(part, tuple | list) and is_pair(part):
        part = part[0]
    if is_table(part):
        # A series of sentences has no tokenizer here, and needs none to be shown.
        part = as_data(part) if is_frame(part) else part.tolist()  # type: ignore[attr-defined]
    single = getattr(part, "ndim", 1) == 0 or hasattr(part, "nnz")
    indexable = isinstance(part, Sized) and hasattr(part, "__getitem__") and not single
    if isinstance(part, Mapping | str) or not indexable:
        reject("data", "examples to show", f"be {_FORMS}", type(part).__name__)
    return part


def _picture(example: object) -> npt.NDArray[np.float32]:
    array = _array(example)
    form = form_of(array) if array.dtype.kind in "biuf" else ROWS
    if form != PICTURES:
        must = "hold pictures (channels, H, W) or (H, W)"
        got = (
            f"{form} of shape {array.shape}"
            if form == SERIES
            else f"{type(example).__name__} of shape {array.shape}"
        )
        texts = "What a feature of texts means is shown by word_clouds, lime_text and find_prototypes."
        others = "What a feature of other inputs means is shown by find_prototypes."
        reject("data", "pictures", must, got, others if array.dtype.kind in "biuf" else texts)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array, np.float32)


def as_pictures(images: object) -> npt.NDArray[np.float32]:
    """A batch (B, channels, H, W) of one picture or several, from an array, a tensor or a sequence of them.

    Raises:
        InputError: Not pictures, of different sizes, not finite, or none at all.
    """
    shape = getattr(images, "shape", None)
    if shape is not None and len(shape) == 3:
        if form_of(np.empty(shape[1:], np.bool_)) == SERIES:
            got = f"series of shape {tuple(shape[1:])}"
            reject("images", "their interpretation", "be pictures (B, channels, H, W)", got)
        images = [images]
    if isinstance(images, Sequence) and not isinstance(images, str) and len(images) == 2:
        # A list of two pictures is not a pair (X, y).
        images = [_picture(one) for one in images]
        batch = Examples(np.stack(images)) if images[0].shape == images[1].shape else Examples([*images])
    else:
        batch = Examples(images)
    found = batch.pictures(range(len(batch)))
    if len(found) == 0:
        reject("images", "their interpretation", "be at least one picture", "none")
    if not np.isfinite(found).all():
        reject("images", "their interpretation", "have finite pixels", "NaN or infinity")
    return found


def rgb_bytes(pictures: Array, box: Box | None = None) -> npt.NDArray[np.uint8]:
    """Pictures (m, channels, H, W) as (m, H, W, 3) bytes.

    One channel is grey, three are colours; of two or four and more the mean is shown.

    Args:
        pictures: Inputs of a model.
        box: Range of their pixels, as results remember it. None: pictures within [0, 1] are shown as they
            are, of others each is stretched to what it has.
    """
    values = np.asarray(unit_pixels(pictures, box), np.float64)
    if values.shape[1] not in {1, 3}:
        values = values.mean(1, keepdims=True)
    if values.size and (values.min() < 0 or values.max() > 1):
        low = values.min((1, 2, 3), keepdims=True)
        span = values.max((1, 2, 3), keepdims=True) - low
        values = (values - low) / np.where(span > 0, span, 1.0)
    shown = np.rint(values * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.repeat(shown, 3, axis=3) if shown.shape[3] == 1 else shown


def class_names_for(names: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    """Names of a model's classes: those that are known, if there are enough, else their numbers."""
    if names is not None and len(names) >= n_classes:
        return tuple(str(name) for name in names)
    return resolve_class_names(np.arange(n_classes), None, n_classes) if n_classes else ()


def class_names_of(data: object, n_classes: int) -> tuple[str, ...]:
    """Names of the classes as data sets carry them, else their numbers."""
    return class_names_for(names_in(data), n_classes)
