"""The kernel's side of the notebook extension, in a real kernel driven by a plain client."""

import queue as queues
import time
from collections.abc import Callable, Iterator
from typing import Any

import nbclient
import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from sparse_debug_widgets.core.job import JobStatus
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.widgets.kit import job_comm
from sparse_debug_widgets.widgets.kit.job_comm import TARGET, snapshot

SETUP = """
import time
import sparse_debug_widgets
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.progress import Progress

def fit(progress=None):
    for step in range(4000):
        progress(Progress(step, 4000, f"lambda {step}"))
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel()
    client.execute_interactive(SETUP, timeout=60, store_history=False)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def ask(client: BlockingKernelClient, **wish: Any) -> dict[str, Any]:
    """What the extension sends; gives the reply."""
    message = client.session.msg("comm_info_request", {"target_name": TARGET, TARGET: wish})
    client.control_channel.send(message)
    while True:
        reply = client.control_channel.get_msg(timeout=20)
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return dict(reply)


def heard(
    client: BlockingKernelClient, until: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """The first broadcast list of jobs that fits."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            message = client.get_iopub_msg(timeout=1)
        except queues.Empty:
            continue
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == TARGET:
            jobs = message["content"]["data"]["jobs"]
            if until(jobs):
                return list(jobs)
    raise AssertionError("no such list of jobs came")


def test_a_busy_kernel_tells_its_jobs_and_hears_a_cancel(kernel: BlockingKernelClient) -> None:
    assert list(ask(kernel, do="list")["content"]["comms"]) == [TARGET]
    cell = kernel.execute("job = submit(fit, name='a path'); time.sleep(120)")
    job = heard(kernel, lambda jobs: any(job["state"] == "running" and job["done"] > 2 for job in jobs))[-1]
    assert job["name"] == "a path"
    assert job["total"] == 4000
    assert job["left"] > 0
    later = heard(kernel, lambda jobs: jobs[-1]["done"] > job["done"])[-1]
    assert later["note"].startswith("lambda ")
    assert ask(kernel, do="cancel", job=job["id"])["content"]["status"] == "ok"
    heard(kernel, lambda jobs: jobs[-1]["state"] == "cancelled")
    ask(kernel, do="cancel", job=job["id"])  # twice is once
    kernel.control_channel.send(kernel.session.msg("interrupt_request"))
    assert kernel.get_shell_msg(timeout=20)["parent_header"]["msg_id"] == cell


@pytest.mark.parametrize(
    "wish",
    [{}, {"do": "nothing"}, {"do": "cancel"}, {"do": "cancel", "job": "1"}, {"do": "cancel", "job": 999}],
    ids=str,
)
def test_nonsense_is_answered_like_the_standard_question(
    kernel: BlockingKernelClient, wish: dict[str, Any]
) -> None:
    assert ask(kernel, **wish)["content"] == {"comms": {TARGET: {"target_name": TARGET}}, "status": "ok"}
    message = kernel.session.msg("comm_info_request", {"target_name": "other", TARGET: "text"})
    kernel.control_channel.send(message)
    assert kernel.control_channel.get_msg(timeout=20)["content"]["comms"] == {}


def test_a_reader_without_the_extension_sees_no_trace_of_it() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(SETUP),
            nbformat.v4.new_code_cell("job = submit(fit)\ntime.sleep(0.5)\njob.cancel(), job.wait(20)"),
        ]
    )
    nbclient.NotebookClient(notebook, timeout=60).execute()
    assert notebook.cells[0].outputs == []
    assert [output.data["text/plain"] for output in notebook.cells[1].outputs] == ["(True, True)"]
    assert "widgets" not in notebook.metadata


def test_numbers_that_json_does_not_know_and_long_texts_do_not_get_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = JobStatus(
        1, "n" * 5000, "failed", False, float("nan"), float("inf"), "", 1.0, 0.0, float("inf"), "e" * 5000
    )

    class Fake:
        jobs = (type("Job", (), {"status": status, "state": "failed"})(),)

    monkeypatch.setattr(job_comm, "queue", Fake())
    (entry,) = snapshot()
    assert (entry["done"], entry["total"], entry["left"]) == (0.0, 0.0, None)
    assert len(entry["name"]) <= 200
    assert len(entry["error"]) <= 500


def test_of_many_ended_jobs_the_last_ten_are_told() -> None:
    def once(progress: Callable[[Progress], None]) -> None:
        progress(Progress(1, 1))

    def forever(progress: Callable[[Progress], None]) -> None:
        while True:
            progress(Progress(0, 0))
            time.sleep(0.01)

    running = submit(forever)
    for _ in range(14):
        submit(once).wait(20)
    told = snapshot()
    assert len([job for job in told if job["state"] == "done"]) == 10
    assert [job["id"] for job in told if job["state"] == "running"] == [running.id]
    running.cancel()
    assert running.wait(20)
    with pytest.raises(Cancelled):
        running.result()


def test_a_terminal_shell_is_left_alone() -> None:
    job_comm.announce_jobs(object())
    assert not job_comm._comms
