"""Progress and cancellation: one callback, called at least once per minibatch.

A long function takes ``progress: ProgressCallback | bool | None`` and turns it into a callback with
:func:`reporter`. Cancelling is the callback's business too: it raises :class:`Cancelled`, so that a
function needs neither a second argument nor a thread to be stoppable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TextIO


class Progress(NamedTuple):
    """How far a long operation has come.

    Attributes:
        done: Units of work finished, in the unit the operation counts in (batches, lambdas, steps).
        total: Units of work expected in all; 0 if that is not known.
        note: One short sentence for a person, for example ``"lambda 12 of 100, gap 3e-4"``.
        piece: A finished piece of the result that is useful by itself (one lambda of a path), or None.
        seconds_left: Expected seconds to the end, where the function knows better than the pace of its units
            says (see :class:`Phases`); None where it does not.
    """

    done: float
    total: float
    note: str = ""
    piece: Any = None
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        """Share of the work that is done, in [0, 1]; 0 while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


ProgressCallback = Callable[[Progress], None]


class Cancelled(Exception):  # noqa: N818 - a request that was granted, not an error
    """Raised by a progress callback to stop the operation that called it."""


class Phases:
    """Progress of work that comes in phases of unlike cost (read, train, draw), with an honest time left.

    A share of a bar that each phase gets in advance says nothing about time: a network that is slow to read
    is slow to draw, and its training is not. So seconds are counted: those spent, and those expected, of a
    phase by its own pace once that can be told, and until then by a guess.

    Args:
        report: Gets the whole's progress, in percent of the time; it never goes back.
        guesses: Name of each phase, in order, to the seconds that it may take.
    """

    def __init__(self, report: ProgressCallback, guesses: Mapping[str, float]) -> None:
        self._report = report
        self._guesses = dict(guesses)
        self._spent: dict[str, float] = {}
        self._percent = 0.0
        self._clock = time.monotonic

    def expect(self, name: str, seconds: float) -> None:
        """Correct the guess about a phase that has not begun."""
        self._guesses[name] = seconds

    def phase(self, name: str) -> ProgressCallback:
        """The callback of a phase, which begins now; those before it have ended."""
        began = self._clock()
        for earlier in self._guesses:
            if earlier == name:
                break
            self._spent.setdefault(earlier, 0.0)

        def inner(progress: Progress) -> None:
            spent = self._spent[name] = self._clock() - began
            left = self._left_of(name, progress.fraction, spent) + sum(
                seconds for other, seconds in self._guesses.items() if other not in self._spent
            )
            total = sum(self._spent.values()) + left
            percent = 100 * sum(self._spent.values()) / total if total > 0 else 0.0
            self._percent = max(self._percent, min(percent, 99.0))
            self._report(Progress(self._percent, 100, progress.note, progress.piece, left))

        inner(Progress(0, 1, name))
        return inner

    def finish(self, note: str) -> None:
        """Say that all is done."""
        self._report(Progress(100, 100, note))

    def _left_of(self, name: str, fraction: float, spent: float) -> float:
        """Seconds that a phase still takes: its own pace, trusted the more the further it has come."""
        guess = max(0.0, self._guesses[name] - spent)
        if fraction <= 0:
            return guess
        trust = min(1.0, fraction / _TOLD)
        return trust * spent * (1 - fraction) / fraction + (1 - trust) * guess


_TOLD = 0.05


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
