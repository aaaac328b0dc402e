"""Progress and cancellation: one callback, called at least once per minibatch.

A long function takes ``progress: ProgressCallback | bool | None`` and turns it into a callback with
:func:`reporter`. Cancelling is the callback's business too: it raises :class:`Cancelled`, so that a
function needs neither a second argument nor a thread to be stoppable.

Where somebody waits in front of a notebook, what takes longer than a second shows a line without being asked;
``widgets`` says how (:func:`show_by_default`), for this room knows no notebooks.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any, NamedTuple, TextIO


class Progress(NamedTuple):
    """The progress of a long operation.

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


def line_of(progress: Progress, seconds: float) -> str:
    """Progress as one line for people.

    Args:
        progress: How far it is.
        seconds: Since it began.
    """
    note = progress.note or "working"
    if progress.total > 0 and progress.done >= progress.total:
        return f"{note}: done in {_duration(seconds)}"
    if progress.total <= 0:
        return f"{note}: {progress.done:,g}"
    left = progress.seconds_left
    if left is None and progress.fraction > _TOLD:
        left = seconds * (1 - progress.fraction) / progress.fraction
    told = "" if left is None else f", {_duration(max(1.0, round(left)))} left"
    return f"{note}: {100 * progress.fraction:.0f} %{told}"


def _duration(seconds: float) -> str:
    """Seconds for people: 0.4 s, 12 s, 3 min."""
    if seconds < _MINUTES:
        return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


class Line:
    """Progress written over one line, at most ten times a second.

    Args:
        write: Gets the line, and whether it is the last.
        patience: Seconds during which nothing is written; what ends within them leaves no line.
    """

    def __init__(self, write: Callable[[str, bool], None], *, patience: float = 0.0) -> None:
        self._write, self._patience = write, patience
        self._began = self._last = time.monotonic()
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        """Write it, unless it is too early or too soon after the last."""
        now = time.monotonic()
        finished = progress.total > 0 and progress.done >= progress.total
        if now - self._began < self._patience or (finished and not self._shown and self._patience):
            return
        if self._shown and not finished and now - self._last < _INTERVAL:
            return
        self._last, self._shown = now, True
        self._write(line_of(progress, now - self._began)[:_WIDTH], finished)


class _Terminal:
    """Writes lines over each other on a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def __call__(self, line: str, last: bool) -> None:
        self._stream.write("\r" + line.ljust(self._width) + ("\n" if last else ""))
        self._stream.flush()
        self._width = len(line)


_INTERVAL, _WIDTH, _MINUTES = 0.1, 120, 120.0
_PATIENCE = 1.0


class _Unasked:
    """The progress line that is shown unasked, and the operation that it belongs to."""

    make: Callable[[], Callable[[str, bool], None]] | None = None
    listing: Callable[[str], ProgressCallback | None] | None = None
    owner: tuple[int, CodeType] | None = None


def show_by_default(make: Callable[[], Callable[[str, bool], None]] | None) -> None:
    """Say how progress is shown where nobody asked for it; None: not at all, as in a script.

    Args:
        make: Returns what takes a line and whether it is the last; called for each operation that takes
            longer than a second.
    """
    _Unasked.make = make


def list_by_default(listing: Callable[[str], ProgressCallback | None] | None) -> None:
    """Say who else hears of operations that are shown by default; None: nobody.

    Args:
        listing: Gets the name of the function once it has taken a second; answers with a callback, which may
            raise :class:`Cancelled`, or None.
    """
    _Unasked.listing = listing


def _by_default(frame: FrameType) -> ProgressCallback:
    """A line for the operation of this frame, if a person called it and is waiting for it."""
    if _Unasked.make is None or threading.current_thread() is not threading.main_thread():
        return _silent
    outer = frame.f_back
    while outer is not None:
        # Panels show what they do in their own place; and what is part of a larger operation is its business.
        ours = str(outer.f_globals.get("__name__", "")).startswith(_PANELS)
        if ours or (id(outer), outer.f_code) == _Unasked.owner:
            return _silent
        outer = outer.f_back
    _Unasked.owner = (id(frame), frame.f_code)
    made: list[Callable[[str, bool], None]] = []

    def write(line: str, last: bool) -> None:
        if not made and _Unasked.make is not None:
            made.append(_Unasked.make())
        for one in made:
            one(line, last)

    line, began = Line(write, patience=_PATIENCE), time.monotonic()
    listed: list[ProgressCallback | None] = []

    def report(progress: Progress) -> None:
        line(progress)
        over = progress.total > 0 and progress.done >= progress.total
        if not listed and not over and _Unasked.listing is not None and time.monotonic() - began >= _PATIENCE:
            listed.append(_Unasked.listing(name))
        for callback in listed:
            if callback is not None:
                callback(progress)

    name = _called_as(frame)
    return report


def _called_as(frame: FrameType) -> str:
    """Name of the outermost function of this package in a call."""
    package = f"{__name__.partition('.')[0]}."
    while frame.f_back is not None and str(frame.f_back.f_globals.get("__name__", "")).startswith(package):
        frame = frame.f_back
    return frame.f_code.co_name


_PANELS = tuple(f"{__package__.rpartition('.')[0]}.{room}" for room in ("widgets", "cli"))


def reporter(progress: object) -> ProgressCallback:
    """Turn the ``progress`` argument (``ProgressCallback | bool | None``) of a function into a callback.

    Args:
        progress: A callback, ``True`` for a line on standard error, ``False`` for silence. ``None`` is a line
            in a notebook for what takes longer than a second, and silence elsewhere.

    Returns:
        A callable that takes a :class:`Progress`. It may raise :class:`Cancelled`.

    Raises:
        InputError: ``progress`` is neither a callable nor a bool nor None.
    """
    if progress is None:
        return _by_default(sys._getframe(1))
    if progress is False:
        return _silent
    if progress is True:
        return Line(_Terminal(sys.stderr))
    if not callable(progress) or isinstance(progress, type):
        from sparse_debug_widgets.core.checks import reject  # NumPy with it, which a kernel need not load yet

        must = "be a callable, True, False or None"
        reject(f"progress={progress!r}", "a progress callback", must, type(progress).__name__)
    return progress
