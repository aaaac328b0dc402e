"""Long operations that run beside the notebook: submit, watch, cancel, collect.

A job is a function with a ``progress`` argument, run on a thread of its own so that it can use the live
model without copying it. Its progress callback is also where a cancel request takes effect: within one
minibatch, at a place where the function expects it and can clean up. Nothing here knows Jupyter; a panel
subscribes to a job like any other listener.
"""

from __future__ import annotations

import atexit
import contextvars
import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

from sparse_debug_widgets.core.checks import check_int, shorten
from sparse_debug_widgets.core.progress import Cancelled, Progress

T = TypeVar("T")
JobState = Literal["queued", "running", "done", "cancelled", "failed"]
FINAL_STATES: frozenset[JobState] = frozenset({"done", "cancelled", "failed"})
UPDATE_INTERVAL = 1 / 15
"""Seconds between two notifications of one job's listeners. Above about 1,000 messages a second a Jupyter
server silently drops the last state; 15 a second look continuous and leave it idle."""
_LOG_LINES = 1000
_EXIT_PATIENCE = 2.0
_MARK_SECONDS = 0.25
"""Spacing of the marks that the rate is read from: reports come once a minibatch, units once in many."""


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


class JobFailedError(RuntimeError):
    """Raised by :meth:`Job.result` for a job whose function raised; the original error is the cause."""


Listener = Callable[["Job[Any]"], None]


