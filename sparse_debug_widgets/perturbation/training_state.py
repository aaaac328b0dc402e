"""Checkpoints of a training: weights, buffers and Adam's moments in one file, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import reject

KIND = "adversarial_training_checkpoint"
SCHEMA = 1
History = list[tuple[float, float, float]]


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    settings: Mapping[str, Any],
) -> None:
    """Write everything that the next epoch depends on."""
    arrays = {f"model/{name}": _array(tensor) for name, tensor in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    for index, slots in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer/{slot}/{names[index]}": _array(tensor) for slot, tensor in slots.items()}
    head = {"settings": dict(settings), "history": [list(row) for row in history]}
    storage.write(path, kind=KIND, schema=SCHEMA, head=head, arrays=arrays)


def load_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]
) -> History:
    """Read what :func:`save_state` wrote into model and optimizer.

    Returns:
        One row for each epoch done: radius, loss, accuracy.

    Raises:
        InputError: A checkpoint of other settings or of another model.
        StorageError: No such file, or a damaged one.
    """
    head, arrays = storage.read(path, kind=KIND, schema=SCHEMA)
    advice = "Name another file, or delete this one."
    for name, value in settings.items():
        if head["settings"].get(name) != value:
            got = f"{name}={head['settings'].get(name)!r}"
            reject("the checkpoint", "this training", f"be of one with {name}={value!r}", got, advice)
    expected = {f"model/{name}": tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    # Former versions wrote a single number, such as batch norm's count of batches, as a row of one.
    arrays |= {name: arrays[name].reshape(()) for name in expected if _is_row_of_one(arrays, expected, name)}
    found = {name: array.shape for name, array in arrays.items() if name.startswith("model/")}
    if expected != found:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0][0].removeprefix("model/")
        reject("the checkpoint", "this model", "hold the same weights", f"a difference in {odd!r}", advice)
    model.load_state_dict({name.removeprefix("model/"): torch.from_numpy(arrays[name]) for name in expected})
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, _) in enumerate(model.named_parameters()):
        slots = {key.split("/", 2)[1]: array for key, array in arrays.items() if _is_slot(key, name)}
        if slots:
            state[index] = {slot: torch.from_numpy(array) for slot, array in slots.items()}
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return [(float(a), float(b), float(c)) for a, b, c in head["history"]]


def _is_row_of_one(
    arrays: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, tuple[int, ...]], name: str
) -> bool:
    return expected[name] == () and name in arrays and arrays[name].shape == (1,)


def _is_slot(key: str, parameter: str) -> bool:
    parts = key.split("/", 2)
    return parts[0] == "optimizer" and parts[2] == parameter


def _array(tensor: object) -> npt.NDArray[Any]:
    if not isinstance(tensor, Tensor):
        return np.asarray(tensor)
    host = tensor.detach().cpu()
    # NumPy has no bfloat16; float32 holds all its values.
    return (host.float() if host.dtype == torch.bfloat16 else host).numpy()
