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
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.text import TextData

Inputs: TypeAlias = torch.Tensor | Mapping[str, torch.Tensor]
_LABEL_KEYS = ("labels", "label")
_FORMS = "a Dataset or DataLoader of (inputs, label), a pair (X, y) of arrays or tensors, or one array X"
_WRAP = "Wrap it in a Dataset whose items are (inputs, label), or give the DataLoader such a collate_fn."


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
    data: object, batch_size: int = 256, *, progress: object = None, note: str = ""
) -> Iterator[Batch]:
    """Walk over data once, in an order that is the same each time wherever the data allow it.

    A map-style data set is read in its own order; so is a plain ``DataLoader`` over one, also when it
    shuffles or drops the last batch (its batch size, collate function and workers are kept), so that row i
    of what is computed belongs to example i. Loaders with samplers of their own are iterated as they are.
    The global random generators are not drawn from.

    Args:
        data: Dataset, DataLoader, (X, y), or X alone; y and X tensors or NumPy arrays; or sentences with
            their tokenizer (:class:`~sparse_debug_widgets.core.text.TextData`). Batches may be
            mappings as Hugging Face loaders give them: the key ``labels`` (or ``label``) is the label, the
            rest are the model's keyword arguments.
        batch_size: Examples in a batch; a DataLoader keeps its own.
        progress: Callback, bool or None, see :mod:`core.progress`; called before each batch and at the end.
        note: Text for the progress callback.

    Yields:
        Batches, tensors on whatever device the data are on.

    Raises:
        InputError: The data are of no such form, empty, or yield something else than (inputs, label).
        Cancelled: The progress callback asked for it.
    """
    check_int(batch_size, "batch_size", "batches")
    report = reporter(progress)
    source, total = _source(data, batch_size)
    done = 0
    for item in source:
        report(Progress(done, total, note))
        batch = _as_batch(item)
        yield batch
        done += batch.size
    if done == 0:
        reject("data", "batches", "hold at least one example", f"an empty {type(data).__name__}")
    report(Progress(done, max(done, total), note))


def count_examples(data: object) -> int | None:
    """Number of examples, or None where the data do not say."""
    if isinstance(data, torch_data.DataLoader):
        return count_examples(data.dataset) if _is_plain(data) else None
    if isinstance(data, torch_data.IterableDataset):
        return None
    if isinstance(data, tuple | list) and data:
        data = data[0]
    return len(data) if isinstance(data, Sized) else None


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
            _WRAP,
        )


def _source(data: object, batch_size: int) -> tuple[Iterable[Any], int]:
    """An iterable of raw batches and the number of examples (0 if unknown)."""
    if isinstance(data, TextData):
        return (Batch(*pair) for pair in data.encoded(batch_size)), len(data)
    return _plain_source(data, batch_size)


def _plain_source(data: object, batch_size: int) -> tuple[Iterable[Any], int]:
    if isinstance(data, torch.Tensor | np.ndarray):
        return _array_batches(_as_tensor(data), None, batch_size), len(data)
    if isinstance(data, tuple | list):
        return _pair_source(data, batch_size)
    if isinstance(data, torch_data.DataLoader | torch_data.IterableDataset):
        return _torch_source(data, batch_size), count_examples(data) or 0
    if isinstance(data, Iterator):
        advice = "Pass the loader itself instead of iter(loader)."
        reject("data", "batches", f"be {_FORMS}", f"a {type(data).__name__}, which is read only once", advice)
    if not isinstance(data, Mapping | str | bytes | type):
        if isinstance(data, Sized) and hasattr(data, "__getitem__"):
            dataset = cast("torch_data.Dataset[Any]", data)
            return (_loader(dataset, batch_size) if len(data) else ()), len(data)
        if isinstance(data, Iterable):
            return data, 0
    return reject("data", "batches", f"be {_FORMS}", type(data).__name__)


def _torch_source(
    data: torch_data.DataLoader[Any] | torch_data.IterableDataset[Any], batch_size: int
) -> Iterable[Any]:
    if not isinstance(data, torch_data.DataLoader):
        return _loader(data, batch_size)
    return _ordered(data) if _is_plain(data) else data


