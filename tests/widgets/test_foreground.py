"""Calls in a cell say how far they are without being asked, and are listed and cancelled like jobs."""

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import jobs, progress
from sparse_debug_widgets.widgets import foreground
from sparse_debug_widgets.widgets.job_comm import snapshot


@pytest.fixture
def lines(monkeypatch):
    """What the cell shows, newest last."""
    said = []

    class Line:
        def update(self, bundle, raw):
            said.append(bundle["text/plain"])

    def display(bundle, raw, display_id):
        said.append(bundle["text/plain"])
        return Line()

    monkeypatch.setattr("IPython.display.display", display)
    return said


@pytest.fixture
def shell(monkeypatch, lines):
    monkeypatch.setattr(foreground, "_PATIENCE", 0.0)
    monkeypatch.setattr(foreground, "_INTERVAL", 0.0)
    shell = InteractiveShell()
    foreground.show_progress(shell)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 6)).astype(np.float32), np.arange(90) % 3
    shell.user_ns |= {"sdw": sdw, "X": X, "y": y, "np": np}
    yield shell
    progress._onlookers.clear()


FIT = "path = sdw.elastic_net_path(X, y, n_lambdas=6, eps=0.1)"


def entries():
    return {entry["id"]: entry for entry in snapshot()}


def test_a_plain_fit_in_a_cell_is_a_fit_among_the_jobs(shell, lines):
    before = set(entries())
    shell.run_cell(FIT).raise_error()
    (new,) = set(entries()) - before
    entry = entries()[new]
    assert (entry["name"], entry["noun"], entry["state"]) == ("path fit", "fit", "done")
    assert lines[0].startswith("path fit: ")
    assert any("% · " in line and "lambda 3 of 6" in line for line in lines)
    assert lines[-1].startswith("path fit: done in ")


def test_each_call_of_a_cell_has_its_entry_and_what_it_calls_has_none(shell, lines):
    before = set(entries())
    shell.run_cell(f"{FIT}\n{FIT}").raise_error()
    assert [entries()[new]["name"] for new in sorted(set(entries()) - before)] == ["path fit"] * 2
    assert sum("done in" in line for line in lines) == 2


def test_a_call_that_is_asked_for_its_progress_tells_nobody_else(shell, lines):
    before = set(entries())
    shell.run_cell("sdw.elastic_net_path(X, y, n_lambdas=3, eps=0.1, progress=lambda _: None)").raise_error()
    shell.run_cell("sdw.elastic_net_path(X, y, n_lambdas=3, eps=0.1, progress=False)").raise_error()
    assert (set(entries()) - before, lines) == (set(), [])


def test_outside_of_cells_and_beside_them_nothing_is_shown(shell, lines):
    before = set(entries())
    shell.run_cell("1")
    X, y = shell.user_ns["X"], shell.user_ns["y"]
    sdw.elastic_net_path(X, y, n_lambdas=3, eps=0.1)
    work = (
        "import threading\n"
        "t = threading.Thread(target=sdw.elastic_net_path, args=(X, y), kwargs=dict(n_lambdas=3, eps=0.1))\n"
        "t.start(); t.join()"
    )
    shell.run_cell(work).raise_error()
    assert (set(entries()) - before, lines) == (set(), [])


def test_a_short_call_leaves_no_trace(shell, lines, monkeypatch):
    monkeypatch.setattr(foreground, "_PATIENCE", 1e6)
    before = set(entries())
    shell.run_cell(FIT).raise_error()
    assert (set(entries()) - before, lines) == (set(), [])


def test_cancelling_it_among_the_jobs_gives_what_was_solved(shell, monkeypatch):
    shown = foreground._Call._show

    def cancel_in_the_middle(call, step):
        shown(call, step)
        if step.done >= 2:
            call._job.cancel()

    monkeypatch.setattr(foreground._Call, "_show", cancel_in_the_middle)
    shell.run_cell(FIT).raise_error()
    path = shell.user_ns["path"]
    assert path.cancelled
    assert 0 < path.n_lambdas < 6
    assert list(entries().values())[-1]["state"] in ("cancelled", "done")


def test_an_error_ends_the_entry(shell, lines):
    code = "def fail(i):\n    raise ValueError('no')\n"
    data = "[(X[i], fail(i)) if i > 40 else (X[i], 0) for i in range(3)]"
    shell.user_ns["model"] = None
    before = set(entries())
    shell.run_cell(code + f"{FIT.replace('y,', 'y[:5],')}\n{data}")
    assert set(entries()) == before  # refused before anything was shown


def test_entries_of_cells_do_not_pile_up(shell):
    for _ in range(15):
        shell.run_cell(FIT).raise_error()
    assert sum(job.done_here for job in jobs.queue.jobs) <= 12
