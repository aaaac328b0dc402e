"""The folder in which an interrupted path fit goes on: one small file per strength, and the solver's state.

``fit.safetensors`` says which data and settings the folder belongs to, ``lambda-00042.safetensors`` holds one
finished strength, ``state.safetensors`` what the solver knew after a number of them. All are written
atomically and carry a checksum, so a process that is killed at any moment leaves whole files. They are not
forced onto the disk one by one: after a loss of power the checksums tell which ones arrived.

The state may be much larger than a strength (Gram matrices). It is written as often as that costs a
twentieth of the time; strengths solved since are solved again on resuming, with the same outcome.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError, refuse, shorten
from sparse_debug_widgets.core.layout import faults
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.sparse.solvers.solver import State

Float64 = npt.NDArray[np.float64]
SCHEMA = 1
HEAD, STATE = "fit.safetensors", "state.safetensors"
_SHARE = 20.0
_STATE_BYTES = 1 << 30
"""A larger state is not kept: a fit then goes on from the last two strengths, certified all the same."""


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged in part, or cannot be written any more; the message says what follows."""


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One strength, on the host.

    Attributes:
        data: Nonzero weights, row after row.
        indices: Their features.
        row_nonzeros: (C,) how many each row has.
        intercept: (C,).
        gap: Relative duality gap.
        objective: Training objective.
        losses: (3,) of the splits.
        accuracies: (3,) of the splits.
        iterations: Passes over the data.
        seconds: Wall-clock seconds.
        reason: What ended the work.
        weight_bound: Largest distance of a weight from the optimum, as proved; NaN in older files.
        open_entries: Places among all C p entries, sorted, of zeros of which no more than that is proved;
            None if that is all of them.
    """

    data: Float64
    indices: npt.NDArray[np.int32]
    row_nonzeros: npt.NDArray[np.int64]
    intercept: Float64
    gap: float
    objective: float
    losses: Float64
    accuracies: Float64
    iterations: int
    seconds: float
    reason: str
    weight_bound: float = math.nan
    open_entries: npt.NDArray[np.int64] | None = None


_ARRAYS = {
    "data": "k float finite",
    "indices": "k index <p",
    "row_nonzeros": "C index",
    "intercept": "C float finite",
    "losses": "3 float",
    "accuracies": "3 float",
}
LAMBDAS = "the lambdas"
_ROUNDING = 1e-9
_LATER = {"weight_bound": "float", "open_entries": "m index increasing <E"}
_NUMBERS = {"gap": "float", "objective": "float", "iterations": "int", "seconds": "float", "reason": "str"}


class Checkpoint:
    """A folder that holds one fit.

    Args:
        folder: The folder; made if it is missing.
        identity: Everything the fit depends on, by the name a person knows it by; JSON-able.
        shape: (C, p) of the weights.
        lambdas: The strengths. Another process may round them otherwise in the last bits, and its folder is
            known all the same.

    Raises:
        InputError: The folder is a file, or belongs to a fit of other data or settings.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        shape: tuple[int, int],
        lambdas: npt.NDArray[np.float64],
    ) -> None:
        self._shape, self._lambdas = shape, np.asarray(lambdas, np.float64)
        if folder.exists() and not folder.is_dir():
            refuse(f"{shorten(str(folder))!r} is a file, and a checkpoint is a folder: name another one.")
        self.folder = folder
        self._identity = dict(identity)
        self._cost = self._saved = 0.0
        self._failed = False
        folder.mkdir(parents=True, exist_ok=True)
        head = folder / HEAD
        if head.exists():
            found, arrays = storage.read(head, kind="path_checkpoint", schema=SCHEMA)
            self._compare(found, arrays.get("lambdas"))
        else:
            arrays = {"lambdas": self._lambdas}
            storage.write(head, kind="path_checkpoint", schema=SCHEMA, head=self._identity, arrays=arrays)
        for torn in folder.glob(".*"):  # of a process that was killed while it wrote
            with suppress(OSError):
                torn.unlink()

    def _compare(self, found: Mapping[str, Any], lambdas: npt.NDArray[Any] | None) -> None:
        odd = [name for name in {**found, **self._identity} if found.get(name) != self._identity.get(name)]
        # Folders of earlier versions hold the fingerprint of the strengths alone.
        alike = lambdas is not None and lambdas.shape == self._lambdas.shape
        if lambdas is not None and alike and np.allclose(lambdas, self._lambdas, rtol=_ROUNDING, atol=0):
            odd = [name for name in odd if name != LAMBDAS]
        if not odd:
            return
        said = []
        for name in odd:
            got, wanted = (shorten(repr(held.get(name)), 60) for held in (found, self._identity))
            said.append(
                f"other {name[4:]}" if name.startswith("the ") else f"{name}={got} instead of {wanted}"
            )
        msg = (
            f"Checkpoint {shorten(self.folder.name)!r} is of another fit, with {', '.join(said)}. "
            "Pass the same data and settings as then, delete the folder, or choose another one."
        )
        raise InputError(msg)

    def _file(self, index: int) -> Path:
        return self.folder / f"lambda-{index:05d}.safetensors"

    def load(self, total: int) -> tuple[list[Record], State | None]:
        """The strengths to go on from, and the solver's state after the last of them.

        A complete path comes without a state, since nothing is left to solve. Without one otherwise (it is
        damaged, or was too large to keep) all strengths found are given, and the solver starts from the
        last two of them.
        """
        records: list[Record] = []
        with suppress(FileNotFoundError, storage.StorageError):
            while True:
                records.append(self._read(len(records)))
        if len(records) >= total:
            return records[:total], None
        try:
            head, state = storage.read(self.folder / STATE, kind="path_checkpoint_state", schema=SCHEMA)
            solved = head.get("solved")
            if type(solved) is not int or solved < 1:
                raise storage.StorageError(f"{STATE} says {shorten(repr(solved))} strengths")
        except FileNotFoundError:
            # Nothing solved, or killed before the first state: from the start, unless states are not kept.
            return (records if self._stateless else []), None
        except storage.StorageError as error:
            self.warn_of_state(str(error), records)
            return records, None
        if solved > len(records):
            self._warn(f"strength {len(records)} is missing or damaged", records)
            return records, None
        return records[:solved], state

    @property
    def _stateless(self) -> bool:
        return (self.folder / "no-state").exists()

    def warn_of_state(self, wrong: str, records: list[Record]) -> None:
        """Say that the solver's state cannot be used, and what follows."""
        self._warn(f"its solver state is damaged ({shorten(wrong, 100)})", records)

    def _warn(self, what: str, records: list[Record]) -> None:
        notice(
            f"checkpoint {shorten(self.folder.name)!r}: {what}. The fit goes on after its first "
            f"{len(records)} strengths, certified as ever, but not bit by bit as without the interruption.",
            CheckpointWarning,
        )

    def _read(self, index: int) -> Record:
        """The record of a strength.

        Raises:
            StorageError: A file that is damaged, or whose parts do not fit together.
        """
        head, arrays = storage.read(self._file(index), kind="path_checkpoint_lambda", schema=SCHEMA)
        rows, p = self._shape
        lengths = {"C": rows, "p": p, "E": rows * p}
        lines = {
            name: line for name, line in {**_ARRAYS, **_LATER}.items() if name in arrays or name in _ARRAYS
        }
        held: dict[str, Any] = {name: arrays.get(name) for name in lines}
        numbers: dict[str, Any] = {name: head.get(name) for name in _NUMBERS}
        wrong = next(faults(lines, held, {}, lengths), "") or next(faults({}, numbers, _NUMBERS), "")
        wrong = wrong or next(_faults(held), "")
        if wrong:
            raise storage.StorageError(f"{self._file(index).name} holds no strength: {shorten(wrong)}.")
        if "weight_bound" in held:
            held["weight_bound"] = float(held["weight_bound"])
        return Record(**held, **numbers)

    def add(self, index: int, record: Record, state: State) -> None:
        """Keep a strength, and the solver's state if it is time.

        A disk that is full does not end the fit: a warning says so once, and the files stay as they are.
        """
        if self._failed:
            return
        try:
            self._write(index, record)
            self._write_state(index + 1, state)
        except OSError as error:
            self._failed = True
            notice(
                f"checkpoint {shorten(str(self.folder))!r} cannot be written any more "
                f"({error.strerror or error}): it keeps the first {solved_in(self.folder)} strengths, and "
                "the fit goes on without it. Free some space and run the fit again to resume from there.",
                CheckpointWarning,
            )

    def _write(self, index: int, record: Record) -> None:
        arrays = {name: np.asarray(getattr(record, name)) for name in _ARRAYS}
        arrays["weight_bound"] = np.array(record.weight_bound)
        if record.open_entries is not None:
            arrays["open_entries"] = record.open_entries
        storage.write(
            self._file(index),
            kind="path_checkpoint_lambda",
            schema=SCHEMA,
            head={name: getattr(record, name) for name in _NUMBERS},
            arrays=arrays,
            durable=False,
        )

    def _write_state(self, solved: int, state: State) -> None:
        began = time.perf_counter()
        if began - self._saved < _SHARE * self._cost:
            return
        if sum(array.nbytes for array in state.values()) > _STATE_BYTES:
            (self.folder / STATE).unlink(missing_ok=True)
            (self.folder / "no-state").touch()
            return
        storage.write(
            self.folder / STATE,
            kind="path_checkpoint_state",
            schema=SCHEMA,
            head={"solved": solved},
            arrays=state,
            durable=False,
        )
        self._saved = time.perf_counter()
        self._cost = self._saved - began


def _faults(held: Mapping[str, Any]) -> Iterator[str]:
    """Tell what is wrong with a strength beyond the shapes of its parts."""
    counts = held["row_nonzeros"]
    if int(counts.sum()) != len(held["data"]):
        yield f"{int(counts.sum())} nonzero weights in the rows, and {len(held['data'])} weights"
        return
    ends = np.cumsum(counts)
    if any(
        (np.diff(held["indices"][end - count : end]) <= 0).any()
        for count, end in zip(counts, ends, strict=True)
    ):
        yield "features that do not rise within a row"
    if np.count_nonzero(held["data"]) != len(held["data"]):
        yield "weights that are 0"


def solved_in(folder: str | os.PathLike[str]) -> int:
    """Count the strengths in a checkpoint; 0 if there is none."""
    count = 0
    while (Path(folder) / f"lambda-{count:05d}.safetensors").is_file():
        count += 1
    return count
