"""Progress in phases: the time that is left is counted, not read off a share of a bar."""

import threading

import pytest

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.progress import Phases, Progress, ProgressCallback


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.heard: list[tuple[float, Progress]] = []

    def __call__(self) -> float:
        return self.now

    def hear(self, progress: Progress) -> None:
        self.heard.append((self.now, progress))

    def run(self, phases: Phases, name: str, seconds: float, steps: int = 40) -> None:
        tell = phases.phase(name)
        for step in range(1, steps + 1):
            self.now += seconds / steps
            tell(Progress(step, steps, name))


def test_the_time_left_is_right_however_unlike_the_phases_are(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("sparse_debug_widgets.core.progress.time.monotonic", clock)
    phases = Phases(clock.hear, {"read": 1.0, "train": 25.0, "draw": 5.0})
    clock.run(phases, "read", 40.0)
    phases.expect("draw", 250.0)  # what a dry run told
    clock.run(phases, "train", 20.0)
    clock.run(phases, "draw", 300.0)
    phases.finish("done")
    # As it was before: 75 percent of a bar for the training, 15 for the maps: 4 s left, then 5 minutes.
    late = [(now, progress) for now, progress in clock.heard[:-1] if progress.note in {"train", "draw"}]
    errors = [now + (progress.seconds_left or 0.0) - clock.now for now, progress in late]
    assert max(map(abs, errors)) < 0.2 * 320
    shares = [progress.fraction for _, progress in clock.heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_phase_that_is_left_out_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("sparse_debug_widgets.core.progress.time.monotonic", clock)
    phases = Phases(clock.hear, {"read": 1.0, "train": 25.0, "draw": 5.0})
    phases.phase("draw")
    assert clock.heard[-1][1].seconds_left == 5.0


def test_a_job_says_the_time_left_that_its_function_knows() -> None:
    told, go = threading.Event(), threading.Event()

    def work(*, progress: ProgressCallback) -> None:
        # By the pace of its units it would be done at once.
        progress(Progress(99, 100, "reading", seconds_left=300.0))
        told.set()
        go.wait(30)

    job = jobs.submit(work, name="slow end")
    assert told.wait(30)
    left = job.status.seconds_left
    go.set()
    job.wait(30)
    assert left is not None
    assert 200 < left <= 300
