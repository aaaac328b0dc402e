"""Toggle maps on all pictures of the x-feature panel in a real browser: longest frame, time until painted."""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from sparse_debug_widgets.widgets.panels.xfeatures.panel import XFeaturesPanel
from tests.benchmarks._page import CLOCK, FRAME_MS, STOP, percentile
from tests.benchmarks._sections import put
from tests.chromium import ARGUMENTS, browser_path
from tests.widgets.fakes import fake_xfeatures
from tests.widgets.payload import first_paint_bytes

PICTURES, CONCEPTS, ROUNDS = 60, 7, 3
SIDES = (8, 28, 96, 224)
HEAD = (
    "| pictures | to all painted, median / longest | script in a frame, median / longest | frames, longest "
    "| skipped frames | first paint | page in a file |\n|---|---|---|---|---|---|---|\n"
)
# From a key press to the frame after the one that painted the last picture.
TOGGLE = """(h) => new Promise((done) => {
  const root = document.querySelector('.sdw-xfeatures'), began = performance.now();
  delete root.dataset.ready;
  root.dispatchEvent(new KeyboardEvent('keydown', { code: `Digit${h}`, key: String(h), bubbles: true }));
  const look = () => {
    if (root.dataset.ready) requestAnimationFrame(() => done(performance.now() - began));
    else sdwPlainFrame(look);
  };
  sdwPlainFrame(look);
})"""


class Timing(NamedTuple):
    """Of all toggles."""

    waits: list[float]
    work: list[float]
    gaps: list[float]


def measure(page: Page) -> Timing:
    """Show every map on all pictures, one after the other, and all of them at once."""
    page.evaluate(CLOCK)
    waits = []
    for _ in range(ROUNDS):
        for h in range(CONCEPTS + 1):
            waits.append(float(page.evaluate(TOGGLE, h)))
            page.wait_for_timeout(60)
    page.locator("input[type=checkbox]").first.check()
    for h in range(CONCEPTS):
        waits.append(float(page.evaluate(TOGGLE, h + 1)))
        page.wait_for_timeout(60)
    clock = page.evaluate(STOP)
    return Timing(waits, clock["busy"], list(np.diff(clock["frames"])))


def row(chromium: Browser, side: int, folder: Path) -> str:
    """Measure pictures of one size."""
    panel = XFeaturesPanel(fake_xfeatures(PICTURES, CONCEPTS, side=side), fallback="none")
    file = panel.to_html(folder / f"{side}.html")
    page = chromium.new_page(viewport={"width": 1100, "height": 1100})
    page.goto(file.as_uri())
    page.locator(".sdw-xfeatures[data-ready]").wait_for()
    page.wait_for_timeout(500)
    timing = measure(page)
    page.close()
    skipped = int((np.round(np.array(timing.gaps) / FRAME_MS) - 1).clip(min=0).sum())
    cells = [
        f"{side} x {side}",
        f"{percentile(timing.waits, 50):.0f} / {max(timing.waits):.0f} ms",
        f"{percentile(timing.work, 50):.1f} / {max(timing.work):.1f} ms",
        f"{len(timing.gaps):,}, {max(timing.gaps):.0f} ms",
        f"{skipped:,}",
        f"{first_paint_bytes(panel) / 1e3:,.0f} kB",
        f"{file.stat().st_size / 1e3:,.0f} kB",
    ]
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        table = HEAD
        for side in SIDES:
            table += row(chromium, side, Path(folder))
            sys.stdout.write(table.splitlines()[-1] + "\n")
        chromium.close()
    put("toggle", table)
