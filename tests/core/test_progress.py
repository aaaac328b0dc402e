"""Progress without being asked: in a notebook, after a second, one line for what a person called."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import progress
from sparse_debug_widgets.core.progress import Progress, line_of, reporter
from sparse_debug_widgets.widgets import features_panel, register_progress

X, Y = torch.rand(64, 6, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 2


class Shell:
    """What is used of IPython's shell in a kernel: it notes what is published."""

    def __init__(self, kernel="here"):
        self.kernel, self.published = kernel, []
        self.display_pub = SimpleNamespace(publish=self._publish)

    def _publish(self, data, metadata, transient, update):
        self.published.append((transient["display_id"], update, data["text/plain"]))

    @property
    def lines(self):
        return [line for _, _, line in self.published]

    @property
    def displays(self):
        return len({name for name, _, _ in self.published})


@pytest.fixture
def shell():
    shell = Shell()
    register_progress(shell)
    yield shell
    progress.show_by_default(None)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 1e-9)
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))


def test_what_takes_longer_than_a_second_shows_one_line(shell, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    report = reporter(None)
    for done, now in ((1, 0.5), (2, 0.9), (4, 1.1), (5, 1.15), (8, 4.0), (10, 5.0)):
        clock[0] = now
        report(Progress(done, 10, "reading"))
    assert shell.lines == ["reading: 40 %, 2 s left", "reading: 80 %, 1 s left", "reading: done in 5 s"]
    assert shell.displays == 1
    assert [update for _, update, _ in shell.published] == [False, True, True]


def test_what_is_quick_leaves_nothing(shell, model):
    sdw.extract_features(model, (X, Y))
    report = reporter(None)
    report(Progress(0, 1, "x"))
    report(Progress(1, 1, "x"))
    assert shell.lines == []


def test_extraction_and_fits_show_themselves(shell, impatient, model):
    sdw.elastic_net_path(sdw.extract_features(model, (X, Y), batch_size=16), n_lambdas=4)
    assert shell.displays == 2
    assert "features of the training data: 25 %" in " ".join(shell.lines)
    assert shell.lines[-1].startswith("4 lambdas, gap")
    assert "done in" in shell.lines[-1]


@pytest.mark.parametrize("given", [False, lambda _: None])
def test_silence_and_callbacks_are_as_asked(shell, impatient, model, given):
    sdw.extract_features(model, (X, Y), progress=given)
    assert shell.lines == []


def test_an_operation_shows_one_line_whatever_it_calls(shell, impatient, model):
    def outer(steps):
        report = reporter(None)
        for step in range(steps):
            report(Progress(step, steps, "outer"))
            inner()

    def inner():
        reporter(None)(Progress(1, 2, "inner"))

    for _ in range(3):  # in a loop each has its line
        outer(2)
    assert {line.partition(":")[0] for line in shell.lines} == {"outer"}
    assert shell.displays == 3
    inner()
    assert shell.lines[-1].startswith("inner: 50 %")


def test_an_error_in_the_one_before_does_not_silence_the_next(shell, impatient):
    def failing():
        reporter(None)
        raise RuntimeError

    def fine():
        reporter(None)(Progress(1, 2, "fine"))

    with pytest.raises(RuntimeError):
        failing()
    fine()
    assert shell.lines[-1].startswith("fine")


def test_jobs_and_panels_show_progress_in_their_own_place(shell, impatient, model):
    def beside():
        reporter(None)(Progress(1, 2, "beside"))

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert shell.lines == []
    features = sdw.extract_features(model, (X, Y), progress=False)
    path = sdw.elastic_net_path(features, n_lambdas=3, progress=False)
    features_panel(path, model, data=(X, Y), features=features).close()
    sdw.panel(path, model, data=(X, Y)).close()
    assert shell.lines == []


def test_a_script_and_a_terminal_stay_silent(impatient, capsys, model):
    register_progress(Shell(kernel=None))
    sdw.extract_features(model, (X, Y))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("step", "seconds", "line"),
    [
        (Progress(0, 10, "fit"), 0.0, "fit: 0 %"),
        (Progress(5, 10, "fit"), 30.0, "fit: 50 %, 30 s left"),
        (Progress(5, 10, "fit", None, 600), 30.0, "fit: 50 %, 10 min left"),
        (Progress(1200, 0, "stream"), 30.0, "stream: 1,200"),
        (Progress(10, 10, "fit"), 0.25, "fit: done in 0.2 s"),
        (Progress(1, 2), 1.0, "working: 50 %, 1 s left"),
    ],
)
def test_a_line_says_how_far_and_how_long(step, seconds, line):
    assert line_of(step, seconds) == line


def test_asked_for_there_is_a_line_on_standard_error(capsys):
    sdw.elastic_net_path(np.asarray(X), np.asarray(Y), n_lambdas=3, progress=True)
    shown = capsys.readouterr().err
    assert shown.endswith("\n")
    assert "3 lambdas" in shown.rsplit("\r", 1)[-1]
