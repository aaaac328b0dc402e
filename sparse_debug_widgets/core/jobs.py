"""Long operations that run beside the notebook: submit, watch, cancel, collect.

A job is a function with a ``progress`` argument, run on a thread of its own. One that uses a model should be
given a copy: a cell may train the live one meanwhile. Nothing here knows Jupyter; a panel subscribes to a job
like any other listener.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from sparse_debug_widgets.core.checks import check_int
from sparse_debug_widgets.core.job import FINAL_STATES, Job, JobState
from sparse_debug_widgets.core.progress import Progress

T = TypeVar("T")
UPDATE_INTERVAL = 1 / 10
"""Seconds between two notifications of one job's listeners. Above about 1,000 messages a second a Jupyter
server silently drops the last state; 10 a second look continuous and leave it idle."""
_WATCH_INTERVAL = 0.25
"""Seconds between two calls of the watchers of the whole queue while nothing but progress changes."""
_EXIT_PATIENCE = 15.0
"""Seconds that the end of the process waits for the threads of cancelled jobs: one that is torn down inside
PyTorch aborts the process ("terminate called without an active exception")."""


_KEPT_HERE = 10
"""Entries of ended work of cells that are kept to be looked at."""


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
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._numbers = itertools.count(1)
        self._dirty: dict[int, Job[Any]] = {}
        self._notifier: threading.Thread | None = None
        self._watchers: list[Callable[[], None]] = []

    def submit(
        self,
        function: Callable[..., T],
        *args: Any,  # noqa: ANN401
        name: str = "",
        noun: str = "job",
        **kwargs: Any,  # noqa: ANN401
    ) -> Job[T]:
        """Run ``function(*args, progress=..., **kwargs)`` on a thread of its own.

        Args:
            function: Takes a ``progress`` callback (see :mod:`core.progress`), calls it at least once per
                minibatch, and lets :class:`Cancelled` through or returns what it has.
            *args: Positional arguments of the function.
            name: What a person calls the job; the function's name if empty.
            noun: What kind of work it is, in a word: "fit", "explanation".
            **kwargs: Keyword arguments of the function.

        Returns:
            The job. It is kept, and found again through :attr:`jobs`, until :meth:`forget`.
        """
        title = name or getattr(function, "__name__", "job").replace("_", " ")
        # Taken out when it is called: an error's frames keep a closure, and so all that it holds.
        work = [(function, args, kwargs)]

        def call(report: Callable[[Progress], None]) -> T:
            function, args, kwargs = work.pop()
            return function(*args, progress=report, **kwargs)

        job: Job[T] = Job(next(self._numbers), title, call, noun)
        job.changed = self._mark
        with self._lock:
            self._jobs[job.id] = job
            self._waiting.append(job)
        self._mark(job)
        self._start_next()
        return job

    def begin_here(self, name: str, noun: str = "job") -> Job[Any]:
        """List work that a cell does itself, so that it is seen and cancelled where jobs are.

        Returns:
            A running job: say how far it is with ``report_here``, and that it has ended with ``end_here``.
        """
        job: Job[Any] = Job(next(self._numbers), name, None, noun)
        job.changed = self._mark
        with self._lock:
            over = [old for old in self._jobs.values() if old.done_here and old.state in FINAL_STATES]
            for old in over[: max(0, len(over) - _KEPT_HERE)]:
                del self._jobs[old.id]
            self._jobs[job.id] = job
        job.begin_here()
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

    def discard(self, job: Job[Any]) -> None:
        """Cancel a job that nobody wants any more, and drop it with what it holds when it has ended."""
        job.cancel()
        if not self.forget(job):
            job.subscribe(self._forget_ended)

    def _forget_ended(self, job: Job[Any]) -> None:
        self.forget(job)

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher()`` when a state changed, 4 times a second while others change, and after the last.

        Returns:
            A function that ends it.
        """
        with self._lock:
            self._watchers.append(watcher)

        def stop() -> None:
            with self._lock:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

        return stop

    def shutdown(self, patience: float = _EXIT_PATIENCE) -> None:
        """Cancel every job and wait up to ``patience`` seconds for their threads to end."""
        deadline = time.monotonic() + patience
        for job in self.jobs:
            job.cancel()
        with self._lock:
            workers = list(self._workers)
        for worker in workers:  # a job that says it has ended may still be freeing what it held
            worker.join(max(0.0, deadline - time.monotonic()))

    def _start_next(self) -> None:
        with self._lock:
            while self._waiting and len(self._running) < self._max_running:
                job = self._waiting.popleft()
                if job.state != "queued":
                    continue
                self._running.add(job)
                # Daemon: an unfinished fit must not keep a closed kernel alive; shutdown() asks first.
                worker = threading.Thread(
                    target=self._work, args=(job,), name=f"sdw-job-{job.id}", daemon=True
                )
                self._workers.add(worker)
                worker.start()

    def _work(self, job: Job[Any]) -> None:
        try:
            job.run()
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
        seen: dict[int, JobState] = {}
        told, pending = 0.0, False
        while True:
            with self._wake:
                patience = _WATCH_INTERVAL if pending else 1.0
                news = bool(self._dirty) or self._wake.wait_for(lambda: bool(self._dirty), timeout=patience)
                if not news and not pending:
                    self._notifier = None
                    return
                changed, self._dirty = list(self._dirty.values()), {}
                states = {number: job.state for number, job in self._jobs.items()}
            for job in changed:
                job.notify()
            if states != seen or not changed or time.monotonic() - told >= _WATCH_INTERVAL:
                self._tell_watchers()
                told, seen, pending = time.monotonic(), states, False
            else:
                pending = True
            time.sleep(UPDATE_INTERVAL)

    def _tell_watchers(self) -> None:
        with self._lock:
            watchers, jobs = list(self._watchers), list(self._jobs.values())
        for watcher in watchers:
            try:
                watcher()
            except Exception:
                if jobs:
                    jobs[-1].write_log("a watcher failed: " + traceback.format_exc(limit=3))


queue = JobQueue()
"""The queue of this process."""
atexit.register(queue.shutdown)


def submit(
    function: Callable[..., T],
    *args: Any,  # noqa: ANN401
    name: str = "",
    noun: str = "job",
    **kwargs: Any,  # noqa: ANN401
) -> Job[T]:
    """Run ``function(*args, progress=..., **kwargs)`` beside the notebook; see :meth:`JobQueue.submit`."""
    return queue.submit(function, *args, name=name, noun=noun, **kwargs)
