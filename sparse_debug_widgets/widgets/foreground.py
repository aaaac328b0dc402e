"""Work that a cell does itself, where a person sees it: a line under the cell, an entry among the jobs.

A call that takes longer than a second says how far it is without being asked, and can be cancelled from the
notebook extension's list like a job beside the notebook.
"""

from __future__ import annotations

import threading
import time
from types import FrameType
from typing import Any

from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.jobs import queue
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, look_on

_PATIENCE = 1.0
"""Seconds that a call may take before anything is shown."""
_INTERVAL = 0.25
_NAMES = {"elastic_net_path": ("path fit", "fit"), "extract_features": ("taking features", "job")}


class _Call:
    """One call of a function of ours, in the cell at work."""

    def __init__(self, frame: FrameType) -> None:
        name = frame.f_code.co_name
        self._frame = frame
        self.name, self._noun = _NAMES.get(name, (name.replace("_", " "), "job"))
        self.over = False
        self._began = time.monotonic()
        self._shown = 0.0
        self._line: Any = None
        self._job: Job[Any] | None = None

    def has_returned(self) -> bool:
        """Whether the function has come back: it may say nothing of its end."""
        try:
            self._frame.clear()
        except RuntimeError:  # still at work
            return False
        return True

    def report(self, progress: Progress) -> None:
        """Say how far it is, once it takes long enough.

        Raises:
            Cancelled: A person has cancelled it among the jobs.
        """
        now = time.monotonic()
        finished = progress.total > 0 and progress.done >= progress.total
        if self._job is None:
            if finished or now - self._began < _PATIENCE:
                self.over = finished
                return
            self._job = queue.begin_here(self.name, self._noun)
        if finished:
            self.end(None)
        elif now - self._shown >= _INTERVAL:
            self._shown = now
            self._show(progress)
        if not finished:
            self._job.report_here(progress)

    def end(self, error: BaseException | None) -> None:
        """Say that it has ended."""
        self.over = True
        if self._job is not None and self._line is not None:
            ending = "done in" if error is None else "ended after"
            self._write(f"{self.name}: {ending} {_duration(time.monotonic() - self._began)}")
            self._line = None
        if self._job is not None:
            self._job.end_here(error)

    def _show(self, progress: Progress) -> None:
        assert self._job is not None  # noqa: S101 (made by the caller)
        left = progress.seconds_left if progress.seconds_left is not None else self._job.status.seconds_left
        share = f"{100 * progress.fraction:.0f} %" if progress.total > 0 else ""
        wait = f"about {_duration(left)} left" if left is not None else ""
        said = " · ".join(part for part in (share, wait, progress.note[:120]) if part)
        self._write(f"{self.name}: {said or _duration(time.monotonic() - self._began)}")

    def _write(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._line is None:
            self._line = display(bundle, raw=True, display_id=True)
        else:
            self._line.update(bundle, raw=True)


class _Watcher:
    """Looks on while cells run: one call at a time, the outermost."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        # Who imports the package does so in a cell, whose beginning was not heard.
        self._in_cell = True
        self._call: _Call | None = None

    def __call__(self, frame: FrameType) -> ProgressCallback | None:
        """The callback of a call that says nothing of progress; None where it is not to be shown."""
        if frame.f_code.co_name not in self._names or not self._in_cell:
            return None
        if threading.current_thread() is not threading.main_thread():
            return None
        if self._call is not None and not self._call.over:
            if not self._call.has_returned():
                return None
            self._call.end(None)
        self._call = _Call(frame)
        return self._call.report

    def begun(self, _info: object) -> None:
        self._in_cell = True

    def ended(self, result: Any) -> None:  # noqa: ANN401 (IPython's ExecutionResult)
        self._in_cell = False
        if self._call is not None and not self._call.over:
            self._call.end(result.error_before_exec or result.error_in_exec)
        self._call = None


def show_progress(ipython: Any) -> None:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    """Show the progress of calls in cells that take longer than a second.

    Args:
        ipython: The shell, as ``IPython.get_ipython()`` returns it.
    """
    from importlib import import_module

    watcher = _Watcher(frozenset(import_module(__package__.partition(".")[0]).__all__))
    ipython.events.register("pre_run_cell", watcher.begun)
    ipython.events.register("post_run_cell", watcher.ended)
    look_on(watcher)


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
    )
