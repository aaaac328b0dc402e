"""Warnings that reach the right person: of a job its panel, of a plain call the line that made it.

``warnings.catch_warnings`` changes the whole process, so a job that collected its warnings with it would take
those of the cells that run meanwhile too. A context variable belongs to the thread of the job alone.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

# Not the caller: a warning of a layer comes through the torch model that calls it.
_PASSED_THROUGH = {"sparse_debug_widgets", "torch", "contextlib"}
_collector: ContextVar[list[str] | None] = ContextVar("sdw_notices", default=None)


def notice(message: str, category: type[Warning]) -> None:
    """Warn at the line that called this package, or add the message to what is being collected.

    Args:
        message: What happened, what follows, what to do.
        category: Class of the warning.
    """
    collected = _collector.get()
    if collected is not None:
        collected.append(message)
        return
    frame = callers_frame()
    names = frame.f_globals
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=names.get("__name__") or "<unknown>",
        registry=names.setdefault("__warningregistry__", {}),
    )


def callers_frame() -> FrameType:
    """The frame of the innermost caller who is not of this package, however deep inside it we are."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _package(frame) in _PASSED_THROUGH:
        frame = frame.f_back
    return frame


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@contextmanager
def collected_notices() -> Iterator[list[str]]:
    """Collect the notices of this thread in place of warning.

    >>> with collected_notices() as notices:
    ...     notice("the disk is full", UserWarning)
    >>> notices
    ['the disk is full']
    """
    messages: list[str] = []
    token = _collector.set(messages)
    try:
        yield messages
    finally:
        _collector.reset(token)
