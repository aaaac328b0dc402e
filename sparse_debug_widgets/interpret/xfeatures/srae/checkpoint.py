"""The file in which an interrupted training of an explanation network goes on, bit by bit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.layout import faults
from sparse_debug_widgets.core.notices import notice

_KIND, _SCHEMA = "x_feature_checkpoint", 1
_SHARE = 20.0
_NUMBERS = ("stage", "epoch", "steps", "tries", "history")
_TRY = ("beta", "eta", "second", "accepted")
_TENSORS = ("parameters", "moments", "start", "best")


class TrainingCheckpointWarning(UserWarning):
    """A checkpoint cannot be read or written; the message says what follows."""


@dataclass
class State:
    """The state of a training at the end of an epoch.

    Attributes:
        parameters: All weights, flat.
        stage: Stages that are finished.
        epoch: Epochs of the present stage that are finished.
        steps: Adam's step count.
        moments: (2, m) Adam's moments of the parameters that the stage trains, flat.
        start: Weights after pretraining, flat.
        best: Weights of the best try so far, flat.
        tries: See `Trained`.
        history: See `Trained`.
    """

    parameters: Tensor
    stage: int = 0
    epoch: int = 0
    steps: float = 0.0
    moments: Tensor | None = None
    start: Tensor | None = None
    best: Tensor | None = None
    tries: list[dict[str, float]] = field(default_factory=list)
    history: list[list[float]] = field(default_factory=list)


class Plan(NamedTuple):
    """The steps of a training, as far as its states must agree with it.

    Attributes:
        parameters: Number of all weights.
        stages: For each stage of the pretraining, and for the tries after it, how many weights it trains.
        epochs: Of a stage of the pretraining, and of a try.
        tries: How many there can be.
    """

    parameters: int
    stages: tuple[int, ...]
    epochs: tuple[int, int]
    tries: int


def _faults(head: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], plan: Plan) -> Iterator[str]:
    """Tell what is wrong with a state that was read, a phrase each."""
    types = {"stage": "int", "epoch": "int", "steps": "float", "tries": "Any", "history": "Any"}
    yield from faults({}, {name: head.get(name) for name in types}, types)
    depth = len(plan.stages) - 1
    stage, epoch, tries, history = (head.get(name) for name in ("stage", "epoch", "tries", "history"))
    if not isinstance(stage, int) or not 0 <= stage <= depth + plan.tries:
        yield f"stage {stage}"
        return
    if not isinstance(epoch, int) or not 0 <= epoch <= plan.epochs[stage >= depth]:
        yield f"epoch {epoch}"
    if not isinstance(tries, list) or len(tries) != max(0, stage - depth):
        yield "tries that are not one for each stage"
    elif not all(isinstance(one, dict) and set(one) == set(_TRY) and _numbers(one.values()) for one in tries):
        yield f"a try without {', '.join(_TRY)}"
    rows = history if isinstance(history, list) else [None]
    if not all(isinstance(row, list) and len(row) == 4 and _numbers(row) for row in rows):
        yield "a history that is not rows of four numbers"
    yield from _array_faults(arrays, plan, min(stage, depth), late=stage > depth, begun=bool(epoch))


def _array_faults(
    arrays: Mapping[str, npt.NDArray[Any]], plan: Plan, stage: int, *, late: bool, begun: bool
) -> Iterator[str]:
    depth = len(plan.stages) - 1
    needed = {"parameters"} | ({"moments"} if begun else set())
    needed |= {"start"} if stage == depth else set()
    needed |= {"best"} if late else set()
    if missing := sorted(needed - set(arrays)):
        yield f"no {missing[0]}"
    for name, array in arrays.items():
        shape = (2, plan.stages[stage]) if name == "moments" else (plan.parameters,)
        if name not in _TENSORS or array.shape != shape or array.dtype != np.float32:
            yield f"{shorten(name)} of shape {array.shape}, {array.dtype}"
        elif not np.isfinite(array).all() or (name == "moments" and (array[1] < 0).any()):
            yield f"{name} that cannot be"


def _numbers(values: Iterable[object]) -> bool:
    return all(type(value) in {int, float} for value in values)


class Checkpoint:
    """One file for one training.

    Args:
        path: The file; its folder is made if it is missing.
        identity: Everything the training depends on, by the name a person knows it by; JSON-able.

    Raises:
        InputError: The path is a folder.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            refuse(
                f"{shorten(str(self.path))!r} is a folder: name the file in it that the checkpoint goes to."
            )
        self._identity = dict(identity)
        self._cost = self._saved = 0.0
        self._failed = False

    def load(self, plan: Plan) -> State | None:
        """The state to go on from, or None where there is none yet.

        A damaged file is not used: a warning says so, and the training starts anew.

        Args:
            plan: What the training does.

        Raises:
            InputError: The file belongs to another training.
        """
        try:
            head, arrays = storage.read(self.path, kind=_KIND, schema=_SCHEMA)
        except FileNotFoundError:
            return None
        except storage.StorageError as error:
            message = f"the checkpoint is not used, the training starts anew: {error}"
            notice(message, TrainingCheckpointWarning)
            return None
        identity = head.get("identity")
        self._compare(identity if isinstance(identity, dict) else {})
        wrong = next(_faults(head, arrays, plan), "")
        if wrong:
            message = f"the checkpoint is not used, the training starts anew: its parts do not fit ({wrong})."
            notice(message, TrainingCheckpointWarning)
            return None
        held: dict[str, Any] = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return State(**{name: head[name] for name in _NUMBERS}, **held)

    def _compare(self, found: Mapping[str, Any]) -> None:
        odd = sorted(
            name for name in {**found, **self._identity} if found.get(name) != self._identity.get(name)
        )
        if odd:
            refuse(
                f"Checkpoint {shorten(self.path.name)!r} is of another training: it differs in "
                f"{', '.join(odd)}. Pass the same data and settings as then, delete the file, or choose "
                "another one."
            )

    def due(self) -> bool:
        """Say whether it is time: saving takes a twentieth of the time at most."""
        return not self._failed and time.perf_counter() - self._saved >= _SHARE * self._cost

    def save(self, state: State) -> None:
        """Keep a state. A disk that is full does not end the training: a warning says so once."""
        began = time.perf_counter()
        held = {name: getattr(state, name) for name in _TENSORS}
        arrays: dict[str, npt.NDArray[Any]] = {
            name: np.asarray(tensor.numpy()) for name, tensor in held.items() if tensor is not None
        }
        head = {"identity": self._identity, **{name: getattr(state, name) for name in _NUMBERS}}
        try:
            storage.write(self.path, kind=_KIND, schema=_SCHEMA, head=head, arrays=arrays, durable=False)
        except OSError as error:
            self._failed = True
            message = (
                f"checkpoint {shorten(str(self.path))!r} cannot be written any more "
                f"({error.strerror or error}): the training goes on without it."
            )
            notice(message, TrainingCheckpointWarning)
        self._saved = time.perf_counter()
        self._cost = self._saved - began
