"""Drag the Path panel in a real browser: input to frame, skipped frames, bytes on the wire and in files."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.benchmarks._page import Timing, blank_page, drag, open_page, percentile
from tests.benchmarks._sections import put
from tests.chromium import ARGUMENTS, browser_path
from tests.widgets.fakes import FakePath
from tests.widgets.payload import all_bytes, first_paint_bytes

SIZES = (64, 512, 2048)
LAMBDAS, CLASSES = 100, 10
HEAD = (
    "| features | input to frame, median / p95 | script in a frame, median / p95 / longest | skipped frames "
    "| first paint | all classes | page in a file |\n|---|---|---|---|---|---|---|\n"
)


def measure(chromium: Browser, file: Path) -> Timing:
    """Drag over all lambdas of each class in turn."""
    page = open_page(chromium, file)
    total = Timing([], [], [], 0, 0, 0)
    drag(page, LAMBDAS)  # warm-up: fonts, compiled code
    for c in range(CLASSES):
        page.locator(".sdw-picker").select_option(str(c))
        page.wait_for_function(f"document.querySelector('.sdw-path').dataset.row === '{c}'")
        page.locator(".sdw-waiting").wait_for(state="hidden")
        page.wait_for_timeout(150)
        total += drag(page, LAMBDAS, backwards=c % 2 == 0)
    page.close()
    return total


def floor(chromium: Browser) -> str:
    """The same mouse, as long, over a page that does nothing."""
    page = blank_page(chromium)
    timing = sum((drag(page, LAMBDAS) for _ in range(CLASSES)), Timing([], [], [], 0, 0, 0))
    page.close()
    return cells("(blank page)", timing, ["", "", ""])


def cells(name: str, timing: Timing, sizes: list[str]) -> str:
    script = (
        f"{percentile(timing.work, 50):.1f} / {percentile(timing.work, 95):.1f} / {max(timing.work):.1f} ms"
        if timing.work
        else ""
    )
    waits = f"{percentile(timing.waits, 50):.1f} / {percentile(timing.waits, 95):.1f} ms"
    skipped = f"{timing.skipped} of {timing.frames:,}"
    return f"| {' | '.join([name, waits, script, skipped, *sizes])} |\n"


def row(chromium: Browser, p: int, folder: Path) -> str:
    panel = PathPanel(FakePath(p, LAMBDAS, CLASSES), fallback="none")
    file = panel.to_html(folder / f"path-{p}.html")
    timing = measure(chromium, file)
    sizes = [first_paint_bytes(panel), all_bytes(panel), file.stat().st_size]
    return cells(f"{p:,}", timing, [f"{size / 1000:,.0f} kB" for size in sizes])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        rows = [row(chromium, p, Path(folder)) for p in SIZES]
        table = "".join([HEAD, *rows, floor(chromium)])
        chromium.close()
    sys.stdout.write(table)
    put("drag", table)
