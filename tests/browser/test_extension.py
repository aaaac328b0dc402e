"""The notebook extension in both hosts: tutorial, running fits of all kernels, cancel, status bar, toasts."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, Page, WebSocket, expect

from sparse_debug_widgets.cli.percent import to_notebook
from sparse_debug_widgets.cli.tutorial import TUTORIAL, tutorial_script
from tests.browser.conftest import VIEWPORT
from tests.browser.driver import PANEL, READY, READY_MS, Browser, Notebook, screenshot
from tests.browser.server import Server

SETUP = """
import time
import sparse_debug_widgets
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.progress import Progress

def fit(steps, progress=None, error=None):
    for step in range(steps):
        progress(Progress(step, steps, f"lambda {step + 1} of {steps}"))
        time.sleep(0.05)
    if error is not None:
        raise ValueError(error)
"""
LONG = 4000
STATUS = f"(name) => {PANEL}(name).sessionContext.session.kernel.status"
RUN_COMMAND = "([id, args]) => window.jupyterapp.commands.execute(id, args).then(() => true)"


def setup(*lines: str) -> str:
    return "\n".join((SETUP, *lines))


def start(name: str, steps: int = LONG, error: str | None = None) -> str:
    return f"job = submit(fit, {steps}, name={name!r}, noun='fit', error={error!r})"


def show_fits(page: Page) -> Locator:
    page.evaluate(RUN_COMMAND, ["sparse-debug-widgets:show-running-fits", {}])
    sidebar = page.get_by_role("region", name="Running fits")
    expect(sidebar).to_be_visible()
    return sidebar


def row(sidebar: Locator, name: str) -> Locator:
    return sidebar.locator("li", has=sidebar.page.get_by_text(name, exact=True))


def toast(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.locator(".Toastify__toast").filter(has=page.get_by_role("alert"), has_text=text)


def share(job: Locator) -> int:
    return int(job.get_by_role("progressbar").get_attribute("aria-valuenow") or 0)


def test_a_fit_is_watched_and_cancelled_while_another_cell_sleeps(jupyter: Browser) -> None:
    page = jupyter.page
    notebook = jupyter.open(
        [setup(start("path of <b>shapes</b>", 400)), "time.sleep(60)", "print(job.state)"]
    )
    notebook.run(0)
    job = row(show_fits(page), "path of <b>shapes</b>")
    expect(job).to_contain_text(notebook.name)
    notebook.start(1)
    page.wait_for_function(f"(name) => ({STATUS})(name) === 'busy'", arg=notebook.name)
    seen = share(job)
    page.wait_for_function(
        "(seen) => document.querySelector('.sdw-fits [role=progressbar]').ariaValueNow > seen", arg=seen
    )
    expect(job).to_contain_text(re.compile(r"\d+ s left · lambda \d+ of 400"))
    screenshot(page, f"extension-running-{jupyter.server.app}")
    cancel = job.get_by_role("button", name=f"Cancel path of <b>shapes</b> in {notebook.name}")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(job).to_contain_text("Cancelled after")
    expect(toast(page, f"Cancelled: path of <b>shapes</b> ({notebook.name})")).to_be_visible()
    assert page.evaluate(STATUS, notebook.name) == "busy"  # it went past the cell that still runs
    screenshot(page, f"extension-cancelled-{jupyter.server.app}")
    page.evaluate(RUN_COMMAND, ["notebook:interrupt-kernel", {}])
    page.wait_for_function(READY, arg=notebook.name)
    assert notebook.text(2) == "cancelled"


def test_the_launcher_card_opens_a_copy_of_the_tutorial_and_keeps_what_a_person_wrote_there(
    lab: Browser,
) -> None:
    page, copy = lab.page, lab.server.root / f"{TUTORIAL}.ipynb"
    page.evaluate(RUN_COMMAND, ["launcher:create", {"cwd": ""}])
    card = page.locator(".jp-LauncherCard:visible", has_text="Find a Planted Flaw (tutorial)").last
    expect(card).to_be_visible()
    screenshot(page, "extension-launcher")
    card.click()
    page.wait_for_function(f"(name) => !!{PANEL}(name)?.context.isReady", arg=copy.name, timeout=READY_MS)
    expected = to_notebook(tutorial_script().read_text(encoding="utf-8"))
    written = json.loads(copy.read_text(encoding="utf-8"))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in written["cells"]] == [
        (cell["cell_type"], cell["source"]) for cell in expected["cells"]
    ]
    close(page, copy.name)
    copy.write_text(json.dumps({**expected, "cells": expected["cells"][:1]}), encoding="utf-8")
    page.evaluate(RUN_COMMAND, ["sparse-debug-widgets:open-tutorial", {"cwd": ""}])
    page.wait_for_function(f"(name) => !!{PANEL}(name)?.context.isReady", arg=copy.name, timeout=READY_MS)
    assert len(json.loads(copy.read_text(encoding="utf-8"))["cells"]) == 1
    close(page, copy.name)
    copy.unlink()


def close(page: Page, name: str) -> None:
    page.wait_for_function(READY, arg=name, timeout=READY_MS)
    page.evaluate(
        f"async (name) => {{ const p = {PANEL}(name); await p.sessionContext.shutdown(); p.dispose(); }}",
        name,
    )


def test_a_mistake_with_the_tutorial_is_told(lab: Browser) -> None:
    lab.page.evaluate(RUN_COMMAND, ["sparse-debug-widgets:open-tutorial", {"cwd": "no/such/folder"}])
    message = toast(lab.page, "The tutorial cannot be opened")
    expect(message).to_be_visible()
    message.get_by_role("button", name="Hide notification").click()
    assert all("404" in error for error in lab.take_errors())


def test_notebook_7_has_the_tutorial_in_its_help_menu(notebook7: Browser) -> None:
    notebook7.open(["1"]).run(0)
    page = notebook7.page
    page.locator(".lm-MenuBar-item", has_text="Help").click()
    screenshot(page, "extension-menu-notebook")
    with page.context.expect_page() as opened:
        page.locator(".lm-Menu-item", has_text="Find a Planted Flaw (tutorial)").click()
    tab = opened.value
    tab.wait_for_function(READY, arg=f"{TUTORIAL}.ipynb", timeout=READY_MS)
    close(tab, f"{TUTORIAL}.ipynb")
    tab.close()
    (notebook7.server.root / f"{TUTORIAL}.ipynb").unlink()


def test_the_sidebar_lists_the_fits_of_all_kernels_also_of_a_closed_notebook(lab: Browser) -> None:
    page = lab.page
    first = lab.open([setup(start("first fit"))])
    first.run(0)
    second = lab.open([setup(start("second fit"))])
    second.run(0)
    status = page.get_by_role("button", name="2 fits running")
    status.click()
    sidebar = page.get_by_role("region", name="Running fits")
    expect(row(sidebar, "first fit")).to_contain_text(first.name)
    expect(row(sidebar, "second fit")).to_contain_text(second.name)
    page.evaluate(f"(name) => {PANEL}(name).dispose()", first.name)
    expect(page.locator(".lm-TabBar-tab", has_text=first.name)).to_have_count(0)
    seen = row(sidebar, "first fit").locator(".sdw-fit-text").inner_text()
    expect(row(sidebar, "first fit").locator(".sdw-fit-text")).not_to_have_text(seen, timeout=15_000)
    screenshot(page, "extension-two-kernels")
    row(sidebar, "first fit").get_by_role("button", name="Cancel").click()
    expect(row(sidebar, "first fit")).to_contain_text("Cancelled after")
    expect(page.get_by_role("button", name="1 fit running")).to_be_visible()
    row(sidebar, "first fit").get_by_role("button", name=first.name).click()
    Notebook(page, first.name)  # its name opens it again, with its kernel
    row(sidebar, "second fit").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name=re.compile("fits? running"))).to_have_count(0)


def test_the_fits_of_a_console_are_listed(lab: Browser) -> None:
    page = lab.page
    page.evaluate(
        """() => window.jupyterapp.commands.execute('console:create', {kernelPreference: {name: 'python3'}})
          .then((panel) => panel.sessionContext.ready.then(() => { window.sdwConsole = panel; }))"""
    )
    page.evaluate("(code) => { window.sdwConsole.console.inject(code); }", setup(start("console fit", 4000)))
    sidebar = show_fits(page)
    expect(row(sidebar, "console fit")).to_be_visible(timeout=20_000)
    row(sidebar, "console fit").get_by_role("button", name="Cancel").click()
    expect(row(sidebar, "console fit")).to_contain_text("Cancelled after")
    page.evaluate("window.sdwConsole.sessionContext.shutdown().then(() => window.sdwConsole.dispose())")


def test_toasts_tell_of_the_end_but_not_of_what_took_no_time(lab: Browser) -> None:
    page = lab.page
    notebook = lab.open(
        [
            setup(start("watched", 50), "print(job.wait(60))"),
            start("failing", 3, "class 7 has <i>no</i> rows") + "\nprint(job.wait(60))",
            start("short", 2) + "\nprint(job.wait(60))",
            start("long enough", 120),
        ]
    )
    notebook.run(0)
    notebook.run(1)
    failed = toast(page, f"Failed: failing ({notebook.name}): class 7 has <i>no</i> rows")
    expect(failed).to_be_visible()
    screenshot(page, "extension-toasts")
    notebook.run(2)
    sidebar = show_fits(page)
    expect(row(sidebar, "short")).to_contain_text("Done in")
    assert toast(page, "short").count() == toast(page, "watched").count() == 0
    expect(row(sidebar, "failing")).to_contain_text("Failed: class 7 has <i>no</i> rows")
    failed.get_by_role("button", name="Hide notification").click()
    notebook.run(3)
    lab.open(["1"])
    expect(toast(page, re.compile(r"Done in \d+ s: long enough"))).to_be_visible()


def test_a_restarted_kernel_takes_its_fits_along_and_says_so(lab: Browser) -> None:
    page = lab.page
    notebook = lab.open([setup(start("doomed"))])
    notebook.run(0)
    sidebar = show_fits(page)
    expect(row(sidebar, "doomed")).to_be_visible()
    page.evaluate(f"(name) => {PANEL}(name).sessionContext.session.kernel.restart()", notebook.name)
    lost = toast(page, f"Ended with its kernel: doomed ({notebook.name})")
    expect(lost).to_be_visible()
    expect(row(sidebar, "doomed")).to_have_count(0)
    lost.get_by_role("button", name="Hide notification").click()
    notebook = Notebook(page, notebook.name)
    notebook.run(0)
    expect(row(sidebar, "doomed")).to_be_visible()


@pytest.fixture
def second_page(chromium: Chromium, lab_server: Server) -> Iterator[Browser]:
    page = chromium.new_page(viewport=VIEWPORT)
    browser = Browser(page, lab_server)
    yield browser
    page.close()
    assert browser.take_errors() == []


def test_another_page_and_a_reloaded_one_find_the_running_fits(lab: Browser, second_page: Browser) -> None:
    notebook = lab.open([setup(start("seen twice"), start("over before"), "job.cancel()")])
    notebook.run(0)
    sidebar = show_fits(second_page.page)
    expect(row(sidebar, "seen twice")).to_be_visible(timeout=20_000)
    second_page.page.reload()
    sidebar = show_fits_when_up(second_page.page)
    expect(row(sidebar, "seen twice")).to_be_visible(timeout=20_000)
    assert toast(second_page.page, "over before").count() == 0  # no news
    row(sidebar, "seen twice").get_by_role("button", name="Cancel").click()
    expect(row(show_fits(lab.page), "seen twice")).to_contain_text("Cancelled after")


def show_fits_when_up(page: Page) -> Locator:
    page.wait_for_function("window.jupyterapp?.commands.hasCommand('sparse-debug-widgets:show-running-fits')")
    page.evaluate("window.jupyterapp.restored.then(() => true)")
    return show_fits(page)


def test_a_kernel_without_the_package_is_asked_once_and_then_left_alone(
    chromium: Chromium, lab_server: Server
) -> None:
    page = chromium.new_page(viewport=VIEWPORT)
    sent: list[str | bytes] = []
    sockets: list[WebSocket] = []

    def keep(frame: str | bytes) -> None:  # Playwright takes functions of Python only
        sent.append(frame)

    def listen(socket: WebSocket) -> None:
        sockets.append(socket)
        socket.on("framesent", keep)

    page.on("websocket", listen)
    browser = Browser(page, lab_server)
    notebook = browser.open(["print(1 + 1)"])
    assert notebook.text(0) == "2"
    page.wait_for_timeout(3000)
    ours = [frame for frame in sent if b"sdw.jobs" in bytes_of(frame)]
    assert len(ours) <= 2  # the kernel's start may have broken the first connection
    n_kernels = len(json.loads(lab_server.request("api/kernels")))
    assert (
        len([socket for socket in sockets if not socket.is_closed() and "kernels" in socket.url]) <= n_kernels
    )
    before = len(ours)
    page.wait_for_timeout(3000)
    assert len([frame for frame in sent if b"sdw.jobs" in bytes_of(frame)]) == before
    browser.close_notebooks()
    page.close()


def bytes_of(frame: str | bytes) -> bytes:
    return frame if isinstance(frame, bytes) else frame.encode()


def test_dark_theme(lab: Browser) -> None:
    page = lab.page
    notebook = lab.open([setup(start("in the dark"), start("waiting 1"), start("waiting 2"))])
    notebook.run(0)
    sidebar = show_fits(page)
    expect(row(sidebar, "waiting 2")).to_contain_text("Waiting for its turn")
    light = sidebar.evaluate("(node) => getComputedStyle(node).backgroundColor")
    lab.set_theme("JupyterLab Dark")
    screenshot(page, "extension-dark")
    assert sidebar.evaluate("(node) => getComputedStyle(node).backgroundColor") != light
    lab.set_theme("JupyterLab Light")
