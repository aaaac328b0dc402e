"""One way to walk over data sets, loaders and arrays: batches of (inputs, labels) in a stable order."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import nn
from torch.utils import data as torch_data

from sparse_debug_widgets.core.checks import InputError, check_int, reject, shorten
from sparse_debug_widgets.core.classes import (
    Names,
    are_names,
    by_name,
    label_array,
    names_in,
)
from sparse_debug_widgets.core.forms import (
    FORMS,
    LABEL_KEYS,
    WRAP,
    Rows,
    as_data,
    as_tensor,
    carry_of,
    count_of,
)
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.text import TextData

Inputs: TypeAlias = torch.Tensor | Mapping[str, torch.Tensor]
_PADDED = ("input_ids", "attention_mask", "token_type_ids")


class Batch(NamedTuple):
    """One minibatch.

    Attributes:
        inputs: Tensor (B, ...), or a mapping of tensors that the model takes as keyword arguments.
        labels: Tensor (B, ...) or None.
    """

    inputs: Inputs
    labels: torch.Tensor | None

    @property
    def size(self) -> int:
        """Number of examples."""
        first = next(iter(self.inputs.values())) if isinstance(self.inputs, Mapping) else self.inputs
        return len(first)


def batches(
    data: object,
    batch_size: int = 256,
    *,
    progress: object = False,
    note: str = "",
    classes: Names | None = None,
) -> Iterator[Batch]:
    """Walk over data once, in an order that is the same each time wherever the data allow it.

    A map-style data set is read in its own order; so is a plain ``DataLoader`` over one, also when it
    shuffles or drops the last batch (its batch size, collate function and workers are kept), so that row i
    of what is computed belongs to example i. Loaders with samplers of their own are iterated as they are.
    The global random generators are not drawn from.

    Args:
        data: Dataset, DataLoader, (X, y), a list of (x, label), or X alone; X and y tensors, arrays, tables
            or lists; or sentences with their tokenizer (:class:`~sparse_debug_widgets.core.text.TextData`).
            Examples and batches may be mappings as Hugging Face has them: the key ``labels`` (or ``label``)
            is the label, the rest are the model's keyword arguments; pixels alone are passed as one tensor.
        batch_size: Examples in a batch; a DataLoader keeps its own.
        progress: Callback, bool or None, see :mod:`core.progress`; called before each batch and at the end.
        note: Text for the progress callback.
        classes: Names that labels are to be counted by: labels that are names are numbered by them, and those
            of a data set that has classes in another order are renumbered. None: as the data have them.

    Yields:
        Batches, tensors on whatever device the data are on.

    Raises:
        InputError: The data are of no such form, empty, or yield something else than (inputs, label).
        Cancelled: The progress callback asked for it.
    """
    check_int(batch_size, "batch_size", "batches")
    report = reporter(progress)
    kind = type(data).__name__
    data = as_data(data)
    own = names_in(data)
    carry = carry_of(data, classes)
    source, total = _source(data, batch_size)
    done = 0
    for item in source:
        report(Progress(done, total, note))
        batch = _as_batch(item, own or classes)
        if carry is not None and batch.labels is not None:
            batch = Batch(batch.inputs, _carried(batch.labels, carry, done))
        yield batch
        done += batch.size
    if done == 0:
        reject("data", "batches", "hold at least one example", f"an empty {kind}")
    report(Progress(done, max(done, total), note))


def count_examples(data: object) -> int | None:
    """Number of examples, or None where the data do not say."""
    if isinstance(data, torch_data.DataLoader):
        return count_examples(data.dataset) if _is_plain(data) else None
    if isinstance(data, torch_data.IterableDataset):
        return None
    return count_of(data)


def move(inputs: Inputs, device: torch.device, dtype: torch.dtype | None = None) -> Inputs:
    """Inputs on a device; floating ones in ``dtype`` if one is given."""
    if isinstance(inputs, Mapping):
        return {name: cast("torch.Tensor", move(tensor, device, dtype)) for name, tensor in inputs.items()}
    return inputs.to(device, dtype if dtype is not None and inputs.is_floating_point() else None)


def copied(inputs: Inputs) -> Inputs:
    """The same inputs for a model that may overwrite them, where they are needed again."""
    if isinstance(inputs, Mapping):
        return {name: tensor.clone() for name, tensor in inputs.items()}
    return inputs.clone()


def check_call(model: nn.Module, inputs: Inputs) -> None:
    """Refuse keyword inputs that the model's forward does not take.

    Raises:
        InputError: A key of the batch is not a parameter of ``forward``.
    """
    if not isinstance(inputs, Mapping):
        return
    parameters = inspect.signature(model.forward).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = [key for key in inputs if key not in parameters]
    if unknown:
        reject(
            "a batch that is a mapping",
            f"{type(model).__name__}.forward",
            f"have only keys out of {', '.join(parameters)} (and 'labels')",
            f"{', '.join(map(repr, unknown))}",
            WRAP,
        )


def _source(data: object, batch_size: int) -> tuple[Iterable[Any], int]:
    """An iterable of raw batches and the number of examples (0 if unknown)."""
    if isinstance(data, TextData):
        return (Batch(*pair) for pair in data.encoded(batch_size)), len(data)
    return _plain_source(data, batch_size)


def _plain_source(data: object, batch_size: int) -> tuple[Iterable[Any], int]:
    if isinstance(data, Rows):
        return _array_batches(data, batch_size), len(data)
    if isinstance(data, torch_data.DataLoader | torch_data.IterableDataset):
        return _torch_source(data, batch_size), count_examples(data) or 0
    if isinstance(data, Iterator):
        advice = "Pass the loader itself instead of iter(loader)."
        reject("data", "batches", f"be {FORMS}", f"a {type(data).__name__}, which is read only once", advice)
    if not isinstance(data, Mapping | str | bytes | type):
        if isinstance(data, Sized) and hasattr(data, "__getitem__"):
            dataset = cast("torch_data.Dataset[Any]", data)
            return (_loader(dataset, batch_size) if len(data) else ()), len(data)
        if isinstance(data, Iterable):
            return data, 0
    return reject("data", "batches", f"be {FORMS}", type(data).__name__)


def _torch_source(
    data: torch_data.DataLoader[Any] | torch_data.IterableDataset[Any], batch_size: int
) -> Iterable[Any]:
    if not isinstance(data, torch_data.DataLoader):
        return _loader(data, batch_size)
    return _ordered(data) if _is_plain(data) else data


def _array_batches(data: Rows, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    labels = None if data.labels is None else as_tensor(data.labels)
    for start in range(0, len(data), batch_size):
        rows = slice(start, start + batch_size)
        # A copy: models may work in place, and these are the user's own numbers.
        yield data.inputs[rows].clone(), None if labels is None else labels[rows]


def _carried(labels: torch.Tensor, carry: Any, first: int) -> torch.Tensor:  # noqa: ANN401 (an array)
    """Class indices of a data set as the other data of the call count them."""
    if labels.is_floating_point() or labels.ndim != 1:
        return labels
    known = (labels >= 0) & (labels < len(carry))
    if not bool(known.all()):
        row = int((~known).nonzero()[0])
        must = f"be below the number of its classes, {len(carry)}"
        reject("a label", "this data set", must, f"{int(labels[row])} in row {first + row}")
    return torch.from_numpy(carry)[labels.long().cpu()]


def _loader(
    dataset: torch_data.Dataset[Any],
    batch_size: int | None,
    **options: Any,  # noqa: ANN401
) -> torch_data.DataLoader[Any]:
    options.setdefault("collate_fn", _collate)
    # A generator of its own: a loader without one draws its base seed from the global generator.
    own = torch.Generator().manual_seed(0)
    return torch_data.DataLoader(dataset, batch_size=batch_size, generator=own, **options)


def _collate(examples: list[Any]) -> Any:  # noqa: ANN401
    try:
        if isinstance(examples[0], Mapping):
            masked = "attention_mask" in examples[0]
            return {
                key: _column([example[key] for example in examples], padded=masked and key in _PADDED)
                for key in examples[0]
            }
        return torch_data.default_collate(examples)
    except (TypeError, RuntimeError, KeyError) as error:
        msg = (
            "data is not compatible with batches: its examples must be tensors, arrays or numbers of one "
            f"shape; got examples that cannot be stacked ({shorten(str(error))}). Add a transform, such as "
            "Resize and ToTensor, or pass a DataLoader with a collate_fn."
        )
        raise InputError(msg) from error


def _column(values: list[Any], *, padded: bool) -> Any:  # noqa: ANN401 (a tensor, or a list of texts)
    """One entry of examples that are mappings, for all examples of a batch."""
    if all(isinstance(value, str) for value in values):
        return values
    if not all(isinstance(value, list) for value in values):
        return torch_data.default_collate(values)
    arrays = [np.asarray(value) for value in values]
    # Python's numbers say nothing of their precision; pixels are single precision, as torch.tensor has them.
    arrays = [array.astype(np.float32) if array.dtype == np.float64 else array for array in arrays]
    if padded and all(array.ndim == 1 for array in arrays):
        # Tokens of several texts: what is not there is not attended to.
        table = np.zeros((len(arrays), max(1, *map(len, arrays))), np.int64)
        for row, array in zip(table, arrays, strict=True):
            row[: len(array)] = array
        return torch.from_numpy(table)
    return torch_data.default_collate(arrays)


def _is_plain(loader: torch_data.DataLoader[Any]) -> bool:
    """Say whether a loader reads each example of its data set once, in some order."""
    if type(loader) is not torch_data.DataLoader:
        return False
    if isinstance(loader.dataset, torch_data.IterableDataset):
        return True
    sampler = loader.sampler
    if isinstance(sampler, torch_data.RandomSampler):
        once = not sampler.replacement and len(sampler) == len(sampler.data_source)
    else:
        once = type(sampler) is torch_data.SequentialSampler
    return once and type(loader.batch_sampler) is torch_data.BatchSampler


def _ordered(loader: torch_data.DataLoader[Any]) -> torch_data.DataLoader[Any]:
    options: dict[str, Any] = {
        "num_workers": loader.num_workers,
        # The default one cannot stack mappings of lists.
        "collate_fn": _collate if loader.collate_fn is torch_data.default_collate else loader.collate_fn,
        "pin_memory": loader.pin_memory,
        "timeout": loader.timeout,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
    }
    if loader.num_workers > 0:
        options["prefetch_factor"] = loader.prefetch_factor
    return _loader(loader.dataset, loader.batch_size, **options)


def _as_batch(item: object, names: Names | None) -> Batch:
    """Check the form of one raw batch."""
    if isinstance(item, Batch):
        return _checked(item.inputs, item.labels)
    if isinstance(item, Mapping):
        return _mapping_batch(item, names)
    if isinstance(item, torch.Tensor | np.ndarray):
        return _checked(as_tensor(item), None)
    if not isinstance(item, tuple | list) or len(item) != 2:
        got = f"a {type(item).__name__} of {len(item)}" if isinstance(item, Sized) else type(item).__name__
        reject("data", "batches", "yield (inputs, label)", got, WRAP)
    inputs, labels = item
    if isinstance(inputs, Mapping):
        return _mapping_batch({**inputs, "labels": labels}, names)
    if not isinstance(inputs, torch.Tensor | np.ndarray):
        texts = isinstance(inputs, tuple | list) and bool(inputs) and isinstance(inputs[0], str)
        advice = "Pass tokenizer= where there is one, or TextData." if texts else WRAP
        got = "sentences" if texts else type(inputs).__name__
        reject("data", "batches", "yield inputs that are one tensor", got, advice)
    return _checked(as_tensor(inputs), None if labels is None else _label_tensor(labels, names))


def _mapping_batch(item: Mapping[str, Any], names: Names | None) -> Batch:
    label_key = next((key for key in LABEL_KEYS if key in item), None)
    given = {key: value for key, value in item.items() if key != label_key}
    # Texts beside the tensors that were made of them (file names, the sentence itself) are no input.
    inputs = {key: value for key, value in given.items() if not _are_texts(value)} or given
    odd = [key for key, value in inputs.items() if not isinstance(value, torch.Tensor | np.ndarray)]
    if label_key is None or not inputs or odd:
        got = f"a mapping with the keys {', '.join(map(repr, list(item)[:10]))}"
        if odd:
            got += f", of which {', '.join(map(repr, odd))} is no tensor"
        must = "yield (inputs, label), or mappings with 'labels' and the model's keyword arguments as tensors"
        reject("data", "batches", must, got, WRAP)
    tensors = {key: as_tensor(value) for key, value in inputs.items()}
    labels = _label_tensor(item[label_key], names)
    if len(tensors) == 1:
        (only,) = tensors.values()
        if only.is_floating_point():
            # Pixels: the first argument of every model of pictures, whatever the data set calls them.
            return _checked(only, labels)
    return _checked(tensors, labels)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(item, str) for item in value)


def _label_tensor(labels: object, names: Names | None) -> torch.Tensor:
    if isinstance(labels, torch.Tensor):
        return labels.detach()
    array = label_array(labels)
    if not are_names(array):
        return as_tensor(array)
    if names is None:
        advice = "Pass class_names= in the order of the model's outputs, or give the data set `classes`."
        return reject("data", "batches", "yield labels that are numbers", shorten(repr(labels)), advice)
    return as_tensor(by_name(array, names, "these classes")[0])


def _checked(inputs: Inputs, labels: torch.Tensor | None) -> Batch:
    tensors = dict(inputs) if isinstance(inputs, Mapping) else {"inputs": inputs}
    if labels is not None:
        tensors["labels"] = labels
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if any(not shape for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) != 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        must = "yield batches whose tensors have one first dimension in common"
        reject("data", "batches", must, listed, "A Dataset of single examples may be passed as it is.")
    return Batch(inputs, labels)
