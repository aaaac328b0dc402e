"""Checkpoints of a training: weights, buffers and Adam's moments in one file, without pickle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import reject, shorten

KIND = "adversarial_training_checkpoint"
SCHEMA = 1
_PART = re.compile(r"[(),]+ ?")
_SLOTS = ("step", "exp_avg", "exp_avg_sq")
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
    history = _history(head, path)
    advice = "Name another file, or delete this one."
    known = head.get("settings")
    known = known if isinstance(known, dict) else {}
    for name, value in settings.items():
        if not _same(known.get(name), value):
            got = f"{name}={shorten(repr(known.get(name)))}"
            reject("the checkpoint", "this training", f"be of one with {name}={value!r}", got, advice)
    expected = {f"model/{name}": tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    # Former versions wrote a single number, such as batch norm's count of batches, as a row of one.
    arrays |= {name: arrays[name].reshape(()) for name in expected if _is_row_of_one(arrays, expected, name)}
    found = {name: array.shape for name, array in arrays.items() if name.startswith("model/")}
    if expected != found:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0][0].removeprefix("model/")
        reject("the checkpoint", "this model", "hold the same weights", f"a difference in {odd!r}", advice)
    _check_arrays(arrays, model, path)
    model.load_state_dict({name.removeprefix("model/"): torch.from_numpy(arrays[name]) for name in expected})
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, _) in enumerate(model.named_parameters()):
        slots = {key.split("/", 2)[1]: array for key, array in arrays.items() if _is_slot(key, name)}
        if slots:
            state[index] = {slot: torch.from_numpy(array) for slot, array in slots.items()}
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return history


def _same(found: object, wanted: object) -> bool:
    """Compare settings; an attack is told by its parts, which earlier versions named in another order."""
    if isinstance(found, str) and isinstance(wanted, str):
        return sorted(_PART.split(found)) == sorted(_PART.split(wanted))
    return found == wanted


def _history(head: Mapping[str, Any], path: Path) -> History:
    """One row for each epoch done.

    Raises:
        StorageError: Rows that are not of three numbers.
    """
    rows = head.get("history")
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == 3 and all(type(x) in {int, float} for x in row) for row in rows
    ):
        raise _damaged(path, "its history is not rows of three numbers")
    return [(float(a), float(b), float(c)) for a, b, c in rows]


def _check_arrays(arrays: Mapping[str, npt.NDArray[Any]], model: nn.Module, path: Path) -> None:
    """Refuse weights of another type, and moments that are not those of a parameter.

    Raises:
        StorageError: What is wrong with which.
    """
    for name, tensor in model.state_dict().items():
        array = arrays[f"model/{name}"]
        if array.dtype != _array(tensor).dtype:
            raise _damaged(path, f"{name} is of type {array.dtype}")
        _check_finite(array, name, path)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    moments = {key: array for key, array in arrays.items() if not key.startswith("model/")}
    for key, array in moments.items():
        _, slot, name = [*key.split("/", 2), "", ""][:3]
        # The count of steps is a single number; the first versions wrote such numbers as rows of one.
        allowed = ((), (1,)) if slot == "step" else (shapes.get(name),)
        if (
            not key.startswith("optimizer/")
            or slot not in _SLOTS
            or name not in shapes
            or array.shape not in allowed
        ):
            raise _damaged(path, f"{shorten(key)} is no moment of a parameter")
        if array.dtype.kind != "f" or (slot != "exp_avg" and (array < 0).any()):
            raise _damaged(path, f"{shorten(key)} holds what no moment can be")
        _check_finite(array, key, path)
        if any(f"optimizer/{other}/{name}" not in moments for other in _SLOTS):
            raise _damaged(path, f"a moment of {shorten(name)} is missing")


def _check_finite(array: npt.NDArray[Any], name: str, path: Path) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _damaged(path, f"{shorten(name)} is not finite")


def _damaged(path: Path, what: str) -> storage.StorageError:
    return storage.StorageError(
        f"{shorten(str(path))!r} is no checkpoint of this training: {what}. "
        "Name another file, or delete this one."
    )


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
