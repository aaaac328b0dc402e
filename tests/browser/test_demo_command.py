"""`python -m sparse_debug_widgets demo` opens the browser on the tutorial, ready to run."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium

from tests.browser.conftest import VIEWPORT
from tests.browser.driver import READY_MS, screenshot
from tests.browser.server import isolated_environment


@pytest.fixture
def opened_address(tmp_path: Path) -> Iterator[str]:
    """The address that the demo asks the user's browser to open."""
    record = tmp_path / "address.txt"
    stand_in = tmp_path / "browser.sh"
    stand_in.write_text(f'#!/bin/sh\necho "$1" > {record}\n')
    stand_in.chmod(0o755)
    environment = {**isolated_environment(tmp_path / "settings"), "BROWSER": f"{stand_in} %s"}
    command = [sys.executable, "-m", "sparse_debug_widgets", "demo", "--out", str(tmp_path / "out")]
    with (tmp_path / "log.txt").open("wb") as log:
        demo = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 60
            while not (record.is_file() and record.read_text().strip()):
                assert demo.poll() is None, (tmp_path / "log.txt").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
                time.sleep(0.1)
            yield record.read_text().strip()
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(20)


def test_the_demo_opens_the_tutorial(chromium: Chromium, opened_address: str) -> None:
    page = chromium.new_page(viewport=VIEWPORT)
    page.goto(opened_address)
    page.locator(".jp-Notebook h1", has_text="Find the planted flaw").wait_for(timeout=READY_MS)
    # Also because a server that is ended while it starts a kernel hangs
    page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for(timeout=READY_MS)
    screenshot(page, "demo-command")
    page.close()
