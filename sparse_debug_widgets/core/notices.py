"""Warnings that reach the right person: of a job its panel, of a plain call the usual place.

``warnings.catch_warnings`` changes the whole process, so a job that collected its warnings with it would take
those of the cells that run meanwhile too. A context variable belongs to the thread of the job alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_collector: ContextVar[list[str] | None] = ContextVar("sdw_notices", default=None)


def notice(message: str, category: type[Warning], stacklevel: int = 2) -> None:
    """Warn, or add the message to what is being collected.

    Args:
        message: What happened, what follows, what to do.
        category: Class of the warning.
        stacklevel: Whose line the warning names; 2 is the caller of the caller of this function.
    """
    collected = _collector.get()
    if collected is None:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
    else:
        collected.append(message)


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
