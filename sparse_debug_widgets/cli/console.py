"""What the commands write to the terminal: tables, a progress bar, and Ctrl-C as a polite request."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import rich.table
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback

out = Console(highlight=False, markup=False, emoji=False)
"""Standard output; names of classes and files are never markup."""


@dataclass(frozen=True)
class Table:
    """One table of text.

    Attributes:
        title: above the table.
        header: one word per column.
        rows: as many texts as columns, each.
        note: a sentence below, or nothing.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


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

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous)

    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, note="")

        def report(progress: Progress) -> None:
            if stop.is_set():
                raise Cancelled
            bar.update(task, completed=progress.done, total=progress.total or None, note=progress.note)

        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, ask_to_stop)
        try:
            yield report
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, previous)
