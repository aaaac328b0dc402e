"""Requests of the front end: each has an id and gets exactly one reply, ok or error."""

from __future__ import annotations

import threading
import time
import traceback
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from sparse_debug_widgets.core.checks import InputError, shorten, suggest
from sparse_debug_widgets.core.jobs import queue
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.widgets.kit import wire

_Method = TypeVar("_Method", bound=Callable[..., Any])

# A comm that the front end opens is served while a cell runs (ipykernel 7.2 and later), an ordinary widget
# message is not: cancelling travels on it.
CONTROL_TARGET = "sdw.control"
_PROGRESS_SECONDS = 0.08
_REMEMBERED = 512


class Answer(NamedTuple):
    """The reply of a handler: a JSON value and arrays."""

    value: Mapping[str, Any]
    arrays: Mapping[str, wire.Array] = {}


class Send(Protocol):
    """The way out for a message: ``Widget.send``."""

    def __call__(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None: ...  # noqa: D102


def action(method: _Method) -> _Method:
    """Mark a method ``(call, **arguments) -> Answer`` as one that the front end may request by its name."""
    method.__dict__["is_action"] = True
    return method


class Call:
    """One request in progress: report progress on it, notice that it was cancelled."""

    def __init__(self, identifier: str, send: Send, cancelled: threading.Event) -> None:
        self.id = identifier
        self.cancelled = cancelled
        self._send = send
        self._last = 0.0

    def progress(self, progress: Progress) -> None:
        """A progress callback: tells the front end, at most twelve times a second.

        Raises:
            Cancelled: The person has cancelled this request.
        """
        if self.cancelled.is_set():
            raise Cancelled
        now = time.monotonic()
        if now - self._last >= _PROGRESS_SECONDS:
            self._last = now
            content = {"done": float(progress.done), "total": float(progress.total), "note": progress.note}
            self._send({"sdw": "progress", "id": self.id, **wire.jsonable(content)})


class Desk:
    """Takes the messages of one panel and answers each request once.

    Args:
        actions: Name -> handler.
        send: Sends a message to all views of the panel; a view ignores what it did not ask for.
    """

    def __init__(self, actions: Mapping[str, Callable[..., Answer]], send: Send) -> None:
        self._actions = actions
        self._send = send
        self._lock = threading.Lock()
        self._cancels: OrderedDict[str, threading.Event] = OrderedDict()
        self._taken: OrderedDict[str, None] = OrderedDict()

    def receive(self, content: Any) -> None:  # noqa: ANN401 (whatever the front end sent)
        """Handle one message; messages that are not ours are ignored."""
        if not isinstance(content, Mapping) or not isinstance(content.get("id"), str):
            return
        if content.get("sdw") == "cancel" and isinstance(content.get("job"), int):
            cancel_job(content["job"])
        elif content.get("sdw") == "cancel":
            self.cancel(content["id"])
        elif content.get("sdw") == "request":
            self._answer(content["id"], content)

    def cancel(self, identifier: str) -> None:
        """Cancel a request, also one that has not arrived yet; may be called from any thread."""
        with self._lock:
            if identifier in self._cancels or identifier not in self._taken:
                self._event(identifier).set()

    def _event(self, identifier: str) -> threading.Event:
        event = self._cancels.setdefault(identifier, threading.Event())
        while len(self._cancels) > _REMEMBERED:
            self._cancels.popitem(last=False)
        return event

    def _answer(self, identifier: str, content: Mapping[str, Any]) -> None:
        with self._lock:
            if identifier in self._taken:
                return
            self._taken[identifier] = None
            while len(self._taken) > _REMEMBERED:
                self._taken.popitem(last=False)
            call = Call(identifier, self._send, self._event(identifier))
        reply, buffers, ending = self._run(call, content)
        with self._lock:
            self._cancels.pop(identifier, None)
        self._send({"sdw": "reply", "id": identifier, **reply}, buffers)
        if ending is not None:
            raise ending

    def _run(
        self, call: Call, content: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[bytes], BaseException | None]:
        name, arguments = content.get("action"), content.get("args", {})
        ending: BaseException | None = None
        try:
            if not isinstance(name, str) or name not in self._actions:
                raise InputError(
                    f"This panel has no action {shorten(repr(name), 60)}. {suggest(str(name), self._actions)}"
                )
            if not isinstance(arguments, Mapping):
                raise InputError(f"arguments of {name} must be an object; got {type(arguments).__name__}")
            if call.cancelled.is_set():
                raise Cancelled
            answer = self._actions[name](call, **arguments)
            heads, buffers = wire.in_message(answer.arrays)
            return {"ok": True, "value": wire.jsonable(answer.value), "arrays": heads}, buffers, None
        except Exception as caught:
            error: BaseException = caught
        except KeyboardInterrupt as caught:  # the stop button: the request ends, the kernel goes on
            error = caught
        except BaseException as caught:
            error = ending = caught
        return {"ok": False, "error": describe(error)}, [], ending


def describe(error: BaseException) -> dict[str, str]:
    """An exception as the panel shows it: message, a hint what to do, traceback to unfold."""
    lines = traceback.format_exception(error)
    return {
        "type": type(error).__name__,
        "message": shorten(str(error), 2_000),
        "hint": _hint(error),
        "traceback": "".join(lines)[-20_000:],
    }


def _hint(error: BaseException) -> str:
    if isinstance(error, Cancelled):
        return "Cancelled; nothing was changed."
    if isinstance(error, KeyboardInterrupt):
        return "The kernel was interrupted; nothing was changed. Try again."
    if isinstance(error, InputError):
        return "The message says what was expected."
    if isinstance(error, MemoryError):
        return "Out of memory: pass less data, or a loader with smaller batches."
    notes = " ".join(getattr(error, "__notes__", ()))
    return f"{notes} The model and the panel are as they were; the traceback says where it happened.".strip()


def cancel_job(number: int) -> bool:
    """Ask a job to stop, from any thread; False if there is none of that number or it has ended."""
    job = queue.get(number)
    return job.cancel() if job is not None else False


_desks: weakref.WeakValueDictionary[str, Desk] = weakref.WeakValueDictionary()


def listen_for_cancel(panel_id: str, desk: Desk) -> None:
    """Let the control comm of the front end reach this desk (the kernel never publishes on it)."""
    _desks[panel_id] = desk
    from comm import get_comm_manager

    get_comm_manager().register_target(CONTROL_TARGET, _open_control)


def _open_control(comm: Any, _open_message: Any) -> None:  # noqa: ANN401 (a comm and its message)
    def heard(message: Mapping[str, Any]) -> None:
        data = message.get("content", {}).get("data", {})
        if isinstance(data.get("job"), int):
            cancel_job(data["job"])
        desk = _desks.get(str(data.get("panel")))
        if desk is not None and isinstance(data.get("cancel"), str):
            desk.cancel(data["cancel"])

    comm.on_msg(heard)
