"""Data as people have it, in the few forms that everything else reads.

Pairs, lists, tables and arrays become :class:`Rows`, sentences with a tokenizer become
:class:`~sparse_debug_widgets.core.text.TextData`; data sets and loaders stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch.utils import data as torch_data

from sparse_debug_widgets.core.checks import reject, shorten
from sparse_debug_widgets.core.classes import (
    Names,
    are_names,
    by_name,
    label_array,
    names_given,
    names_in,
    names_of_model,
    plain_array,
    renumbering,
)
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.text import TextData, as_text_data, is_frame

FORMS = (
    "a Dataset or DataLoader of (inputs, label), a pair (X, y) of arrays, tensors, lists or tables, a list "
    "of (x, label), or one array X"
)
WRAP = "Wrap it in a Dataset whose items are (inputs, label), or give the DataLoader such a collate_fn."
LABEL_KEYS = ("labels", "label")
_SENTENCES = "Pass tokenizer= where there is one, or TextData(sentences, labels, tokenizer)."


class Rows:
    """Examples that lie in memory: a map-style data set of (inputs, label).

    Attributes:
        inputs: (n, ...) tensor.
        labels: (n, ...) class indices or targets; None for none.
        classes: Names of the classes where labels came as names, sorted; else there is no such attribute.
        by_name: Labels came as names, which alone say what they mean.
    """

    classes: Names

    def __init__(self, inputs: torch.Tensor, labels: npt.NDArray[Any] | None = None) -> None:
        self.inputs, self.labels = inputs, labels
        self.by_name = labels is not None and are_names(labels)
        if labels is not None and self.by_name:
            self.labels, self.classes = by_name(labels, None)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> Any:  # noqa: ANN401 (inputs, or a pair)
        return self.inputs[row] if self.labels is None else (self.inputs[row], self.labels[row])


def as_data(data: object, tokenizer: object = None, max_length: int | None = None) -> Any:  # noqa: ANN401
    """Data in one of the forms that are read.

    Args:
        data: What a person passed.
        tokenizer: For sentences that do not carry one.
        max_length: Tokens read of each sentence.

    Returns:
        Rows, TextData, or the data themselves: a data set, a loader, or something that is refused later.

    Raises:
        InputError: A list, a pair or a table that holds no examples.
    """
    if tokenizer is not None or isinstance(data, TextData):
        return as_text_data(data, tokenizer, max_length)
    if isinstance(data, torch.Tensor | np.ndarray) or is_table(data) or _is_scipy(data):
        return Rows(_of_examples(as_tensor(data)))
    if isinstance(data, tuple | list):
        return _listed(data)
    return data


def is_pair(data: object) -> bool:
    """Say whether data are (inputs, labels), each for all examples, and not a list of examples."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        return False
    first, second = data
    if isinstance(data, tuple):
        return isinstance(first, Sized) and not isinstance(first, str | bytes | Mapping)
    if isinstance(first, torch.Tensor | np.ndarray) and isinstance(second, torch.Tensor | np.ndarray):
        return second.ndim < 2 or (second.ndim == 2 and first.shape != second.shape)
    return is_table(first) or (isinstance(first, list) and isinstance(second, Sized))


def is_table(data: object) -> bool:
    """Say whether data are a DataFrame or a series."""
    return is_frame(data) or (hasattr(data, "to_numpy") and hasattr(data, "iloc"))


def count_of(data: object) -> int | None:
    """Count the examples without reading any; None if the data do not say."""
    if is_pair(data):
        data = data[0]  # type: ignore[index]
    if _is_scipy(data) or getattr(data, "ndim", 1) == 0:
        return None  # refused where it is read
    return len(data) if isinstance(data, Sized) else None


