"""One server of each kind and one reused Lab page per session, in the one Chromium of tests/chromium.py."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ViewportSize

from tests.browser.driver import Browser
from tests.browser.server import Server, jupyter_server

VIEWPORT: ViewportSize = {"width": 1280, "height": 1000}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with jupyter_server(
        tmp_path_factory.mktemp("lab"), "lab", tmp_path_factory.mktemp("lab-settings")
    ) as server:
        yield server


@pytest.fixture(scope="session")
def notebook_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root, settings = tmp_path_factory.mktemp("notebook"), tmp_path_factory.mktemp("notebook-settings")
    with jupyter_server(root, "notebook", settings) as server:
        yield server


@pytest.fixture(scope="session")
def lab_page(chromium: Chromium, lab_server: Server) -> Iterator[Browser]:
    page = chromium.new_page(viewport=VIEWPORT)
    yield Browser(page, lab_server)
    page.close()


@pytest.fixture
def lab(lab_page: Browser) -> Iterator[Browser]:
    """JupyterLab; errors of the page fail the test."""
    yield lab_page
    lab_page.close_notebooks()
    assert lab_page.take_errors() == []


@pytest.fixture
def notebook7(chromium: Chromium, notebook_server: Server) -> Iterator[Browser]:
    """Notebook 7, a fresh page each time; errors of the page fail the test."""
    page = chromium.new_page(viewport=VIEWPORT)
    browser = Browser(page, notebook_server)
    yield browser
    browser.close_notebooks()
    page.close()
    assert browser.take_errors() == []


@pytest.fixture(params=["lab", "notebook7"])
def jupyter(request: pytest.FixtureRequest) -> Browser:
    """Both hosts, one after the other."""
    browser: Browser = request.getfixturevalue(request.param)
    return browser
