"""The system's Chromium, launched once for all tests that need a browser."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No test asserts an absolute time, and two workers share two cores: what a page should come to may take long.
expect.set_options(timeout=20_000)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def browser_path() -> str | None:
    """Named by SDW_BROWSER or found on the PATH."""
    return next(filter(None, map(shutil.which, (os.environ.get("SDW_BROWSER", ""), *CANDIDATES))), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        pytest.exit(
            "the browser tests need Chromium: install it with 'apt-get install chromium'", returncode=1
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
