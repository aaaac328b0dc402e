"""The Features panel in a browser: 30 features x 5 prototypes, the first row, scrolling, a linked drag."""

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Browser, Page, sync_playwright

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import jobs
from tests.benchmarks._page import CLOCK, FRAME_MS, STOP, Timing, drag, percentile
from tests.benchmarks._sections import put
from tests.chromium import ARGUMENTS, browser_path
from tests.widgets.page import PanelPage
from tests.widgets.payload import first_paint_bytes

LAMBDAS, ROWS = 40, 30
HEAD = (
    "| | input to frame, median / p95 | script in a frame, median / p95 / longest | skipped frames |\n"
    "|---|---|---|---|\n"
)
LINK = """() => {
  const [path, features] = [...document.querySelectorAll('.sdw-standalone')].map((place) => place.sdwModel);
  // The way through a kernel, of which a saved page has none.
  path.on('change:idx', () => setTimeout(() => features.set('idx', path.get('idx')), 10));
}"""


def first_row(chromium: Browser, path: Any, demo: Any, features: Any, seed: int) -> tuple[Any, list[float]]:
    """A panel, and seconds: to its first row, to all on the screen, the kernel's own, of a blank page."""
    began, busy = time.perf_counter(), time.process_time()
    options: dict[str, Any] = {"index": LAMBDAS - 1, "fallback": "none", "seed": seed}
    panel: Any = sdw.features_panel(path, demo.model, data=demo.train, features=features, **options)
    panel.typed = {**panel.typed, "lime": False, "picture": False}
    page = PanelPage(chromium, panel)
    row = page.root.locator(".sdw-feature[data-painted]")
    page.until(lambda: row.count() > 0)
    first = time.perf_counter() - began
    page.until(lambda: row.count() >= 4)
    screen, kernel = time.perf_counter() - began, time.process_time() - busy
    assert page.root.locator(".sdw-feature").count() == ROWS
    page.close()
    began = time.perf_counter()
    blank = chromium.new_page()
    blank.set_content("<p>blank</p>")
    blank.wait_for_function("document.querySelector('p')")
    seconds = [first, screen, kernel, time.perf_counter() - began]
    blank.close()
    return panel, seconds


def scroll(page: Page) -> Timing:
    """Wheel through all rows and back, a notch a frame."""
    box: Any = page.locator(".sdw-features-rows").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.evaluate(CLOCK)
    for step in [60] * 90 + [-60] * 90:
        page.mouse.wheel(0, step)
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    clock = page.evaluate(STOP)
    gaps = np.diff(clock["frames"])
    skipped = int((np.round(gaps / FRAME_MS) - 1).clip(min=0).sum())
    return Timing([], [], clock["busy"], len(gaps), skipped, 180)


def cells(name: str, timing: Timing) -> str:
    waits, script = "", "none"
    if timing.waits:
        waits = f"{percentile(timing.waits, 50):.1f} / {percentile(timing.waits, 95):.1f} ms"
    if any(timing.work):
        middle, high = (percentile(timing.work, share) for share in (50, 95))
        script = f"{middle:.1f} / {high:.1f} / {max(timing.work):.1f} ms"
    return f"| {name} | {waits} | {script} | {timing.skipped} of {timing.frames:,} |\n"


def in_one_page(chromium: Browser, folder: Path, panels: list[Any]) -> Page:
    """Saved panels below each other, as in a notebook."""
    body = "\n".join(panel._fragment(panel.export()) for panel in panels)
    file = folder / "panels.html"
    file.write_text(f'<!doctype html><meta charset="utf-8"><body>{body}</body>', encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1100, "height": 950})
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('.sdw-features')?.dataset.rows")
    page.locator(".sdw-feature[data-painted]").first.wait_for()
    return page


def main() -> None:
    torch.set_num_threads(1)
    demo = sdw.load_demo("shapes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = sdw.extract_features(demo.model, demo.train)
    path = sdw.elastic_net_path(features, n_lambdas=LAMBDAS)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        opened = [first_row(chromium, path, demo, features, seed) for seed in range(6)]
        panel, size = opened[-1][0], first_paint_bytes(opened[-1][0])
        # The first one also loads modules and compiles.
        cold, warm = opened[0][1], np.median([seconds for _, seconds in opened[1:]], axis=0)
        for job in jobs.queue.jobs:
            job.cancel()
        page = in_one_page(chromium, Path(name), [panel])
        scroll(page)  # warm-up: pictures decoded, compiled code
        scrolled = scroll(page)
        page.close()
        both = [sdw.panel(path, demo.model, data=features, fallback="none"), panel]
        page = in_one_page(chromium, Path(name), both)
        page.evaluate(LINK)
        drag(page, LAMBDAS)
        dragged = sum(
            (drag(page, LAMBDAS, backwards=k % 2 == 0) for k in range(6)), Timing([], [], [], 0, 0, 0)
        )
        page.close()
        chromium.close()
        saved = panel.to_html(Path(name) / "features.html").stat().st_size
    sentence = (
        f"From the call to the first row {warm[0]:.2f} s, to all on screen {warm[1]:.2f} s (medians of 5; "
        f"the first time in a process {cold[0]:.2f} s); {warm[2]:.2f} s of that is the kernel's processor "
        f"time, and opening a blank page takes {warm[3]:.2f} s meanwhile. The widget's state with its module "
        f"is {size / 1000:,.0f} kB, the page in a file {saved / 1000:,.0f} kB. Load of the machine: "
        f"{os.getloadavg()[0]:.1f}.\n\n"
    )
    table = "".join(
        [sentence, HEAD, cells("scrolling", scrolled), cells("dragging the linked Path panel", dragged)]
    )
    sys.stdout.write(table)
    put("features", table)


if __name__ == "__main__":
    main()
