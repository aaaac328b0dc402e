"""Drive one open notebook in a JupyterLab or Notebook 7 page, the way a person would."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Request

from tests.browser.server import Server

SCREENSHOTS = Path(__file__).parent / "screenshots"
READY_MS = 60_000

# Errors of the stock pages themselves: not ours, seen in a notebook that uses no widget at all.
STOCK_ERRORS = (
    "reading 'schema'",  # Notebook 7.6 on opening any notebook
    "reading 'updateRenderOption'",  # Notebook 7.6 on opening another notebook, in a new tab
    "Could not restore the debugger state",  # Lab, when a kernel is shut down soon after its start
)

# The notebook panel whose path is `name`; needs --expose_app_in_browser.
PANEL = """((name) => {
  for (const widget of window.jupyterapp?.shell?.widgets?.('main') ?? [])
    if (widget.sessionContext && widget.content?.widgets && widget.context.path === name) return widget;
  return null;
})"""

# A cell that is run before all of this holds is dropped without a word.
READY = f"""(name) => {{
  const panel = {PANEL}(name);
  if (!panel || !panel.context.isReady || !panel.sessionContext.isReady) return false;
  const kernel = panel.sessionContext.session?.kernel;
  return !!kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}}"""

RUN = f"""([name, index]) => {{
  const panel = {PANEL}(name);
  const cell = panel.content.widgets[index];
  panel.content.activeCellIndex = index;
  panel.content.scrollToCell?.(cell);
  cell.sdwDone = '';
  window.jupyterapp.commands.execute('notebook:run-cell').then(
    () => {{ cell.sdwDone = 'yes'; }}, (error) => {{ cell.sdwDone = String(error); }});
}}"""

CLOSE = f"""async (name) => {{
  const panel = {PANEL}(name);
  await panel.sessionContext.shutdown();
  panel.context.model.dirty = false;
  panel.dispose();
}}"""

OPEN = """(path) => window.jupyterapp.commands.execute(
  'docmanager:open', {path, factory: 'Notebook', kernel: {name: 'python3'}}).then(() => true)"""

CANCEL = """(panel) => new Promise((done, fail) => {
  setTimeout(() => fail(new Error(`still ${panel.dataset.state} after 20 s: ${panel.innerText}`)), 20_000);
  const buttons = [...panel.querySelectorAll('.sdw-go button, .sdw-doing button')];
  const stop = buttons.find((button) => button.textContent === 'Cancel');
  const began = performance.now();
  const ended = () => {
    if (panel.dataset.state === 'running') return;
    watcher.disconnect();
    done(performance.now() - began);
  };
  const watcher = new MutationObserver(ended);
  watcher.observe(panel, { attributes: true, attributeFilter: ['data-state'] });
  stop.click();
  ended();
})"""

FAILURES = ", ".join(f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("stderr", "error"))

LAB_UP = "window.jupyterapp?.restored && document.querySelector('#jp-main-dock-panel')"


def cancel(panel: Locator) -> float:
    """Click a panel's Cancel; milliseconds until it says that its job has stopped."""
    return float(panel.evaluate(CANCEL))


class CellError(AssertionError):
    """A cell ended with an error, or wrote to standard error."""


