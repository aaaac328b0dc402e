"""Jobs as panels show them: their state in few numbers, their end in words, cancelled past a busy kernel."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import Any

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.widgets.kit import wire
from sparse_debug_widgets.widgets.kit.calls import describe

State = dict[str, Any]


def state_of(job: Job[Any], hint: Callable[[BaseException], str] | None = None) -> State:
    """A job as the page has it: JSON only.

    Args:
        job: Any job.
        hint: What to do about an error, in a sentence; None: what is right where nothing was found yet.
    """
    status = job.status
    state: State = status._asdict() | {"ended": status.state in FINAL_STATES}
    if job.error is not None:
        state["failure"] = {
            **describe(job.error),
            "hint": (hint or plain_hint)(job.error),
            "traceback": job.traceback[-20_000:],
        }
    return dict(wire.jsonable(state))


UNTOUCHED = "The model is as it was."


def plain_hint(
    error: BaseException,
    *,
    memory: str = "choose fewer lambdas or another device",
    otherwise: str = UNTOUCHED,
) -> str:
    """Say what to do about an error of a job.

    Args:
        error: The error.
        memory: What needs less memory, as advice.
        otherwise: What is true after an error that says all itself.
    """
    if isinstance(error, InputError):
        return f"The message says what was expected. {UNTOUCHED}"
    if is_out_of_memory(error):
        return f"Out of memory: {memory}. {UNTOUCHED}"
    if is_disk_full(error):
        return "The disk is full: free some space and run it again."
    return otherwise


def is_out_of_memory(error: BaseException) -> bool:
    """Did the memory of the machine or of a card not suffice?"""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def is_disk_full(error: BaseException) -> bool:
    """Was there no space to write to?"""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def follow(job: Job[Any], owner: object, changed: Callable[[Any, Job[Any]], None]) -> Callable[[], None]:
    """Call ``changed(owner, job)`` after changes for as long as the owner lives and is not closed.

    The job does not keep its panels alive: a panel that is closed and forgotten is collected, and the job
    goes on without it.
    """
    held = weakref.ref(owner)

    def listener(job: Job[Any]) -> None:
        living = held()
        if living is None or getattr(living, "closed", False):
            stop()
        else:
            changed(living, job)

    stop = job.subscribe(listener)
    return stop
