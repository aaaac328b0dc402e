"""Panels in plain pages; the page's own errors fail the test."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser

from sparse_debug_widgets.widgets.base import Panel
from sparse_debug_widgets.widgets.panels.path import PathPanel
from tests.widgets.fakes import FakePath
from tests.widgets.page import PanelPage


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
