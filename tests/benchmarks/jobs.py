"""Fits beside the notebook, in Lab and Notebook 7: how free the notebook stays, and what survives faults."""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, Page, sync_playwright

from tests.benchmarks._page import drag, percentile
from tests.benchmarks._sections import put
from tests.browser.driver import PANEL, Browser, Notebook
from tests.browser.server import App, jupyter_server
from tests.browser.test_faults import kill_again_and_again
from tests.browser.test_fit_panel import FEATURES, LARGE, cancel, fit_panel, press, wait_for_state
from tests.chromium import ARGUMENTS, browser_path

KILLS, CANCELS, RUNS = 20, 10, 3
LONG = "n_lambdas=600, eps=0.001, tol=1e-5, solver='saga', checkpoints=False, fallback='none'"
CELLS = [
    FEATURES.format(size=LARGE),
    f"panel = sdw.fit_panel(features, {LONG})\npanel",
    "path = sdw.elastic_net_path(features, n_lambdas=40, eps=0.05)\nsdw.panel(path, fallback='none')",
    "time.sleep(3)",
    """
import json
from sparse_debug_widgets.core.job import Job
settings = dict(n_lambdas=600, eps=0.001, solver='saga', tol=1e-3)
spent = dict(thread=0.0, reports=0.0)
def timed(name, function):
    def wrapped(*arguments):
        began = time.thread_time()
        try:
            return function(*arguments)
        finally:
            spent[name] += time.thread_time() - began
    return wrapped
Job.run, Job._report = timed('thread', Job.run), timed('reports', Job._report)
shares = []
for _ in range({runs}):
    spent.update(thread=0.0, reports=0.0)
    began = time.process_time()
    panel.start(**settings).result()
    fit = spent['thread'] - spent['reports']
    shares.append((time.process_time() - began - fit) / fit)
print(json.dumps(shares))
""".replace("{runs}", str(RUNS)),
]
ONE_PLUS_ONE = f"""async (name) => {{
  const kernel = {PANEL}(name).sessionContext.session.kernel, times = [];
  for (let i = 0; i < 40; i++) {{
    const began = performance.now();
    await kernel.requestExecute({{ code: '1+1' }}).done;
    times.push(performance.now() - began);
    await new Promise((next) => setTimeout(next, 100));
  }}
  return times;
}}"""
UPDATES = """(panel) => new Promise((done) => {
  const times = [];
  const watcher = new MutationObserver(() => times.push(performance.now()));
  watcher.observe(panel, { attributes: true, attributeFilter: ['data-seconds'] });
  setTimeout(() => { watcher.disconnect(); done(times); }, 5000);
})"""


def begin(panel: Locator) -> None:
    press(panel, "Start a fit")
    wait_for_state(panel, "running")
    panel.page.wait_for_function(
        "(panel) => Number(panel.dataset.solved) > 1", arg=panel.element_handle(), timeout=60_000
    )


def stop(panel: Locator) -> None:
    cancel(panel)
    panel.page.wait_for_timeout(300)


def answers(notebook: Notebook, panel: Locator) -> str:
    begin(panel)
    times = panel.page.evaluate(ONE_PLUS_ONE, notebook.name)
    stop(panel)
    return f"{percentile(times, 50):.0f} / {percentile(times, 95):.0f} ms"


def updates(_: Notebook, panel: Locator) -> str:
    begin(panel)
    times = panel.evaluate(UPDATES)
    stop(panel)
    gaps = [b - a for a, b in pairwise(times)]
    return f"{len(times) / 5:.1f} a second, longest gap {max(gaps):.0f} ms"


def cancels(notebook: Notebook, panel: Locator) -> str:
    times = []
    for _ in range(CANCELS):
        begin(panel)
        notebook.start(3)
        panel.page.wait_for_timeout(500)
        times.append(cancel(panel))
        notebook.wait(3)
    return f"{percentile(times, 50):.0f} / {max(times):.0f} ms"


def drags(_: Notebook, panel: Locator) -> str:
    page: Page = panel.page
    page.locator(".sdw-paths canvas.sdw-moving").scroll_into_view_if_needed()
    drag(page, 40)
    quiet = drag(page, 40) + drag(page, 40, backwards=True)
    begin(panel)
    page.locator(".sdw-paths canvas.sdw-moving").scroll_into_view_if_needed()
    busy = drag(page, 40) + drag(page, 40, backwards=True)
    stop(panel)
    said = [
        f"{percentile(t.waits, 50):.0f} / {percentile(t.waits, 95):.0f} ms, {t.skipped} of {t.frames} skipped"
        for t in (busy, quiet)
    ]
    return f"{said[0]} (without a fit {said[1]})"


def machinery(notebook: Notebook, _: Locator) -> str:
    """Processor time: what others do on a shared machine does not count.

    Two runs of one fit differ by a tenth and more, so the cost is taken apart within one run: all of the
    kernel's time but that of the fit's own thread, and in there the time of its progress reports.
    """
    shares = json.loads(notebook.text(4, timeout=400))
    return f"{100 * statistics.median(shares):.1f} % ({100 * min(shares):.1f} to {100 * max(shares):.1f})"


MEASURES: dict[str, Callable[[Notebook, Locator], str]] = {
    "`1+1` in a second cell while a fit runs, median / p95": answers,
    "updates of the panel": updates,
    f"cancel while another cell sleeps, median / worst of {CANCELS}": cancels,
    "drag in another panel while a fit runs, input to frame, median / p95": drags,
    f"processor time of jobs, panel and messages, share of the fit's own, median of {RUNS}": machinery,
}


def measure(chromium: Chromium, app: App, folder: Path) -> dict[str, str]:
    with jupyter_server(folder / app, app, folder / f"{app}-settings") as server:
        page = chromium.new_page(viewport={"width": 1280, "height": 1400})
        browser = Browser(page, server)
        notebook = browser.open(CELLS)
        notebook.run(0, timeout=120)
        panel = fit_panel(notebook.run(1, timeout=120))
        notebook.run(2, timeout=120)
        page.wait_for_function("document.querySelector('.sdw-path')?.dataset.strongest")
        found = {}
        for name, take in MEASURES.items():
            found[name] = take(notebook, panel)
            sys.stdout.write(f"{app}: {name}: {found[name]}\n")
            sys.stdout.flush()
        browser.close_notebooks()
        page.close()
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        lab, notebook = (measure(chromium, app, folder) for app in ("lab", "notebook"))
        chromium.close()
        table = "| | JupyterLab | Notebook 7 |\n|---|---|---|\n"
        table += "".join(f"| {name} | {lab[name]} | {notebook[name]} |\n" for name in MEASURES)
        put("jobs", table)
        hits, lost = kill_again_and_again(folder, KILLS)
        line = f"Killed {KILLS} times, {hits} of them in mid-fit: {lost} reported lambdas lost.\n"
        put("jobs", line, "kills")
        sys.stdout.write(table + line)
