"""Panels in plain pages; the page's own errors fail the test."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser

from sparse_debug_widgets.widgets.kit import calls
from sparse_debug_widgets.widgets.kit.base import Panel
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.front_end.declarations import TRAFFIC
from tests.widgets import conform
from tests.widgets.fakes import FakePath
from tests.widgets.page import PanelPage


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell of IPython that a test makes puts its own ``__main__`` in place: given back afterwards."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def sent_otherwise(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a panel sends that is not of its type (``traffic.py``); anything left fails the test."""
    found: list[str] = []
    run, notify = calls.Desk._run, Panel.notify_change

    def answered(desk: calls.Desk, call: calls.Call, content: Any) -> Any:
        out = run(desk, call, content)
        owner = getattr(desk._actions.get("refresh"), "__self__", None)
        known = owner is not None and content["action"] in _answers(owner.name)
        if out[0]["ok"] and known:
            found.extend(conform.answer_differences(owner.name, content["action"], out[0]["value"]))
        return out

    def told(panel: Panel, change: Any) -> None:
        if change.name in _traits(panel.name):
            new = f"IPY_MODEL_{change.new.model_id}" if isinstance(change.new, Panel) else change.new
            found.extend(conform.trait_differences(panel.name, change.name, new))
        notify(panel, change)

    monkeypatch.setattr(calls.Desk, "_run", answered)
    monkeypatch.setattr(Panel, "notify_change", told)
    yield found
    assert found == []


def _traits(panel: str) -> set[str]:
    return set(TRAFFIC[panel][0].__annotations__) if panel in TRAFFIC else set()


def _answers(panel: str) -> set[str]:
    return set(TRAFFIC[panel][1].__annotations__) if panel in TRAFFIC else set()


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A fresh ``__main__``: the variables of a notebook, as copied code finds them."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


@pytest.fixture
def show(chromium: Browser) -> Iterator[Callable[..., PanelPage]]:
    """Show a panel (by default a made-up path) in a page of its own."""
    pages: list[PanelPage] = []

    def open_page(panel: Panel | None = None, **options: Any) -> PanelPage:
        pages.append(PanelPage(chromium, panel or PathPanel(FakePath(40, 60, 4), fallback="none"), **options))
        return pages[-1]

    yield open_page
    errors = [error for page in pages for error in page.errors]
    for page in pages:
        page.close()
    assert errors == []
