"""Jobs: what was asked for happens, exactly once, and the last word is always heard."""

import gc
import threading
import time
import weakref

import pytest

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.job import JobFailedError
from sparse_debug_widgets.core.jobs import JobQueue
from sparse_debug_widgets.core.progress import Cancelled, Progress


@pytest.fixture
def queue():
    queue = JobQueue(max_running=2)
    yield queue
    queue.shutdown()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("sdw-job-")])


def wait_until(condition, timeout=20.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def count_to(n, *, progress, pause=0.0, keep=False):
    done = 0
    try:
        for done in range(n):
            progress(Progress(done, n, f"step {done}", piece=done if done % 10 == 0 else None))
            time.sleep(pause)
    except Cancelled:
        if not keep:
            raise
        return done
    progress(Progress(n, n, "end"))
    return n


def test_result_progress_pieces_and_log(queue):
    job = queue.submit(count_to, 30, name="counting")
    assert job.result(20) == 30
    assert job.state == "done"
    assert job.status.done == 30
    assert job.status.note == "end"
    assert job.pieces == (0, 10, 20)
    assert "started" in job.log[1]
    assert job.log[-1].endswith("done")
    assert repr(job) == f"Job({job.id}, 'counting', done, 100 %)"
    assert not job.cancel()
    assert queue.get(job.id) is job
    assert queue.forget(job)
    assert queue.jobs == ()


def test_cancel_takes_effect_at_the_next_report_and_twice_is_once(queue):
    job = queue.submit(count_to, 10**6, pause=0.001)
    wait_until(lambda: job.status.done > 5)
    assert job.cancel()
    assert job.cancel() or job.state == "cancelled"
    assert job.wait(5)
    with pytest.raises(Cancelled, match="it had no result yet"):
        job.result()
    assert sum("cancel asked for" in line for line in job.log) == 1


def test_a_function_may_return_what_it_has_when_cancelled(queue):
    job = queue.submit(count_to, 10**6, pause=0.001, keep=True)
    wait_until(lambda: job.status.done > 5)
    job.cancel()
    assert job.wait(5)
    assert job.state == "cancelled"
    assert job.partial >= 5
    with pytest.raises(Cancelled, match=r"its \.partial holds"):
        job.result()


def test_a_cancel_that_comes_too_late_changes_nothing(queue):
    reached, go = threading.Event(), threading.Event()

    def function(*, progress):
        progress(Progress(1, 1))
        reached.set()
        go.wait(10)
        return "whole"

    job = queue.submit(function)
    assert reached.wait(10)
    job.cancel()
    go.set()
    assert job.result(10) == "whole"
    assert job.state == "done"


def test_errors_are_kept_with_their_traceback(queue):
    def broken(*, progress):
        progress(Progress(0, 1))
        return 1 / 0

    job = queue.submit(broken)
    with pytest.raises(JobFailedError, match="division by zero") as caught:
        job.result(20)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "in broken" in job.traceback
    assert job.status.error == "division by zero"
    assert job.state == "failed"


def test_result_times_out_and_the_job_goes_on(queue):
    release = threading.Event()
    job = queue.submit(lambda *, progress: release.wait(20))
    with pytest.raises(TimeoutError, match="it goes on"):
        job.result(0.01)
    release.set()
    assert job.result(20) is True


def test_at_most_max_running_at_once_and_in_order(queue):
    running, most, order = 0, 0, []
    lock = threading.Lock()

    def function(number, *, progress):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            order.append(number)
        time.sleep(0.02)
        with lock:
            running -= 1

    submitted = [queue.submit(function, number) for number in range(8)]
    for job in submitted:
        job.result(20)
    assert most == 2
    assert sorted(order) == list(range(8))
    assert order[0] in (0, 1)


def test_a_queued_job_is_cancelled_without_running(queue):
    queue.max_running = 1
    release = threading.Event()
    first = queue.submit(lambda *, progress: release.wait(20))
    ran = []
    second = queue.submit(lambda *, progress: ran.append(1))
    assert second.state == "queued"
    assert second.cancel()
    assert second.state == "cancelled"
    release.set()
    first.result(20)
    third = queue.submit(lambda *, progress: "third")
    assert third.result(20) == "third"
    assert ran == []


def test_updates_are_coalesced_and_the_last_state_is_always_sent(queue):
    states, times = [], []

    def listener(job):
        states.append(job.status)
        times.append(time.monotonic())

    gate = threading.Event()

    def flood(*, progress):
        gate.wait(10)
        for done in range(20_000):
            progress(Progress(done, 20_000))

    job = queue.submit(flood)
    job.subscribe(listener)
    gate.set()
    job.result(60)
    wait_until(lambda: states and states[-1].state == "done")
    span = times[-1] - times[0]
    assert len(states) <= 3 + span / jobs.UPDATE_INTERVAL


def test_two_listeners_and_a_broken_one_do_not_disturb_each_other(queue):
    seen = []

    def broken(job):
        raise RuntimeError("broken panel")

    job = queue.submit(count_to, 5)
    job.subscribe(broken)
    stop = job.subscribe(lambda job: seen.append(job.state))
    assert job.result(20) == 5
    wait_until(lambda: "done" in seen)
    wait_until(lambda: any("broken panel" in line for line in job.log))
    stop()
    before = len(seen)
    queue._mark(job)
    time.sleep(3 * jobs.UPDATE_INTERVAL)
    assert len(seen) == before


def test_a_late_subscriber_hears_the_final_state(queue):
    job = queue.submit(count_to, 3)
    job.result(20)
    seen = []
    job.subscribe(lambda job: seen.append(job.state))
    wait_until(lambda: seen == ["done"])


def test_time_left_is_estimated_from_the_last_reports(queue):
    job = queue.submit(count_to, 1000, pause=0.002)
    wait_until(lambda: job.status.done > 20)
    status = job.status
    assert status.rate > 0
    assert status.seconds_left == pytest.approx((1000 - status.done) / status.rate, rel=0.01)
    job.cancel()


def test_jobs_are_cancelled_when_the_process_ends():
    import subprocess
    import sys

    script = (
        "import time\n"
        "from sparse_debug_widgets.core import jobs\n"
        "from sparse_debug_widgets.core.progress import Progress\n"
        "def forever(*, progress):\n"
        "    try:\n"
        "        while True: progress(Progress(0, 0)); time.sleep(.01)\n"
        "    finally: print('cleaned up', flush=True)\n"
        "jobs.submit(forever); time.sleep(.2)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "cleaned up\n"
    assert run.stderr == ""


def test_the_process_waits_for_the_threads_of_cancelled_jobs():
    import subprocess
    import sys

    # What a job held is freed after it has said that it ended; PyTorch aborts if that never finishes.
    script = (
        "import time\n"
        "from sparse_debug_widgets.core import jobs\n"
        "from sparse_debug_widgets.core.progress import Progress\n"
        "class Held:\n"
        "    def __del__(self): time.sleep(.5); print('freed', flush=True)\n"
        "def forever(*, progress):\n"
        "    held = Held()\n"
        "    held.itself = held\n"
        "    while True: progress(Progress(0, 0)); time.sleep(.01)\n"
        "class Freeing(jobs.JobQueue):\n"
        "    def _work(self, job):\n"
        "        super()._work(job)\n"
        "        import gc; gc.collect()\n"
        "queue = Freeing()\n"
        "queue.submit(forever); time.sleep(.2); queue.shutdown()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "freed\n"
    assert run.stderr == ""


def test_an_ended_job_lets_go_of_what_it_worked_with():
    class Large:
        pass

    def work(large, *, fails, progress):
        progress(Progress(1, 1))
        if fails:
            held = large  # noqa: F841 - what the frame of an error would keep
            raise ValueError("no")

    for fails in (False, True):
        large = Large()
        gone = weakref.ref(large)
        job = jobs.submit(work, large, fails=fails)
        del large
        assert job.wait(60)
        for _ in range(20):
            gc.collect()
            if gone() is None:
                break
            time.sleep(0.1)
        assert gone() is None, fails
        assert not fails or "ValueError: no" in job.traceback


def test_work_of_a_cell_is_listed_and_hears_a_cancel():
    queue = JobQueue()
    job = queue.begin_here("a fit", "fit")
    job.report_here(Progress(1, 4, "one", piece=[0]))
    assert (job.status.state, job.status.noun, job.pieces) == ("running", "fit", ())
    job.cancel()
    with pytest.raises(Cancelled):
        job.report_here(Progress(2, 4))
    job.end_here(Cancelled())
    assert job.state == "cancelled"
    assert queue.jobs == (job,)