def code_notebook(cells: Sequence[str]) -> dict[str, Any]:
    """A notebook (nbformat 4.5) of code cells."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell{index}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for index, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


class Notebook:
    """One open notebook: run its cells, look at their outputs."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        page.wait_for_function(READY, arg=name, timeout=READY_MS)

    def start(self, index: int) -> None:
        """Run a cell without waiting for it."""
        self.page.evaluate(RUN, [self.name, index])

    def wait(self, index: int, timeout: float = 60) -> None:
        """Wait until a started cell is done; an error in it fails the test with its traceback.

        The kernel is done before the page has drawn the result: expect on `out` for that.
        """
        done = f"([name, index]) => {PANEL}(name).content.widgets[index].sdwDone"
        self.page.wait_for_function(done, arg=[self.name, index], timeout=1000 * timeout)
        failures = self.out(index).locator(FAILURES)
        texts = [failure.inner_text() for failure in failures.all()]
        if texts:
            raise CellError("\n".join(texts))

    def run(self, index: int, timeout: float = 60) -> Locator:
        """Run a cell to its end and give its output area."""
        self.start(index)
        self.wait(index, timeout)
        return self.out(index)

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def out(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-Cell-outputArea")

    def text(self, index: int, timeout: float = 60) -> str:
        """Run a cell and give the text it prints."""
        return self.run(index, timeout).inner_text().strip()

    def cell_type(self, index: int) -> str:
        """'code', 'markdown' or 'raw': the kind a cell has now."""
        kind = f"([name, index]) => {PANEL}(name).content.widgets[index].model.type"
        return str(self.page.evaluate(kind, [self.name, index]))

    def save(self) -> None:
        """Save the notebook, outputs and all."""
        self.page.evaluate(f"(name) => {PANEL}(name).context.save().then(() => true)", self.name)

    def active_cell(self) -> int:
        return int(self.page.evaluate(f"(name) => {PANEL}(name).content.activeCellIndex", self.name))


CHANGE_THEME = """(theme) =>
  window.jupyterapp.commands.execute('apputils:change-theme', {theme}).then(() => true)"""
THEME_SHOWN = """(theme) => document.body.dataset.jpThemeName === theme
  && !document.getElementById('jupyterlab-splash')"""


class Browser:
    """A page on a server, the notebooks opened in it, and the errors seen since the last look."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self._errors: list[str] = []
        self._open: list[str] = []
        page.on("pageerror", self._page_error)
        page.on("console", self._console)
        page.on("request", self._request)
        if server.app == "lab":
            page.goto(server.url(f"lab/workspaces/{uuid.uuid4().hex}"), wait_until="domcontentloaded")
            page.wait_for_function(LAB_UP, timeout=READY_MS)

    def _page_error(self, error: Error) -> None:
        self._errors.append(str(error))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._errors.append(f"{message.text} {message.location['url']}".strip())

    def _request(self, request: Request) -> None:
        """A widget that works only where a CDN can be reached is broken for many people."""
        if request.url.startswith("http") and not request.url.startswith(self.server.base):
            self._errors.append(f"the page asked for {request.url}")

    def open(self, cells: Sequence[str]) -> Notebook:
        """Write the cells as a notebook of a new name and open it."""
        return self.open_file(code_notebook(cells))

    def open_file(self, notebook: dict[str, Any]) -> Notebook:
        """Write a notebook under a new name (two tests with one name would share a kernel) and open it."""
        name = f"n{uuid.uuid4().hex[:8]}.ipynb"
        (self.server.root / name).write_text(json.dumps(notebook), encoding="utf-8")
        self._open.append(name)
        if self.server.app == "lab":
            self.page.evaluate(OPEN, name)
        else:
            self.page.goto(self.server.url(f"notebooks/{name}"), wait_until="domcontentloaded")
        return Notebook(self.page, name)

    def reload(self, notebook: Notebook) -> None:
        """Reload the page and wait until the notebook is open and connected to its kernel again."""
        if self.server.app == "lab":
            # A workspace of its own: the old one would bring back notebooks of earlier tests, gone by now.
            address = self.server.url(f"lab/workspaces/{uuid.uuid4().hex}")
            self.page.goto(address, wait_until="domcontentloaded")
            self.page.wait_for_function(LAB_UP, timeout=READY_MS)
            self.page.evaluate(OPEN, notebook.name)
        else:
            self.page.reload(wait_until="domcontentloaded")
        self.page.wait_for_function(READY, arg=notebook.name, timeout=READY_MS)

    def reopen(self, notebook: Notebook) -> None:
        """Close the notebook, its kernel left running, and open it again."""
        if self.server.app == "lab":
            self.page.evaluate(f"(name) => {PANEL}(name).dispose()", notebook.name)
            self.page.evaluate(OPEN, notebook.name)
        else:
            self.page.goto("about:blank")
            self.page.goto(self.server.url(f"notebooks/{notebook.name}"), wait_until="domcontentloaded")
        self.page.wait_for_function(READY, arg=notebook.name, timeout=READY_MS)

    def set_theme(self, theme: str) -> None:
        """Change Lab's theme; wait until its splash is gone, because Lab fails when two fade at once."""
        self.page.evaluate(CHANGE_THEME, theme)
        self.page.wait_for_function(THEME_SHOWN, arg=theme)

    def close_notebooks(self) -> None:
        """Shut the kernels down and close what was opened."""
        for name in self._open:
            if self.page.evaluate(f"(name) => !!{PANEL}(name)", name):
                self.page.evaluate(CLOSE, name)
            (self.server.root / name).unlink()
        self._open.clear()

    def take_errors(self) -> list[str]:
        """Errors of the page since the last call, without those that the stock pages make."""
        errors, self._errors = self._errors, []
        return [error for error in errors if not any(stock in error for stock in STOCK_ERRORS)]


def screenshot(target: Page | Locator, name: str) -> Path:
    """Save what is on the screen for a person to look at; git ignores the folder."""
    SCREENSHOTS.mkdir(exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    target.screenshot(path=path)
    return path


def frames(page: Page, n: int = 2) -> None:
    """Let the page paint `n` frames."""
    page.evaluate(
        "(n) => new Promise((done) => { const f = () => n-- ? requestAnimationFrame(f) : done(); f(); })", n
    )
