"""Rows shared out over processes: what the processes of a ``torch.distributed`` group tell each other.

Every process runs the same fit on its own rows. Sums over examples are added up over the processes, so all
see the same numbers and take the same decisions; weights, gradients and Gram matrices are whole everywhere.
An error or a cancel in one process must not leave the others waiting: both are agreed upon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from sparse_debug_widgets.core.checks import InputError, reject, shorten
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback
from sparse_debug_widgets.sparse.rows.row_source import Total, alone

Value = TypeVar("Value")
Float64 = npt.NDArray[np.float64]


class Processes:
    """The processes that share a fit, or the one that does it alone.

    Args:
        group: A process group, True for the default one, or None for this process alone.

    Attributes:
        size: How many there are.
        rank: Number of this one.

    Raises:
        InputError: There is no such group, or this process is not in it.
    """

    def __init__(self, group: object = None) -> None:
        self._group: Any = None
        self.size, self.rank = 1, 0
        self._device = torch.device("cpu")
        if group is None or group is False:
            return
        if not dist.is_available() or not dist.is_initialized():
            advice = "Call torch.distributed.init_process_group in every process; torchrun starts them."
            must = "come after the process group is initialised"
            reject("process_group", "this process", must, "no process group", advice)
        # The default group goes by None: a reference kept in some cycle would keep its threads alive after
        # destroy_process_group, into the interpreter's end, where they abort the process.
        self._group = None if group is True else group
        try:
            self.rank, self.size = dist.get_rank(self._group), dist.get_world_size(self._group)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            self.rank = -1
        if self.rank < 0:
            must = "be a process group of torch.distributed that this process belongs to, or True"
            reject("process_group", "this process", must, shorten(repr(group)))
        if dist.get_backend(self._group) == "nccl":
            self._device = torch.device("cuda", torch.cuda.current_device())

    @property
    def total(self) -> Total:
        """Add up the processes' sums."""
        return alone if self.size == 1 else self._sum

    def _sum(self, partial: Tensor) -> Tensor:
        there = partial.to(self._device).contiguous()
        dist.all_reduce(there, group=self._group)
        return there.to(partial.device)

    def sum_array(self, partial: npt.ArrayLike) -> Float64:
        """The sum over all processes of an array or a number, float64."""
        array = np.array(partial, np.float64)
        if self.size == 1:
            return array
        return np.asarray(self._sum(torch.from_numpy(np.atleast_1d(array))).numpy()).reshape(array.shape)

    def gather(self, value: Value) -> list[Value]:
        """Collect a value from every process, in their order. Plain values and small arrays only."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self._group)
        return found

    def all_equal(self, value: object, name: str, must: str = "be the same in every process") -> None:
        """Refuse a value (printable) that differs between processes.

        Raises:
            InputError: In every process, naming two that differ.
        """
        _compare(self.gather(value), name, must)

    def same(self, **settings: object) -> None:
        """Refuse settings (printable) that differ between processes.

        Raises:
            InputError: In every process, naming the setting and two values that differ.
        """
        found = self.gather(settings)
        for name in settings:
            _compare([told[name] for told in found], name, "be the same in every process")

    def together(self, work: Callable[[], Value]) -> Value:
        """Do something that may fail in one process only; if it does, it fails in all.

        Raises:
            InputError: The work raised it here, or in another process; the message says which.
        """
        if self.size == 1:
            return work()
        error: Exception | None = None
        result: Value | None = None
        try:
            result = work()
        except Exception as caught:
            error = caught
        told = self.gather("" if error is None else f"{error}" or type(error).__name__)
        if error is not None:
            raise error
        for rank, message in enumerate(told):
            if message:
                msg = f"process {rank}: {message}"
                raise InputError(msg)
        return result  # type: ignore[return-value]

    def reporting(self, report: ProgressCallback, given: object) -> ProgressCallback:
        """A progress callback that cancels in all processes when it cancels in one.

        Args:
            report: This process's callback.
            given: What the caller passed for it; where no process passed anything, nothing is exchanged.
        """
        if self.size == 1 or not any(self.gather(given is not None and given is not False)):
            return report

        def shared(progress: Progress) -> None:
            error: BaseException | None = None
            try:
                report(progress)
            except BaseException as caught:
                error = caught
            failed = self._sum(torch.tensor([error is not None], dtype=torch.float32))
            if error is not None:
                raise error
            if float(failed) > 0:
                raise Cancelled

        return shared


def offsets(counts: Sequence[int], rank: int) -> slice:
    """The offsets of each process's rows among the rows of all, in the processes' order."""
    start = sum(counts[:rank])
    return slice(start, start + counts[rank])


def _compare(found: Sequence[object], name: str, must: str) -> None:
    for rank, other in enumerate(found):
        if other != found[0]:
            got = f"{shorten(repr(found[0]), 60)} in process 0 and {shorten(repr(other), 60)} in {rank}"
            reject(name, "a fit shared over processes", must, got)