def _pair_source(data: tuple[Any, ...] | list[Any], batch_size: int) -> tuple[Iterable[Any], int]:
    arrays = all(isinstance(part, torch.Tensor | np.ndarray) for part in data)
    if len(data) != 2 or not arrays:
        kinds = ", ".join(type(part).__name__ for part in data[:4])
        got = f"a {type(data).__name__} of {len(data)} ({kinds}{', ...' if len(data) > 4 else ''})"
        reject("data", "batches", f"be {_FORMS}", got, _WRAP)
    inputs, labels = (_as_tensor(part) for part in data)
    if inputs.ndim == 0 or labels.ndim == 0 or len(inputs) != len(labels):
        got = f"X of shape {tuple(inputs.shape)} and y of shape {tuple(labels.shape)}"
        reject("data", "batches", "have as many labels as inputs", got)
    return _array_batches(inputs, labels, batch_size), len(inputs)


def _as_tensor(array: torch.Tensor | np.ndarray[Any, Any]) -> torch.Tensor:
    if isinstance(array, torch.Tensor):
        return array.detach()
    if array.dtype.kind not in "biuf":
        reject("an array", "batches", "be numeric", f"dtype {array.dtype}")
    # from_numpy warns about read-only arrays and refuses negative strides; nothing here writes to it.
    return torch.from_numpy(np.array(array, copy=True) if _awkward(array) else array)


def _awkward(array: np.ndarray[Any, Any]) -> bool:
    return not array.flags.writeable or any(stride < 0 for stride in array.strides)


def _array_batches(
    inputs: torch.Tensor, labels: torch.Tensor | None, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    for start in range(0, len(inputs), batch_size):
        rows = slice(start, start + batch_size)
        # A copy: models may work in place, and these are the user's own numbers.
        yield inputs[rows].clone(), None if labels is None else labels[rows]


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
        return torch_data.default_collate(examples)
    except (TypeError, RuntimeError) as error:
        msg = (
            "data is not compatible with batches: its examples must be tensors, arrays or numbers of one "
            f"shape; got examples that cannot be stacked ({shorten(str(error))}). Add a transform, such as "
            "Resize and ToTensor, or pass a DataLoader with a collate_fn."
        )
        raise InputError(msg) from error


def _is_plain(loader: torch_data.DataLoader[Any]) -> bool:
    """Whether a loader reads each example of its data set once, in some order."""
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
        "collate_fn": loader.collate_fn,
        "pin_memory": loader.pin_memory,
        "timeout": loader.timeout,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
    }
    if loader.num_workers > 0:
        options["prefetch_factor"] = loader.prefetch_factor
    return _loader(loader.dataset, loader.batch_size, **options)


def _as_batch(item: object) -> Batch:
    """Check the form of one raw batch."""
    if isinstance(item, Batch):
        return _checked(item.inputs, item.labels)
    if isinstance(item, Mapping):
        return _mapping_batch(item)
    if isinstance(item, torch.Tensor | np.ndarray):
        return _checked(_as_tensor(item), None)
    if not isinstance(item, tuple | list) or len(item) != 2:
        got = f"a {type(item).__name__} of {len(item)}" if isinstance(item, Sized) else type(item).__name__
        reject("data", "batches", "yield (inputs, label)", got, _WRAP)
    inputs, labels = item
    if isinstance(inputs, Mapping):
        return _mapping_batch({**inputs, "labels": labels})
    if not isinstance(inputs, torch.Tensor | np.ndarray):
        reject("data", "batches", "yield inputs that are one tensor", type(inputs).__name__, _WRAP)
    return _checked(_as_tensor(inputs), None if labels is None else _label_tensor(labels))


def _mapping_batch(item: Mapping[str, Any]) -> Batch:
    label_key = next((key for key in _LABEL_KEYS if key in item), None)
    inputs = {key: value for key, value in item.items() if key != label_key}
    odd = [key for key, value in inputs.items() if not isinstance(value, torch.Tensor | np.ndarray)]
    if label_key is None or not inputs or odd:
        got = f"a mapping with the keys {', '.join(map(repr, list(item)[:10]))}"
        if odd:
            got += f", of which {', '.join(map(repr, odd))} is no tensor"
        must = "yield (inputs, label), or mappings with 'labels' and the model's keyword arguments as tensors"
        reject("data", "batches", must, got, _WRAP)
    tensors = {key: _as_tensor(value) for key, value in inputs.items()}
    return _checked(tensors, _label_tensor(item[label_key]))


def _label_tensor(labels: object) -> torch.Tensor:
    if isinstance(labels, torch.Tensor | np.ndarray):
        return _as_tensor(labels)
    try:
        return torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        advice = "Turn class names into indices 0 ... C-1 first."
        return reject("data", "batches", "yield labels that are numbers", labels, advice)


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
