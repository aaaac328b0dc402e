"""Progress in phases: the time that is left is counted, not read off a share of a bar."""

import threading

import pytest

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.job import Job
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


def promised(costs: list[float], monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """What a job says is left, and what is, after each unit of these costs in seconds."""
    clock = Clock()
    monkeypatch.setattr("sparse_debug_widgets.core.job.time.monotonic", clock)
    said: list[tuple[float, float]] = []

    def work(report: ProgressCallback) -> None:
        for k, seconds in enumerate(costs):
            for _ in range(10):  # minibatches
                clock.now += seconds / 10
                report(Progress(k, len(costs)))
            report(Progress(k + 1, len(costs)))
            left = job.status.seconds_left
            said.append((float("nan") if left is None else left, sum(costs[k + 1 :])))

    job: Job[None] = Job(1, "path", work)
    job.run()
    assert job.state == "done"
    return said


@pytest.mark.parametrize("growth", [1.0, 1.03, 1.06])
def test_work_that_becomes_dearer_is_foreseen(growth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = [0.2 * growth**k for k in range(100)]
    ratios = [left / true for left, true in promised(costs, monkeypatch)[30:95]]
    # By the pace of the last seconds it is a tenth at the worst.
    assert min(ratios) > 0.5
    assert max(ratios) < 2


def test_a_slow_start_frightens_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = [10.0, *[0.3] * 99]
    ratios = [left / true for left, true in promised(costs, monkeypatch)[30:95]]
    assert min(ratios) > 0.6
    assert max(ratios) < 1.7