class Job(Generic[T]):
    """One long operation. Made by :meth:`JobQueue.submit`, never by hand.

    All methods may be called from any thread.
    """

    def __init__(self, number: int, name: str, call: Callable[[Callable[[Progress], None]], T]) -> None:
        self.id = number
        self.name = name
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
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._listeners: dict[int, Listener] = {}
        self._listener_ids = itertools.count()
        self._changed: Callable[[Job[Any]], None] = lambda _: None
        self._write_log("queued")

    # -- what it says of itself

    @property
    def state(self) -> JobState:
        """Where the job is in its life."""
        return self._state

    @property
    def status(self) -> JobStatus:
        """A snapshot of everything that changes."""
        with self._lock:
            end = self._ended or time.monotonic()
            rate = self._rate()
            left = None
            if self._state == "running" and rate > 0 and self._progress.total > 0:
                left = max(0.0, (self._progress.total - self._progress.done) / rate)
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
            )

    @property
    def pieces(self) -> tuple[Any, ...]:
        """The finished pieces that the function has published so far (``Progress.piece``), oldest first."""
        with self._lock:
            return tuple(self._pieces)

    @property
    def partial(self) -> T | None:
        """What the function returned although it was cancelled; None if it returned nothing."""
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
                self._write_log("cancel asked for")
            if self._state == "queued":
                self._end("cancelled")
        self._changed(self)
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
        """Call ``listener(job)`` after changes, at most 15 times a second, and always after the last one.

        Listeners are called on a thread of the queue, one at a time. An error in one is written to the log
        and does not disturb the job.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            key = next(self._listener_ids)
            self._listeners[key] = listener
        self._changed(self)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return unsubscribe

    # -- how the queue runs it

    def _report(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
            if progress.piece is not None:
                self._progress = progress._replace(piece=None)
                self._pieces.append(progress.piece)
                self._write_log(progress.note)
            now = time.monotonic()
            if not self._marks or now - self._marks[-1][0] >= _MARK_SECONDS:
                self._marks.append((now, progress.done))
        self._changed(self)
        if self._cancel.is_set():
            raise Cancelled(self.name)

    def _run(self) -> None:
        with self._lock:
            if self._state != "queued":
                return
            self._state = "running"
            self._started = time.monotonic()
            self._write_log("started")
        self._changed(self)
        stopped = False

        def report(progress: Progress) -> None:
            nonlocal stopped
            try:
                self._report(progress)
            except Cancelled:
                stopped = True
                raise

        try:
            value = self._context.run(self._call, report)
        except Cancelled:
            self._finish("cancelled")
        except BaseException as error:
            self._finish("failed", error=error)
        else:
            # A function that catches the cancellation and returns what it has was cancelled all the same.
            self._finish("cancelled" if stopped else "done", value=value)

    def _finish(self, state: JobState, *, value: T | None = None, error: BaseException | None = None) -> None:
        with self._lock:
            self._value = value
            if error is not None:
                self._error = error
                self._traceback = "".join(traceback.format_exception(error))
            self._end(state)
        self._changed(self)

    def _end(self, state: JobState) -> None:
        self._ended = time.monotonic()
        self._started = self._started or self._ended
        self._state = state
        self._write_log(state if self._error is None else f"failed: {self._error}")
        self._finished.set()

    def _notify(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            try:
                listener(self)
            except Exception:
                self._write_log("a listener failed: " + traceback.format_exc(limit=3))

    def _rate(self) -> float:
        if not self._marks:
            return 0.0
        first, done = self._marks[0]
        seconds = (self._ended or time.monotonic()) - first
        return max(0.0, self._progress.done - done) / seconds if seconds > 0 else 0.0

    def _write_log(self, text: str) -> None:
        since = time.monotonic() - self._started if self._started else 0.0
        self._log.append(f"{since:9.2f} s  {text}")


class JobQueue:
    """Runs jobs, at most ``max_running`` at once, in the order in which they were submitted.

    Args:
        max_running: Jobs that may run at the same time.
    """

    def __init__(self, max_running: int = 2) -> None:
        self._max_running = check_int(max_running, "max_running", "a job queue")
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._waiting: deque[Job[Any]] = deque()
        self._running: set[Job[Any]] = set()
        self._jobs: dict[int, Job[Any]] = {}
        self._numbers = itertools.count(1)
        self._dirty: dict[int, Job[Any]] = {}
        self._notifier: threading.Thread | None = None
        self._watchers: list[Callable[[], None]] = []

    def submit(self, function: Callable[..., T], *args: Any, name: str = "", **kwargs: Any) -> Job[T]:  # noqa: ANN401
        """Run ``function(*args, progress=..., **kwargs)`` on a thread of its own.

        Args:
            function: Takes a ``progress`` callback (see :mod:`core.progress`), calls it at least once per
                minibatch, and lets :class:`Cancelled` through or returns what it has.
            *args: Positional arguments of the function.
            name: What a person calls the job; the function's name if empty.
            **kwargs: Keyword arguments of the function.

        Returns:
            The job. It is kept, and found again through :attr:`jobs`, until :meth:`forget`.
        """
        title = name or getattr(function, "__name__", "job").replace("_", " ")
        job: Job[T] = Job(
            next(self._numbers), title, lambda report: function(*args, progress=report, **kwargs)
        )
        job._changed = self._mark
        with self._lock:
            self._jobs[job.id] = job
            self._waiting.append(job)
        self._mark(job)
        self._start_next()
        return job

    @property
    def jobs(self) -> tuple[Job[Any], ...]:
        """All jobs that have not been forgotten, oldest first."""
        with self._lock:
            return tuple(self._jobs.values())

    @property
    def max_running(self) -> int:
        """Jobs that may run at the same time."""
        return self._max_running

    @max_running.setter
    def max_running(self, value: int) -> None:
        self._max_running = check_int(value, "max_running", "a job queue")
        self._start_next()

    def get(self, number: int) -> Job[Any] | None:
        """The job of that number, or None."""
        with self._lock:
            return self._jobs.get(number)

    def forget(self, job: Job[Any]) -> bool:
        """Drop an ended job and what it holds; False if it has not ended."""
        if job.state not in FINAL_STATES:
            return False
        with self._lock:
            self._jobs.pop(job.id, None)
        return True

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher()`` after any job changed, coalesced; returns a function that ends it."""
        with self._lock:
            self._watchers.append(watcher)

        def stop() -> None:
            with self._lock:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

        return stop

    def shutdown(self, patience: float = _EXIT_PATIENCE) -> None:
        """Cancel every job and wait up to ``patience`` seconds for them to end."""
        deadline = time.monotonic() + patience
        for job in self.jobs:
            job.cancel()
        for job in self.jobs:
            job.wait(max(0.0, deadline - time.monotonic()))

    def _start_next(self) -> None:
        with self._lock:
            while self._waiting and len(self._running) < self._max_running:
                job = self._waiting.popleft()
                if job.state != "queued":
                    continue
                self._running.add(job)
                # Daemon: an unfinished fit must not keep a closed kernel alive; shutdown() asks first.
                threading.Thread(
                    target=self._work, args=(job,), name=f"sdw-job-{job.id}", daemon=True
                ).start()

    def _work(self, job: Job[Any]) -> None:
        try:
            job._run()
        finally:
            with self._lock:
                self._running.discard(job)
            self._start_next()

    def _mark(self, job: Job[Any]) -> None:
        if job.id in self._dirty:
            # Already on the notifier's list, whose reading comes after this change: nothing to wake.
            return
        with self._wake:
            self._dirty[job.id] = job
            if self._notifier is None or not self._notifier.is_alive():
                self._notifier = threading.Thread(target=self._notify, name="sdw-updates", daemon=True)
                self._notifier.start()
            self._wake.notify()

    def _notify(self) -> None:
        """Tell listeners about changed jobs, then sleep; ends when nothing has changed for a second."""
        while True:
            with self._wake:
                if not self._dirty and not self._wake.wait_for(lambda: bool(self._dirty), timeout=1.0):
                    self._notifier = None
                    return
                changed, self._dirty = list(self._dirty.values()), {}
                watchers = list(self._watchers)
            for job in changed:
                job._notify()
            for watcher in watchers:
                try:
                    watcher()
                except Exception:
                    changed[0]._write_log("a watcher failed: " + traceback.format_exc(limit=3))
            time.sleep(UPDATE_INTERVAL)


queue = JobQueue()
"""The queue of this process."""
atexit.register(queue.shutdown)


def submit(function: Callable[..., T], *args: Any, name: str = "", **kwargs: Any) -> Job[T]:  # noqa: ANN401
    """Run ``function(*args, progress=..., **kwargs)`` beside the notebook; see :meth:`JobQueue.submit`."""
    return queue.submit(function, *args, name=name, **kwargs)
