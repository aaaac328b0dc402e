"""Progress and cancellation: one callback, called at least once per minibatch.

A long function takes ``progress: ProgressCallback | bool | None`` and turns it into a callback with
:func:`reporter`. Cancelling is the callback's business too: it raises :class:`Cancelled`, so that a
function needs neither a second argument nor a thread to be stoppable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO


class Progress(NamedTuple):
    """How far a long operation has come.

    Attributes:
        done: Units of work finished, in the unit the operation counts in (batches, lambdas, steps).
        total: Units of work expected in all; 0 if that is not known.
        note: One short sentence for a person, for example ``"lambda 12 of 100, gap 3e-4"``.
        piece: A finished piece of the result that is useful by itself (one lambda of a path), or None.
    """

    done: float
    total: float
    note: str = ""
    piece: Any = None

    @property
    def fraction(self) -> float:
        """Share of the work that is done, in [0, 1]; 0 while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


ProgressCallback = Callable[[Progress], None]


class Cancelled(Exception):  # noqa: N818 - a request that was granted, not an error
    """Raised by a progress callback to stop the operation that called it."""


def _silent(_: Progress) -> None:
    return


class _TerminalLine:
    """Writes progress over one line of a terminal, at most ten times a second."""

    def __init__(self, stream: TextIO, interval: float = 0.1) -> None:
        self._stream = stream
        self._interval = interval
        self._last = 0.0
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        finished = progress.total > 0 and progress.done >= progress.total
        if not finished and now - self._last < self._interval:
            return
        self._last = now
        share = f"{100 * progress.fraction:3.0f} %" if progress.total else f"{progress.done:g}"
        line = f"{share}  {progress.note}"[:120]
        self._stream.write("\r" + line.ljust(self._width) + ("\n" if finished else ""))
        self._stream.flush()
        self._width = len(line)


def reporter(progress: object) -> ProgressCallback:
    """Turn the ``progress`` argument (``ProgressCallback | bool | None``) of a function into a callback.

    Args:
        progress: A callback, ``True`` for a line on standard error, ``None`` or ``False`` for silence.

    Returns:
        A callable that takes a :class:`Progress`. It may raise :class:`Cancelled`.

    Raises:
        TypeError: ``progress`` is neither a callable nor a bool nor None.
    """
    if progress is None or progress is False:
        return _silent
    if progress is True:
        return _TerminalLine(sys.stderr)
    if not callable(progress):
        msg = (
            f"progress={progress!r} is not compatible with a progress callback: "
            f"it must be a callable, True, False or None; got {type(progress).__name__}"
        )
        raise TypeError(msg)
    return progress
