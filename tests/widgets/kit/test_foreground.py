"""Calls in a cell say how far they are without being asked, and are listed and cancelled like jobs."""

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import jobs, progress
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.widgets.kit import foreground
from sparse_debug_widgets.widgets.kit.job_comm import snapshot
from tests.saliency.models import images, small_cnn


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 1e-9)
    progress.show_by_default(lambda: lambda _line, _last: None)
    shell = InteractiveShell()
    foreground.list_calls(shell)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 6)).astype(np.float32), np.arange(90) % 3
    shell.user_ns |= {"sdw": sdw, "X": X, "y": y, "np": np}
    yield shell
    progress.list_by_default(None)
    progress.show_by_default(None)


FIT = "path = sdw.elastic_net_path(X, y, n_lambdas=6, eps=0.1)"


def entries():
    return {entry["id"]: entry for entry in snapshot()}


def new_since(before):
    found = entries()
    return [found[number] for number in sorted(set(found) - before)]


def test_a_plain_fit_in_a_cell_is_a_fit_among_the_jobs(shell):
    before = set(entries())
    shell.run_cell(FIT).raise_error()
    (entry,) = new_since(before)
    assert (entry["name"], entry["noun"], entry["state"]) == ("path fit", "fit", "done")
    assert entry["note"].startswith("lambda 6 of 6")


def test_each_call_of_a_cell_has_its_entry_and_what_it_calls_has_none(shell):
    before = set(entries())
    shell.user_ns["model"] = small_cnn()
    shell.user_ns["data"] = images(40), torch.arange(40) % 4
    shell.run_cell(f"{FIT}\nfeatures = sdw.extract_features(model, data, batch_size=4)\n{FIT}").raise_error()
    assert [entry["name"] for entry in new_since(before)] == ["path fit", "taking features", "path fit"]
    assert {entry["state"] for entry in new_since(before)} == {"done"}


def test_a_call_that_is_asked_for_its_progress_tells_nobody_else(shell):
    before = set(entries())
    shell.run_cell("sdw.elastic_net_path(X, y, n_lambdas=3, eps=0.1, progress=lambda _: None)").raise_error()
    shell.run_cell("sdw.elastic_net_path(X, y, n_lambdas=3, eps=0.1, progress=False)").raise_error()
    assert new_since(before) == []


def test_a_call_beside_the_cell_and_a_short_one_are_not_listed(shell, monkeypatch):
    before = set(entries())
    work = (
        "import threading\n"
        "t = threading.Thread(target=sdw.elastic_net_path, args=(X, y), kwargs=dict(n_lambdas=3, eps=0.1))\n"
        "t.start(); t.join()"
    )
    shell.run_cell(work).raise_error()
    monkeypatch.setattr(progress, "_PATIENCE", 1e6)
    shell.run_cell(FIT).raise_error()
    assert new_since(before) == []


def test_cancelling_it_among_the_jobs_gives_what_was_solved(shell, monkeypatch):
    before, report = set(entries()), Job.report_here

    def cancel_in_the_middle(job, step):
        if step.done >= 2:
            job.cancel()
        report(job, step)

    monkeypatch.setattr(Job, "report_here", cancel_in_the_middle)
    shell.run_cell(FIT).raise_error()
    path = shell.user_ns["path"]
    assert path.cancelled
    assert 0 < path.n_lambdas < 6
    assert len(new_since(before)) == 1


def test_an_error_of_the_cell_ends_the_entry(shell):
    before = set(entries())
    model = small_cnn()
    model.register_forward_hook(lambda _, x, __: 1 / 0 if len(x[0]) == 1 else None)
    shell.user_ns["model"], shell.user_ns["data"] = model, (images(9), torch.arange(9) % 4)
    shell.run_cell("features = sdw.extract_features(model, data, batch_size=4)")
    (entry,) = new_since(before)
    assert (entry["state"], entry["error"]) == ("failed", "division by zero")


def test_entries_of_cells_do_not_pile_up(shell):
    for _ in range(15):
        shell.run_cell(FIT).raise_error()
    assert sum(job.done_here for job in jobs.queue.jobs) <= 12
