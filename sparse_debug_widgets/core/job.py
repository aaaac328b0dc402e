"""One long operation that runs beside the notebook: its state, progress, pieces, result and errors.

Its progress callback is also where a cancel request takes effect: within one minibatch, at a place where the
function expects it and can clean up.
"""

from __future__ import annotations

import contextvars
import itertools
import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.core.progress import Cancelled, Progress

T = TypeVar("T")
JobState = Literal["queued", "running", "done", "cancelled", "failed"]
FINAL_STATES: frozenset[JobState] = frozenset({"done", "cancelled", "failed"})
_LOG_LINES = 1000
_MARK_SECONDS = 0.25
"""Spacing of the marks that the rate is read from: reports come once a minibatch, units once in many."""


_COURSE_POINTS, _MOST_GROWTH = 64, 30.0
"""How many points of a job's course are kept; by how much a unit may become dearer from now to the end."""


class JobStatus(NamedTuple):
    """A snapshot of a job, cheap to take and safe to keep.

    Attributes:
        id: Number of the job, unique in this process.
        name: What a person calls it.
        state: ``"queued"``, ``"running"``, ``"done"``, ``"cancelled"`` or ``"failed"``.
        cancelling: A cancel was asked for and has not taken effect yet.
        done: Units of work finished.
        total: Units expected; 0 if unknown.
        note: The newest note of the function.
        seconds: Wall-clock seconds it has run.
        rate: Units a second over the last reports; 0 if unknown.
        seconds_left: Expected seconds to the end; None if unknown.
        error: Message of the error it failed with; empty otherwise.
        noun: What kind of work it is, in a word: ``"fit"``, ``"explanation"``; ``"job"`` for any.
    """

    id: int
    name: str
    state: JobState
    cancelling: bool
    done: float
    total: float
    note: str
    seconds: float
    rate: float
    seconds_left: float | None
    error: str
    noun: str = "job"


class JobFailedError(RuntimeError):
    """Raised by :meth:`Job.result` for a job whose function raised; the original error is the cause."""


Listener = Callable[["Job[Any]"], None]


class _Course:
    """The growth of a unit's cost so far: the last lambdas of a path cost ten times what the first do.

    The pace of the last seconds would promise a tenth of the time that is left.
    """

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []

    def note(self, now: float, done: float) -> None:
        """Note how far the work has come; units that are counted anew begin a new course."""
        if self._points and done < self._points[-1][1]:
            self._points.clear()
        if not self._points or done > self._points[-1][1]:
            self._points.append((now, done))
        if len(self._points) > _COURSE_POINTS:
            del self._points[1:-1:2]

    def seconds_left(self, units: float, rate: float) -> float:
        """Seconds for so many more units, given the units a second of late."""
        plain = units / rate
        if len(self._points) < _COURSE_POINTS // 8:
            return plain
        (start, first), (end, last) = self._points[0], self._points[-1]
        span = (last - first) / 2
        middle = next(k for k, (_, done) in enumerate(self._points) if done >= first + span)
        (before, low), (after, high) = self._points[middle - 1], self._points[middle]
        half = before + (after - before) * (first + span - low) / (high - low)
        early, late = (half - start) / span, (end - half) / span
        if not 0 < early < late:
            return plain
        growth = math.log(late / early) / span  # of a unit's cost, per unit
        growth = min(growth, math.log(_MOST_GROWTH) / max(units, 1e-9))
        now = late * math.exp(growth * span / 2)
        return now * math.expm1(growth * units) / growth if growth * units > 1e-6 else plain


