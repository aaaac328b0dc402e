"""Tells the notebook extension of this kernel's jobs, and hears its cancel.

The kernel broadcasts, the extension listens: every state goes out as a message of one comm that nobody has
opened, which a page without the extension ignores. The other way is the control channel, which the kernel
serves on a thread of its own, so that a cancel is heard while a cell runs or sleeps. It travels there as one
more field of a `comm_info_request`: every kernel answers that, and neither page nor server takes it for work;
any other message would show a busy kernel as idle once it is handled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.core.job import FINAL_STATES, JobStatus
from sparse_debug_widgets.core.jobs import queue
from sparse_debug_widgets.widgets.kit.foreground import list_calls

TARGET = "sdw.jobs"
"""Name of the comm, and its id: well known, so that a page can ask a kernel whether it has it."""
_KEPT = 10
_NOTE_LENGTH = 200
_ERROR_LENGTH = 500

_comms: dict[int, Any] = {}


def announce_jobs(ipython: Any) -> None:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    """Let the notebook extension list and cancel this kernel's jobs; does nothing outside a Jupyter kernel.

    Args:
        ipython: The shell, as ``IPython.get_ipython()`` returns it.
    """
    kernel: Any = getattr(ipython, "kernel", None)
    if id(kernel) in _comms or "comm_info_request" not in getattr(kernel, "control_handlers", {}):
        return
    from comm import create_comm, get_comm_manager

    # Not primary: nothing is opened, so no page complains of a comm that it does not know.
    comm = create_comm(target_name=TARGET, comm_id=TARGET, primary=False)
    get_comm_manager().register_comm(comm)
    answer = kernel.control_handlers["comm_info_request"]
    kernel.control_handlers["comm_info_request"] = _listening(comm, answer)
    _comms[id(kernel)] = comm
    list_calls(ipython)
    queue.watch(lambda: _broadcast(comm))
    _broadcast(comm)


def snapshot() -> list[dict[str, Any]]:
    """The jobs as the extension shows them: those that go on and the last ten that ended, oldest first."""
    statuses = [job.status for job in queue.jobs]
    ended = [status.id for status in statuses if status.state in FINAL_STATES]
    dropped = set(ended[:-_KEPT])
    return [_entry(status) for status in statuses if status.id not in dropped]


def _entry(status: JobStatus) -> dict[str, Any]:
    left = status.seconds_left
    return {
        "id": status.id,
        "name": shorten(status.name, _NOTE_LENGTH),
        "noun": shorten(status.noun, _NOTE_LENGTH),
        "state": status.state,
        "cancelling": status.cancelling,
        "done": _number(status.done),
        "total": _number(status.total),
        "note": shorten(status.note, _NOTE_LENGTH),
        "seconds": _number(status.seconds),
        "left": None if left is None or not math.isfinite(left) else float(left),
        "error": shorten(status.error, _ERROR_LENGTH),
    }


def _number(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0


def _broadcast(comm: Any) -> None:  # noqa: ANN401 (a comm)
    comm.send({"jobs": snapshot()})


def _hear(comm: Any, wish: object) -> None:  # noqa: ANN401 (a comm)
    if not isinstance(wish, Mapping):
        return
    if wish.get("do") == "list":
        _broadcast(comm)
    elif wish.get("do") == "cancel" and isinstance(wish.get("job"), int):
        job = queue.get(wish["job"])
        if job is not None:
            job.cancel()


def _listening(comm: Any, answer: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ANN401 (a comm)
    """The kernel's own answer to `comm_info_request`, that also hears what the extension adds to it."""

    def handle(stream: Any, identity: Any, message: Mapping[str, Any]) -> Any:  # noqa: ANN401 (as ipykernel calls it)
        _hear(comm, message.get("content", {}).get(TARGET))
        return answer(stream, identity, message)

    return handle
