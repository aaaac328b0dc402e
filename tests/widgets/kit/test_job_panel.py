"""The base of panels that run jobs: in which order the page hears of a job and of what it has found."""

import errno
import threading
from importlib import import_module

import pytest
import traitlets

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.kit import assets
from sparse_debug_widgets.widgets.kit.base import Export, Panel
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from tests.widgets.front import eventually


def panel_of(name):
    """The class of a panel by its name."""
    module = import_module(f"sparse_debug_widgets.widgets.panels.{name}.panel")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Panel) and value.name == name
    )
    return found


class Listening(JobPanel):
    """A panel that writes down what its page would see, in the order in which it would see it."""

    found = traitlets.Unicode().tag(sync=True)

    def __init__(self):
        self.seen = []
        super().__init__(title="", plain="")
        self.observe(lambda change: self.seen.append(("found", change["new"])), "found")
        self.observe(lambda change: self.seen.append(("job", change["new"]["state"])), "job")

    def job_news(self, job, state):
        if state["ended"]:
            self.found = str(job.result(0)) if state["state"] == "done" else "nothing"
        return {"notes": ["a note"]}

    def export(self, *, small=False):
        return Export({}, {}, [])


@pytest.fixture
def panel():
    shown = Listening()
    yield shown
    shown.close()


def test_a_job_that_has_ended_already_is_queued_first_and_done_after_what_it_found(panel):
    job = jobs.submit(lambda *, progress: 7, name="seven")
    assert job.result(30) == 7
    panel.follow_job(job, 3)
    eventually(lambda: panel.job["ended"])
    assert panel.seen == [("job", "queued"), ("found", "7"), ("job", "done")]
    assert panel.job["run"] == 3
    assert panel.job["notes"] == ["a note"]


def test_news_of_a_job_that_another_one_has_followed_are_not_shown(panel):
    go = threading.Event()
    slow = jobs.submit(lambda *, progress: go.wait(30), name="slow")
    panel.follow_job(slow)
    eventually(lambda: panel.job["state"] == "running")
    quick = jobs.submit(lambda *, progress: "quick", name="quick")
    panel.follow_job(quick)
    go.set()
    assert slow.result(30)
    eventually(lambda: panel.job["ended"])
    panel._heard(slow)
    assert (panel.found, panel.job["id"]) == ("quick", quick.id)


def test_what_is_no_longer_wanted_does_not_reach_the_page(panel):
    go = threading.Event()
    job = jobs.submit(lambda *, progress: go.wait(30), name="unwanted")
    panel.follow_job(job)
    eventually(lambda: panel.job["state"] == "running")
    panel.stop_following()
    go.set()
    assert job.result(30)
    panel._heard(job)
    panel.catch_up()
    assert {state for _, state in panel.seen} <= {"queued", "running"}


def test_an_export_may_catch_up_with_a_job_whose_end_is_still_on_its_way(panel, monkeypatch):
    monkeypatch.setattr(
        "sparse_debug_widgets.widgets.kit.job_panel.follow", lambda job, owner, changed: lambda: None
    )
    job = jobs.submit(lambda *, progress: 7, name="seven")
    panel.follow_job(job)
    assert job.result(30) == 7
    assert not panel.job["ended"]
    panel.catch_up()
    assert (panel.found, panel.job["state"]) == ("7", "done")


def test_an_export_in_the_midst_of_news_tells_nothing_twice(panel, monkeypatch):
    calls = []
    told = Listening.job_news

    def exporting(shown, job, state):
        calls.append(state["state"])
        shown.catch_up()  # as an export would
        return told(shown, job, state)

    monkeypatch.setattr(Listening, "job_news", exporting)
    job = jobs.submit(lambda *, progress: 7, name="seven")
    job.result(30)
    panel.follow_job(job)
    eventually(lambda: panel.job["ended"])
    assert calls == ["done"]
    assert panel.seen[-2:] == [("found", "7"), ("job", "done")]


def test_a_cell_that_catches_up_waits_for_the_news_that_are_just_being_told(panel, monkeypatch):
    inside, go = threading.Event(), threading.Event()
    told = Listening.job_news

    def slow(shown, job, state):
        if state["ended"]:
            inside.set()
            assert go.wait(30)
        return told(shown, job, state)

    monkeypatch.setattr(Listening, "job_news", slow)
    panel.follow_job(jobs.submit(lambda *, progress: 7, name="seven"))
    assert inside.wait(30)
    cell = threading.Thread(target=panel.catch_up)
    cell.start()
    cell.join(0.1)
    assert cell.is_alive()
    assert not panel.job["ended"]
    go.set()
    cell.join(30)
    assert (panel.found, panel.job["ended"]) == ("7", True)
    assert [what for what, _ in panel.seen].count("found") == 1


def test_a_failed_job_says_what_to_do(panel):
    def fails(*, progress):
        raise MemoryError

    panel.follow_job(jobs.submit(fails, name="fails"))
    eventually(lambda: panel.job["ended"])
    assert panel.job["state"] == "failed"
    assert "Out of memory" in panel.job["failure"]["hint"]


@pytest.mark.parametrize("name", assets.panel_names())
def test_every_panel_with_a_job_is_a_job_panel(name):
    panel = panel_of(name)
    assert issubclass(panel, JobPanel) == ("job" in panel.class_trait_names())


@pytest.mark.parametrize(
    "name", [name for name in assets.panel_names() if issubclass(panel_of(name), JobPanel)]
)
def test_each_panel_says_what_needs_less_memory_and_that_the_model_is_untouched(name):
    kind = panel_of(name)
    shown = kind.__new__(kind)
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")):
        said = JobPanel.job_hint(shown, error)
        assert said == f"Out of memory: {kind.memory_advice}. The model is as it was."
    assert "what was expected" in JobPanel.job_hint(shown, InputError("no"))
    assert "The model is as it was." in JobPanel.job_hint(shown, ValueError("odd"))
    assert "disk is full" in JobPanel.job_hint(shown, OSError(errno.ENOSPC, "full"))