class Job(Generic[T]):
    """One long operation. Made by :meth:`JobQueue.submit`, never by hand.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        number: int,
        name: str,
        call: Callable[[Callable[[Progress], None]], T] | None,
        noun: str = "job",
    ) -> None:
        self.id = number
        self.name = name
        self.noun = noun
        self.done_here = call is None
        self._call = call
        self._context = contextvars.copy_context()
        self._lock = threading.RLock()
        self._finished = threading.Event()
        self._cancel = threading.Event()
        self._state: JobState = "queued"
        self._progress = Progress(0, 0)
        self._pieces: list[Any] = []
        self._value: T | None = None
        self._error: BaseException | None = None
        self._traceback = ""
        self._started = self._ended = 0.0
        self._marks: deque[tuple[float, float]] = deque(maxlen=20)
        self._next_mark = 0.0
        self._course = _Course()
        self._told = 0.0
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._listeners: dict[int, Listener] = {}
        self._listener_ids = itertools.count()
        # How the queue hears of changes.
        self.changed: Callable[[Job[Any]], None] = lambda _: None
        self.write_log("queued")

    # -- what it says of itself

    @property
    def state(self) -> JobState:
        """The state of the job: queued, running, done, cancelled or failed."""
        return self._state

    @property
    def status(self) -> JobStatus:
        """A snapshot of everything that changes."""
        with self._lock:
            end = self._ended or time.monotonic()
            rate = self._rate()
            left = None
            if self._state == "running" and self._progress.seconds_left is not None:
                left = max(0.0, self._progress.seconds_left - (end - self._told))
            elif self._state == "running" and rate > 0 and self._progress.total > 0:
                left = self._course.seconds_left(max(0.0, self._progress.total - self._progress.done), rate)
            return JobStatus(
                id=self.id,
                name=self.name,
                state=self._state,
                cancelling=self._cancel.is_set() and self._state not in FINAL_STATES,
                done=self._progress.done,
                total=self._progress.total,
                note=self._progress.note,
                seconds=end - self._started if self._started else 0.0,
                rate=rate,
                seconds_left=left,
                error=str(self._error) if self._error is not None else "",
                noun=self.noun,
            )

    @property
    def pieces(self) -> tuple[Any, ...]:
        """The finished pieces that the function has published so far (``Progress.piece``), oldest first."""
        with self._lock:
            return tuple(self._pieces)

    @property
    def partial(self) -> T | None:
        """The result that the function returned although it was cancelled; None if it returned nothing."""
        return self._value if self._state == "cancelled" else None

    @property
    def error(self) -> BaseException | None:
        """The error it failed with."""
        return self._error

    @property
    def traceback(self) -> str:
        """The formatted traceback of that error; empty otherwise."""
        return self._traceback

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines of what happened, each with the seconds since the start."""
        with self._lock:
            return tuple(self._log)

    def __repr__(self) -> str:
        status = self.status
        share = f", {100 * self._progress.fraction:.0f} %" if status.total else ""
        return f"Job({self.id}, {self.name!r}, {status.state}{share})"

    # -- what others do with it

    def cancel(self) -> bool:
        """Ask the job to stop; it does so at its next progress report.

        Returns:
            True if the request can still have an effect, False if the job has ended already.
        """
        with self._lock:
            if self._state in FINAL_STATES:
                return False
            first = not self._cancel.is_set()
            self._cancel.set()
            if first:
                self.write_log("cancel asked for")
            if self._state == "queued":
                self._call = None
                self._end("cancelled")
        self.changed(self)
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended, at most ``timeout`` seconds; True if it has."""
        return self._finished.wait(timeout)

    def result(self, timeout: float | None = None) -> T:
        """Wait for the job and return what its function returned.

        Interrupting the wait (Ctrl-C, the stop button) leaves the job running.

        Raises:
            TimeoutError: It did not end in time; it goes on.
            Cancelled: It was cancelled; :attr:`partial` may hold what it had.
            JobFailedError: Its function raised; the original error is the ``__cause__``.
        """
        if not self.wait(timeout):
            msg = f"job {self.name!r} has not ended within {timeout} s; it goes on."
            raise TimeoutError(msg)
        if self._state == "cancelled":
            have = "its .partial holds what it had" if self._value is not None else "it had no result yet"
            msg = f"job {self.name!r} was cancelled; {have}."
            raise Cancelled(msg)
        if self._error is not None:
            msg = f"job {self.name!r} failed: {shorten(str(self._error), 1000)}"
            raise JobFailedError(msg) from self._error
        return cast(T, self._value)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(job)`` after changes, at most 10 times a second, and always after the last one.

        Listeners are called on a thread of the queue, one at a time. An error in one is written to the log
        and does not disturb the job.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            key = next(self._listener_ids)
            self._listeners[key] = listener
        self.changed(self)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return unsubscribe

    # -- how the queue runs it

    def _report(self, progress: Progress) -> None:
        # Called once a minibatch: the lock is for what happens now and then.
        now = time.monotonic()
        self._told = now
        if progress.piece is None:
            self._progress = progress
        if progress.piece is not None or now >= self._next_mark:
            with self._lock:
                if progress.piece is not None:
                    self._progress = progress._replace(piece=None)
                    self._pieces.append(progress.piece)
                    self.write_log(progress.note)
                if now >= self._next_mark:
                    self._marks.append((now, progress.done))
                    self._course.note(now, progress.done)
                    self._next_mark = now + _MARK_SECONDS
        self.changed(self)
        if self._cancel.is_set():
            raise Cancelled(self.name)

    def begin_here(self) -> None:
        """Note that the work has begun on a thread that is not the queue's: a cell does it itself."""
        with self._lock:
            self._state = "running"
            self._started = time.monotonic()
        self.changed(self)

    def report_here(self, progress: Progress) -> None:
        """Note how far such work is.

        Raises:
            Cancelled: Somebody has asked it to stop.
        """
        self._report(progress._replace(piece=None))

    def end_here(self, error: BaseException | None = None) -> None:
        """Note that such work has ended, and how."""
        if self._state not in FINAL_STATES:
            stopped = isinstance(error, Cancelled | KeyboardInterrupt)
            state: JobState = "cancelled" if stopped else "done" if error is None else "failed"
            self._finish(state, error=None if stopped else error)

    def run(self) -> None:
        """Call the function on this thread; for the queue."""
        with self._lock:
            if self._state != "queued" or self._call is None:
                return
            self._state = "running"
            self._started = time.monotonic()
            self.write_log("started")
        self.changed(self)
        stopped = False

        def report(progress: Progress) -> None:
            nonlocal stopped
            try:
                self._report(progress)
            except Cancelled:
                stopped = True
                raise

        try:
            value = self._context.run(self._taken(), report)
        except Cancelled:
            self._finish("cancelled")
        except BaseException as error:
            self._finish("failed", error=error)
        else:
            # A function that catches the cancellation and returns what it has was cancelled all the same.
            self._finish("cancelled" if stopped else "done", value=value)

    def _taken(self) -> Callable[[Callable[[Progress], None]], T]:
        """Give away the function to call, so that its arguments (copies of models) are freed at its end."""
        call, self._call = self._call, None
        return cast(Callable[[Callable[[Progress], None]], T], call)

    def _finish(self, state: JobState, *, value: T | None = None, error: BaseException | None = None) -> None:
        with self._lock:
            self._value = value
            if error is not None:
                self._error = error
                self._traceback = "".join(traceback.format_exception(error))
                _let_go(error)
            self._end(state)
        self.changed(self)

    def _end(self, state: JobState) -> None:
        self._ended = time.monotonic()
        self._started = self._started or self._ended
        self._state = state
        self.write_log(state if self._error is None else f"failed: {self._error}")
        self._finished.set()

    def notify(self) -> None:
        """Tell the listeners; for the queue."""
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            try:
                listener(self)
            except Exception:
                self.write_log("a listener failed: " + traceback.format_exc(limit=3))

    def _rate(self) -> float:
        if not self._marks:
            return 0.0
        first, done = self._marks[0]
        seconds = (self._ended or time.monotonic()) - first
        return max(0.0, self._progress.done - done) / seconds if seconds > 0 else 0.0

    def write_log(self, text: str) -> None:
        """Add a line to the log, with the seconds since the start."""
        since = time.monotonic() - self._started if self._started else 0.0
        self._log.append(f"{since:9.2f} s  {text}")


def _let_go(error: BaseException) -> None:
    """Empty the frames of an error and of what led to it: they hold all that the call worked with."""
    told: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in told:
            told.add(id(one))
            traceback.clear_frames(one.__traceback__)
            waiting += [one.__cause__, one.__context__]
