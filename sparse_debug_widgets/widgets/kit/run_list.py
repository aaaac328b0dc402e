"""The runs that panels started: a list, and who is told when it changes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.job import FINAL_STATES, Job


class KeptRun(Protocol):
    """The interface of a run to a list of runs.

    Attributes:
        number: Counts the runs of a list.
        pinned: Whether a person wants it kept, to compare others with it.
        job: The job that does the work.
    """

    number: int
    pinned: bool
    job: Job[Any]


R = TypeVar("R", bound=KeptRun)


class RunList(Generic[R]):
    """Runs in the order they began, shared by all panels that show them.

    Args:
        kept: How many are kept; ended ones that nobody pinned are dropped beyond that, oldest first.
    """

    def __init__(self, kept: int = 12) -> None:
        self.runs: list[R] = []
        self._kept = kept
        self._count = 0
        self._watchers: weakref.WeakSet[Any] = weakref.WeakSet()

    def watch(self, panel: object) -> None:
        """Tell this panel (``runs_changed()``) when a run begins or the list changes."""
        self._watchers.add(panel)

    def tell(self) -> None:
        """Tell all panels that are not closed."""
        for panel in list(self._watchers):
            if not panel.closed:
                panel.runs_changed()

    @property
    def newest(self) -> R | None:
        """The run that began last."""
        return self.runs[-1] if self.runs else None

    @property
    def running(self) -> R | None:
        """The newest run that has not ended."""
        return next((run for run in reversed(self.runs) if not has_ended(run)), None)

    def find(self, number: object) -> R | None:
        """The run of that number."""
        return next((run for run in self.runs if run.number == number), None)

    def of(self, job: Job[Any]) -> R | None:
        """The run that a job does the work of."""
        return next((run for run in self.runs if run.job is job), None)

    def get(self, number: object, noun: str = "run") -> R:
        """The run of that number.

        Raises:
            InputError: There is none.
        """
        run = self.find(number)
        if run is None:
            kept = ", ".join(str(one.number) for one in self.runs)
            listed = f"It keeps {kept}." if kept else f"Start a {noun} first."
            refuse(f"This panel has no {noun} {shorten(repr(number), 20)} (any more). {listed}")
        return run

    def check_free(self, noun: str = "run") -> None:
        """Refuse to begin while a run is at work.

        Raises:
            InputError: One is.
        """
        running = self.running
        if running is not None:
            refuse(f"{noun.capitalize()} {running.number} is still at work: wait for it, or cancel it.")

    def next_number(self) -> int:
        """A number that no run has had."""
        self._count += 1
        return self._count

    def add(self, run: R) -> None:
        """Keep a run whose job has just been submitted."""
        self.runs.append(run)
        loose = [old for old in self.runs if has_ended(old) and not old.pinned]
        for old in loose[: max(0, len(self.runs) - self._kept)]:
            self.forget(old)
        self.tell()

    def forget(self, run: R) -> None:
        """Drop an ended run and what it found."""
        if jobs.queue.forget(run.job) and run in self.runs:
            self.runs.remove(run)
            self.tell()


def has_ended(run: KeptRun) -> bool:
    """Say whether it will not change any more."""
    return run.job.state in FINAL_STATES


L = TypeVar("L", bound=RunList[Any])


class Shelf(Generic[L]):
    """Lists of runs by what they belong to: a panel that is made again finds its runs, also those at work.

    Bounded rather than weak: a closed panel's runs are found again, and identities cannot be used twice.

    Args:
        kept: How many lists are kept; idle ones are dropped beyond that, those first that nobody asked for
            for longest.
    """

    def __init__(self, kept: int = 8) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._held: dict[tuple[int, ...], tuple[L, tuple[object, ...]]] = {}

    def take(self, things: Sequence[object], make: Callable[[], L]) -> L:
        """The list that belongs to these very objects; a new one where there is none."""
        key = tuple(id(thing) for thing in things)
        with self._lock:
            found = self._held.pop(key, None) or (make(), tuple(things))
            self._held[key] = found
            idle = [k for k, (runs, _) in self._held.items() if runs.running is None and k != key]
            for old in idle[: max(0, len(self._held) - self._kept)]:
                del self._held[old]
        return found[0]
