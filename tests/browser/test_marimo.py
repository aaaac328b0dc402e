"""Panels in a real marimo, whose widgets have no manager of Jupyter's behind them."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import VIEWPORT
from tests.browser.driver import screenshot
from tests.browser.server import START_SECONDS, free_port
from tests.browser.test_fit_panel import fit_panel, press, wait_for_state
from tests.browser.test_path_panel import drag_line, painted_line, width_of

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    import numpy as np

    import sparse_debug_widgets as sdw

    rng = np.random.default_rng(0)
    labels = np.arange(300) % 4
    values = rng.normal(size=(300, 20)).astype(np.float32)
    values[:, :4] += 2 * np.eye(4, dtype=np.float32)[labels]
    features = sdw.DeepFeatures.from_arrays(values, labels, class_names=["<b>bold</b>", "ant", "bee", "cat"])
    mo.ui.anywidget(sdw.fit_panel(features, checkpoints=False, n_lambdas=12, eps=0.05))
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def marimo(tmp_path: Path, chromium: Browser) -> Iterator[Page]:
    """The notebook as an app, in a page of its own; errors of the page fail the test."""
    notebook, log, port = tmp_path / "notebook.py", tmp_path / "server.log", free_port()
    notebook.write_text(NOTEBOOK, encoding="utf-8")
    base = f"http://127.0.0.1:{port}"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "marimo", "--yes", "run", str(notebook)),
                *("--headless", "--no-token", "--host=127.0.0.1", f"--port={port}"),
            ],
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "NO_PROXY": "*"},
            cwd=tmp_path,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    page = chromium.new_page(viewport=VIEWPORT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        wait_until_up(f"{base}/health", process, log)
        page.goto(base)
        yield page
    finally:
        page.close()
        process.terminate()
        process.wait(10)
    assert errors == []


def wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 (our own http address)
            return
        time.sleep(0.1)
    raise RuntimeError(f"marimo did not start; the end of its log:\n{log.read_text()[-2000:]}")


def test_a_fit_is_handed_over_to_a_path_panel_inside_it(marimo: Page) -> None:
    panel = fit_panel(marimo.locator("body"))
    press(panel, "Start a fit")
    wait_for_state(panel, "done")
    panel.get_by_role("button", name="Show the finished path").click()
    path = panel.locator("section.sdw-path[data-idx]")
    path.wait_for(timeout=20_000)
    for share in (0.8, 0.3):
        mouse_x = drag_line(path, share)
        assert abs(painted_line(path) - mouse_x) <= width_of(path) / 12
    screenshot(panel, "fit-marimo")
    expect(panel.get_by_role("alert")).to_have_count(0)
    assert panel.locator("b", has_text="bold").count() == 0
