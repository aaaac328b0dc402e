"""The panel that shows a job: what it found first, then its state; queued, running, partial, done, failed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import traitlets

from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.widgets.kit.base import Panel
from sparse_debug_widgets.widgets.kit.jobs import UNTOUCHED, State, follow, plain_hint, state_of
from sparse_debug_widgets.widgets.kit.run_list import KeptRun


class JobPanel(Panel):
    """Base of panels that run jobs beside the notebook and show the newest.

    A subclass hands a job to :meth:`follow_job`, and puts what it has found on the page in :meth:`job_news`.

    Attributes:
        memory_advice: What to choose where the memory does not suffice.
        after_failure: What is true after an error that says all itself.
        job: State of the job that is shown, with the number of its ``run`` where runs are kept; empty before
            the first.
    """

    job = traitlets.Dict().tag(sync=True)

    memory_advice: ClassVar[str] = "choose fewer lambdas or another device"
    after_failure: ClassVar[str] = UNTOUCHED

    _followed: Job[Any] | None = None
    _news: threading.RLock | None = None
    _teller = 0
    _run_number: int | None = None
    _unfollow: Callable[[], None] | None = None

    def follow_job(self, job: Job[Any], run: int | None = None) -> None:
        """Show this job from now on, in place of the one before.

        Args:
            job: A job that has just been submitted, or that another panel began.
            run: Number of its run, where the panel keeps a list.
        """
        self.stop_following()
        self._followed, self._run_number, self._news = job, run, threading.RLock()
        state = self._state(job)
        # If it has ended by now, its end is told after what it found, by the thread that brings the news.
        self.job = state | ({"state": "queued", "ended": False} if state["ended"] else {})
        self._unfollow = follow(job, self, lambda panel, job: panel._heard(job))

    def stop_following(self) -> None:
        """Hear no more of the job that is shown: what it finds from now on is not wanted."""
        if self._unfollow is not None:
            self._unfollow()
        self._followed = None

    def follow_newest(self, runs: Sequence[KeptRun]) -> None:
        """Show the job of the last of these runs, if it is not shown already."""
        if runs and self.job.get("run") != runs[-1].number:
            self.follow_job(runs[-1].job, runs[-1].number)

    def catch_up(self) -> None:
        """Show how the job ended, if it has just ended and the news of it is still on its way."""
        job = self._followed
        if self._teller == threading.get_ident():
            return  # somebody exports what is just being told
        if job is not None and job.state in FINAL_STATES and not self.job["ended"]:
            self._heard(job)

    def job_hint(self, error: BaseException) -> str:
        """Say in a sentence what to do about an error of the job."""
        return plain_hint(error, memory=self.memory_advice, otherwise=self.after_failure)

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """Put what the job has found by now on the page; called on the thread that brings the news.

        Args:
            job: The job that is shown.
            state: Its state, as the page will have it after this call.

        Returns:
            What the page should know besides, with the state.
        """
        return {}

    def _heard(self, job: Job[Any]) -> None:
        """Tell the news of a job; one thread at a time, since a cell may catch up with them."""
        with self._news or contextlib.nullcontext():
            if job is not self._followed or self.job["ended"]:
                return  # another job has followed, or all has been told
            self._teller = threading.get_ident()
            try:
                # The state is read before what was found and told after it: what is said to be done must
                # be there.
                state = self._state(job)
                self.job = {**state, **self.job_news(job, state)}
            finally:
                self._teller = 0

    def _state(self, job: Job[Any]) -> State:
        run = {} if self._run_number is None else {"run": self._run_number}
        return {**state_of(job, self.job_hint), **run}
