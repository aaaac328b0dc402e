"""A request gets exactly one reply, whatever happens in between."""

import re
import threading

import numpy as np
import pytest

from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.widgets.kit import calls, wire
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.fakes import FakePath
from tests.widgets.front import listening, request, say


class Trouble(PathPanel):
    """A panel whose actions go wrong on demand."""

    @calls.action
    def fail(self, _call):
        raise ValueError("<b>broken</b>")

    @calls.action
    def stop(self, _call):
        raise KeyboardInterrupt

    @calls.action
    def leave(self, _call):
        raise SystemExit(3)

    @calls.action
    def unsendable(self, _call):
        return calls.Answer({}, {"bad": np.array(["text"])})

    @calls.action
    def nan(self, _call):
        return calls.Answer({"score": float("nan")})

    @calls.action
    def count(self, call, *, n):
        for k in range(n):
            call.progress(Progress(k, n, f"{k} of {n}"))
            self.reached = k
            if k == 2:
                self._desk.cancel(call.id)
        return calls.Answer({"n": n})


@pytest.fixture
def panel():
    return Trouble(FakePath(8, 10, 3), fallback="none")


def test_a_request_is_answered_with_value_and_arrays(panel):
    reply, buffers = request(panel, "class_path", index=2)
    assert reply["ok"]
    assert reply["value"]["index"] == 2
    arrays = wire.from_message(reply["arrays"], buffers)
    assert arrays["starts"].shape == (8,)


def test_an_error_is_a_reply_with_hint_and_traceback(panel):
    reply, _ = request(panel, "fail")
    assert not reply["ok"]
    assert reply["error"]["type"] == "ValueError"
    assert reply["error"]["message"] == "<b>broken</b>"
    assert reply["error"]["hint"]
    assert "in fail" in reply["error"]["traceback"]


@pytest.mark.parametrize(
    ("action", "arguments", "match"),
    [
        ("class_pat", {"index": 1}, "class_path"),
        ("__init__", {}, "This panel has no action"),
        ("close", {}, "This panel has no action"),
        ("class_path", {}, "missing"),
        ("class_path", {"index": 3}, "at most 2"),
        ("class_path", {"index": "1"}, "whole number"),
        ("class_path", {"index": 1, "extra": 1}, "unexpected"),
        ("use", {"index": 0}, "Show it with its model"),
        ("measure", {"index": 0, "silenced": [[0]]}, "pairs"),
        ("unsendable", {}, "one of the dtypes"),
    ],
)
def test_bad_requests_get_an_error_that_says_what_was_expected(panel, action, arguments, match):
    reply, _ = request(panel, action, **arguments)
    assert not reply["ok"]
    assert re.search(match, reply["error"]["message"])


def test_arguments_must_be_an_object(panel):
    with listening(panel) as heard:
        say(panel, {"sdw": "request", "id": "a", "action": "class_path", "args": [1]})
    assert [content["ok"] for content, _ in heard] == [False]


@pytest.mark.parametrize(
    "content", [None, 3, "x", {}, {"sdw": "request"}, {"sdw": "request", "id": 5}, {"id": "a"}]
)
def test_messages_that_are_not_ours_are_ignored(panel, content):
    with listening(panel) as heard:
        say(panel, content)
    assert heard == []


def test_a_repeated_request_is_answered_once(panel):
    message = {"sdw": "request", "id": "same", "action": "class_path", "args": {"index": 0}}
    with listening(panel) as heard:
        say(panel, message)
        say(panel, message)
    assert len(heard) == 1


def test_non_finite_numbers_are_sent_as_null(panel):
    reply, _ = request(panel, "nan")
    assert reply["value"] == {"score": None}


def test_the_stop_button_ends_the_request_and_not_the_kernel(panel):
    reply, _ = request(panel, "stop")
    assert reply["error"]["type"] == "KeyboardInterrupt"


def test_leaving_the_kernel_still_answers(panel):
    with listening(panel) as heard, pytest.raises(SystemExit):
        panel._desk.receive({"sdw": "request", "id": "x", "action": "leave", "args": {}})
    assert [content["error"]["type"] for content, _ in heard] == ["SystemExit"]


def test_cancelling_takes_effect_at_the_next_progress(panel):
    reply, _ = request(panel, "count", n=1000)
    assert reply["error"]["type"] == "Cancelled"
    assert panel.reached == 2


def test_a_cancel_that_overtakes_its_request_is_not_lost(panel):
    with listening(panel) as heard:
        say(panel, {"sdw": "cancel", "id": "early"})
        say(panel, {"sdw": "request", "id": "early", "action": "count", "args": {"n": 5}})
    assert [content["error"]["type"] for content, _ in heard] == ["Cancelled"]
    assert not hasattr(panel, "reached")


def test_a_late_cancel_is_harmless(panel):
    with listening(panel) as heard:
        say(panel, {"sdw": "request", "id": "done", "action": "class_path", "args": {"index": 0}})
        say(panel, {"sdw": "cancel", "id": "done"})
    assert len(heard) == 1
    assert not panel._desk._cancels


def test_cancel_is_heard_from_another_thread_through_the_control_comm(panel):
    class Comm:
        def on_msg(self, heard):
            self.heard = heard

    comm = Comm()
    calls._open_control(comm, {})
    started, answers = threading.Event(), []

    def wait(call):
        started.set()
        while True:
            call.progress(Progress(0, 0))

    panel._desk._actions = {"wait": wait}
    with listening(panel) as heard:
        message = {"sdw": "request", "id": "slow", "action": "wait", "args": {}}
        worker = threading.Thread(target=lambda: answers.append(panel._desk.receive(message)))
        worker.start()
        assert started.wait(10)
        comm.heard({"content": {"data": {"panel": panel.panel_id, "cancel": "slow"}}})
        comm.heard({"content": {"data": {"panel": "another", "cancel": 3}}})
        worker.join(10)
    assert not worker.is_alive()
    assert [c["error"]["type"] for c, _ in heard if c["sdw"] == "reply"] == ["Cancelled"]


def test_progress_is_sent_at_a_bounded_rate():
    sent = []
    call = calls.Call("x", lambda content, buffers=None: sent.append(content), threading.Event())
    for k in range(10_000):
        call.progress(Progress(k, 10_000))
    assert 1 <= len(sent) < 100
    call.cancelled.set()
    with pytest.raises(Cancelled):
        call.progress(Progress(1, 1))


def test_memory_of_answered_requests_is_bounded(panel):
    with listening(panel):
        for k in range(1200):
            say(panel, {"sdw": "cancel", "id": f"c{k}"})
            say(panel, {"sdw": "request", "id": f"r{k}", "action": "nan", "args": {}})
    assert len(panel._desk._taken) <= 512
    assert len(panel._desk._cancels) <= 512
