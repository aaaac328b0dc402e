"""The terminal side of the commands: tables, a progress bar, and Ctrl-C as a polite request."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import rich.table
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.page import Table
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback

T = TypeVar("T")
_REFRESH_SECONDS = 0.1
_LINE_SECONDS = 30.0

out = Console(highlight=False, markup=False, emoji=False)
"""Standard output; names of classes and files are never markup."""


def show(table: Table) -> None:
    """Print one table."""
    drawn = rich.table.Table(*table.header, title=table.title, title_justify="left")
    for row in table.rows:
        drawn.add_row(*row)
    out.print(drawn)
    if table.note:
        out.print(table.note)
    out.print()


@contextmanager
def progress_bar(label: str) -> Iterator[ProgressCallback]:
    """A progress bar; the first Ctrl-C cancels at the next minibatch, the second interrupts at once."""
    stop = threading.Event()
    with _bar() as bar, _asking_to_stop(stop.set):
        task = bar.add_task(label, total=None, note="", left="")

        def report(progress: Progress) -> None:
            if stop.is_set():
                raise Cancelled
            bar.update(task, completed=progress.done, total=progress.total or None, note=progress.note)

        yield report


def watch(job: Job[T]) -> Job[T]:
    """Show how far a job is until it has ended, however it ends.

    The first Ctrl-C cancels it at its next minibatch, the second interrupts at once. So does the signal by
    which a cluster ends what has used up its time. Where there is no terminal, a line now and then tells how
    far it is.

    Args:
        job: any job.

    Returns:
        The job, ended.
    """
    with _bar() as bar, _asking_to_stop(job.cancel):
        task = bar.add_task(job.name, total=None, note="", left="")
        spoken = time.monotonic()
        ended = False
        while not ended:
            ended = job.wait(_REFRESH_SECONDS)
            status = job.status
            left = "" if status.seconds_left is None else f"{_duration(status.seconds_left)} left"
            bar.update(
                task,
                completed=status.done,
                total=status.total or None,
                note="stopping" if status.cancelling else status.note,
                left=left,
            )
            if not bar.console.is_terminal and time.monotonic() - spoken > _LINE_SECONDS:
                spoken = time.monotonic()
                bar.console.print(f"{job.name}: {status.note} {left}".rstrip())
    return job


def _bar() -> RichProgress:
    columns = (
        TextColumn("{task.description:24}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return RichProgress(*columns, console=Console(stderr=True, highlight=False, markup=False, emoji=False))


@contextmanager
def _asking_to_stop(ask: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C and the termination signal are a request, the first time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in signals}

    def put_back() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def heard(_signal: int, _frame: FrameType | None) -> None:
        put_back()
        ask()

    for number in signals:
        signal.signal(number, heard)
    try:
        yield
    finally:
        put_back()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