def numbering(model: object, *parts: object, given: object = None) -> tuple[Names | None, ...]:
    """The names that the labels of each data set of a call are counted by, all of them alike.

    Names given come first, then the model's (``config.id2label``), then those of the first data set.

    Args:
        model: The bare model; None for none.
        *parts: The training data, then the others, in forms that :func:`as_data` returns.
        given: ``class_names`` as a person passed them.

    Returns:
        For each data set what :func:`~sparse_debug_widgets.core.batching.batches` takes as ``classes``; None
        where nobody knows a name.

    Raises:
        InputError: Labels or classes of one that the others do not have.
    """
    own = [names_in(part) for part in parts]
    names = names_given(given) or names_of_model(model) or own[0]
    carry_of(parts[0], names)
    # Where the data have words of their own for the model's classes, the others must use these words.
    apart = own[0] is not None and names is not None and not set(own[0]) & set(names)
    wanted = own[0] if apart else names
    for part, found in zip(parts[1:], own[1:], strict=True):
        renumbering(found, wanted, strict=own[0] is not None or is_by_name(part))
    return (names, *(wanted for _ in parts[1:]))


def names_for(model: object, data: object, given: object = None) -> Names | None:
    """The names that labels of one data set are counted by, for a function of a model and data.

    Raises:
        InputError: Labels that are names, and none of the model's.
    """
    return numbering(unwrap(model), as_data(data), given=given)[0]


def is_by_name(data: object) -> bool:
    """Say whether labels are names that were numbered only for want of a list of all classes."""
    return bool(getattr(data, "by_name", False))


def carry_of(data: object, classes: Names | None) -> npt.NDArray[np.int64] | None:
    """Map each label of a data set to this numbering of classes; None if it is the same.

    Raises:
        InputError: Labels that are names of other classes.
    """
    return renumbering(names_in(data), classes, strict=is_by_name(data))


def example_in(item: object) -> Any:  # noqa: ANN401 (a picture, a vector, a sentence)
    """The inputs in one item of a data set, without its label."""
    if isinstance(item, tuple | list):
        return item[0] if item else item
    if not isinstance(item, Mapping):
        return item
    inputs = {key: value for key, value in item.items() if key not in LABEL_KEYS}
    floating = [value for value in inputs.values() if _is_pixels(value)]
    texts = [value for value in inputs.values() if isinstance(value, str)]
    return floating[0] if len(floating) == 1 else texts[0] if len(texts) == 1 else item


def _is_pixels(value: object) -> bool:
    if isinstance(value, list):
        value = np.asarray(value) if value and isinstance(value[0], list | float) else None
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "f")
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _is_scipy(data: object) -> bool:
    return hasattr(data, "toarray") and hasattr(data, "nnz")


