"""Tells the notebook extension of this kernel's jobs, and hears its cancel.

The kernel broadcasts, the extension listens: every state goes out as a message of one comm that nobody has
opened, which a page without the extension ignores. The other way is the control channel, which the kernel
serves on a thread of its own: a cancel is heard while a cell runs or sleeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.core.jobs import FINAL_STATES, JobStatus, queue

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
    kernel = getattr(ipython, "kernel", None)
    if kernel is None or id(kernel) in _comms or not hasattr(kernel, "control_handlers"):
        return
    from comm import create_comm, get_comm_manager

    # Not primary: nothing is opened, so no page complains of a comm that it does not know.
    comm = create_comm(target_name=TARGET, comm_id=TARGET, primary=False)
    get_comm_manager().register_comm(comm)
    comm.on_msg(lambda message: _hear(comm, message))
    kernel.control_handlers["comm_msg"] = _on_control(comm, kernel.control_handlers.get("comm_msg"))
    _comms[id(kernel)] = comm
    queue.watch(lambda: _broadcast(comm))
    _broadcast(comm)


def snapshot() -> list[dict[str, Any]]:
    """The jobs as the extension shows them: all that go on, and the last ten that have ended, oldest first."""
    statuses = [job.status for job in queue.jobs]
    ended = [status.id for status in statuses if status.state in FINAL_STATES]
    dropped = set(ended[:-_KEPT])
    return [_entry(status) for status in statuses if status.id not in dropped]


def _entry(status: JobStatus) -> dict[str, Any]:
    left = status.seconds_left
    return {
        "id": status.id,
        "name": shorten(status.name, _NOTE_LENGTH),
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


def _hear(comm: Any, message: Mapping[str, Any]) -> None:  # noqa: ANN401 (a comm)
    data = message.get("content", {}).get("data", {})
    if not isinstance(data, Mapping):
        return
    if data.get("do") == "list":
        _broadcast(comm)
    elif data.get("do") == "cancel" and isinstance(data.get("job"), int):
        job = queue.get(data["job"])
        if job is not None:
            job.cancel()


def _on_control(comm: Any, earlier: Callable[..., Any] | None) -> Callable[..., Any]:  # noqa: ANN401 (a comm)
    """A handler for the control channel, which by itself knows no comms."""

    def handle(stream: Any, identity: Any, message: Mapping[str, Any]) -> Any:  # noqa: ANN401 (as ipykernel calls it)
        # Not by way of the comm manager: it would fire IPython's cell events in the middle of a cell.
        if message.get("content", {}).get("comm_id") == TARGET:
            _hear(comm, message)
            return None
        return earlier(stream, identity, message) if earlier is not None else None

    return handle
