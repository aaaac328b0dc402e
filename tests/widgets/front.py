"""Plays the front end of a panel in Python: sends messages, keeps what comes back."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import count
from typing import Any

from sparse_debug_widgets.widgets.kit.base import Panel

_numbers = count(1)


@contextmanager
def listening(panel: Panel):
    """The messages (content, buffers) that the panel sends meanwhile."""
    heard: list[tuple[dict[str, Any], list[bytes]]] = []
    desk = panel._desk
    before, desk._send = (
        desk._send,
        lambda content, buffers=None: heard.append((content, list(buffers or []))),
    )
    try:
        yield heard
    finally:
        desk._send = before


def say(panel: Panel, content: object) -> None:
    """Deliver one custom message as ipywidgets would."""
    panel._handle_custom_msg(content, [])


def request(panel: Panel, action: str, **arguments: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Ask, and give the one reply."""
    identifier = f"test-{next(_numbers)}"
    with listening(panel) as heard:
        say(panel, {"sdw": "request", "id": identifier, "action": action, "args": arguments})
    replies = [(content, buffers) for content, buffers in heard if content["sdw"] == "reply"]
    assert [content["id"] for content, _ in replies] == [identifier]
    return replies[0]


def eventually(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it should have come to hold"
        time.sleep(0.02)