def _of_examples(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.ndim == 0:
        reject("data", "batches", "have one axis for the examples", "a single number")
    return tensor


def _listed(data: tuple[Any, ...] | list[Any]) -> Rows | list[Any]:
    if is_pair(data):
        return _pair(*data)
    kinds = ", ".join(type(part).__name__ for part in data[:4])
    got = f"a {type(data).__name__} of {len(data)} ({kinds}{', ...' if len(data) > 4 else ''})"
    if isinstance(data, tuple) or not data:
        reject("data", "batches", f"be {FORMS}", got, WRAP)
    if all(isinstance(item, tuple) and len(item) == 2 for item in data):
        return _pair([item[0] for item in data], [item[1] for item in data])
    if all(isinstance(item, torch.Tensor | np.ndarray) and item.ndim for item in data):
        return Rows(as_tensor(data))
    if all(isinstance(item, Mapping) for item in data):
        return list(data)  # a map-style data set of mappings
    return reject("data", "batches", f"be {FORMS}", got, WRAP)


def _pair(inputs: object, labels: object) -> Rows | list[Any]:
    if isinstance(inputs, list) and inputs and all(isinstance(item, Mapping) for item in inputs):
        return [{**item, "labels": label} for item, label in zip(inputs, label_array(labels), strict=True)]
    tensor = as_tensor(inputs)
    if labels is None:
        return Rows(tensor)
    if isinstance(labels, str | bytes | Mapping) or not (isinstance(labels, Sized)):
        reject("y", "X", f"be one label for each of {len(tensor)} rows", type(labels).__name__)
    array = label_array(labels)
    if tensor.ndim == 0 or array.ndim == 0 or len(tensor) != len(array):
        got = f"X of shape {tuple(tensor.shape)} and y of shape {tuple(array.shape)}"
        reject("data", "batches", "have as many labels as inputs", got)
    return Rows(tensor, array)


def as_tensor(array: Any) -> torch.Tensor:  # noqa: ANN401 (an array, a table, a list of arrays)
    """Numbers as a tensor, which may share memory with what was passed.

    Raises:
        InputError: Texts, masked or missing entries, examples of different shapes.
    """
    if isinstance(array, torch.Tensor):
        if array.layout != torch.strided:
            _refuse_sparse("a sparse tensor", "X.to_dense()")
        return array.detach()
    if _is_scipy(array):
        _refuse_sparse(f"a SciPy {type(array).__name__}", "X.toarray()")
    if isinstance(array, list | tuple) and any(isinstance(item, torch.Tensor) for item in array):
        return _stacked([torch.as_tensor(item) for item in array])
    try:
        values = plain_array(array.to_numpy() if hasattr(array, "to_numpy") else array, "X")
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        _refuse_shapes(array)
    if values.dtype.kind == "O" and values.size and not isinstance(values.flat[0], str):
        values = _numbers_in(values)
    if values.dtype.kind in "OUST":
        must, got = "be numbers", f"texts (dtype {values.dtype})"
        if values.size and isinstance(values.flat[0], str):
            reject("inputs", "batches", must, got, _SENTENCES)
        reject("inputs", "batches", must, f"dtype {values.dtype}")
    if values.dtype.kind not in "biuf":
        reject("inputs", "batches", "be numbers", f"dtype {values.dtype}")
    # from_numpy warns about read-only arrays and refuses negative strides; nothing here writes to it.
    return torch.from_numpy(np.array(values, copy=True) if _awkward(values) else values)


def _numbers_in(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A table of mixed columns as numbers, where all of them are numbers."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return values


def _stacked(items: Sequence[torch.Tensor]) -> torch.Tensor:
    if len({tuple(item.shape) for item in items}) > 1:
        _refuse_shapes(items)
    return torch.stack([item.detach() for item in items])


def _refuse_shapes(items: Any) -> NoReturn:  # noqa: ANN401 (a list)
    shapes = sorted({tuple(np.shape(item)) for item in list(items)[:100]})[:3]
    advice = "Add a transform, such as Resize, that gives all of them one shape."
    reject("data", "batches", "hold examples of one shape", shorten(f"shapes {shapes}", 80), advice)


def _refuse_sparse(got: str, how: str) -> NoReturn:
    reject("inputs", "batches", "be dense", got, f"Pass {how}.")


def _awkward(array: npt.NDArray[Any]) -> bool:
    return not array.flags.writeable or any(stride < 0 for stride in array.strides)


def known_labels(data: object) -> npt.NDArray[Any] | None:
    """Labels of all examples, where they are known without reading any; None where they are not.

    They are looked at before long work begins; what counts is what the data yield.

    Args:
        data: In a form that :func:`as_data` returns.
    """
    if isinstance(data, Rows | TextData):
        return data.labels
    found: object = None
    if isinstance(data, torch_data.TensorDataset) and len(data.tensors) == 2:
        found = data.tensors[1]
    elif isinstance(data, torch_data.Subset):
        whole = known_labels(data.dataset)
        found = None if whole is None else whole[np.asarray(data.indices, np.int64)]
    elif isinstance(data, torch_data.ConcatDataset):
        parts = [known_labels(part) for part in data.datasets]
        every = [part for part in parts if part is not None]
        found = np.concatenate(every) if len(every) == len(parts) else None
    elif getattr(data, "target_transform", None) is None:
        found = getattr(data, "targets", None)  # torchvision
    if not isinstance(found, list | np.ndarray | torch.Tensor) or len(found) != count_of(data):
        return None
    labels = label_array(found)
    return labels if labels.dtype.kind in "biu" and labels.ndim == 1 else None
