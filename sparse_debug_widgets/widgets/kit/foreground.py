"""Work that a cell does itself, among the jobs: seen where jobs are seen, and cancelled there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.jobs import queue
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, list_by_default

_NAMES = {"elastic_net_path": ("path fit", "fit"), "extract_features": ("taking features", "job")}


class _Lister:
    """Lists one call after the other: what a call of ours calls itself is not told of."""

    def __init__(self) -> None:
        self._job: Job[Any] | None = None

    def __call__(self, function: str) -> ProgressCallback | None:
        """The callback of a call that has taken a second; None for what is no public function."""
        if function not in import_module(__package__.partition(".")[0]).__all__:
            return None
        self._end(None)
        job = self._job = queue.begin_here(*_NAMES.get(function, (function.replace("_", " "), "job")))

        def report(progress: Progress) -> None:
            if progress.total > 0 and progress.done >= progress.total:
                job.end_here()
            else:
                job.report_here(progress)

        return report

    def cell_ended(self, result: Any) -> None:  # noqa: ANN401 (IPython's ExecutionResult)
        """A function need not say that it has come to its end; its cell does."""
        self._end(result.error_before_exec or result.error_in_exec)

    def _end(self, error: BaseException | None) -> None:
        if self._job is not None:
            self._job.end_here(error)
            self._job = None


def list_calls(ipython: Any) -> None:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    """List calls of cells that take longer than a second among the jobs.

    Args:
        ipython: The shell, as ``IPython.get_ipython()`` returns it.
    """
    lister = _Lister()
    ipython.events.register("post_run_cell", lister.cell_ended)
    list_by_default(lister)
