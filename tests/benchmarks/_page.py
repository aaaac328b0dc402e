"""Drags in a real browser, and the clock that times them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

# For each pointer move: the time from its delivery to the beginning of the frame after the one that painted
# it, which is when what was painted is on the screen. Frames are counted too: a gap is a skipped one.
CLOCK = """() => {
  const clock = { waits: [], stamps: [], frames: [], busy: [], open: [], on: true };
  window.sdwClock = clock;
  const seen = (event) => clock.open.push([performance.now(), event.timeStamp, 0]);
  for (const name of ['pointermove', 'input']) window.addEventListener(name, seen, true);
  const plain = window.sdwPlainFrame ??= window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (work) => plain((now) => {
    const begin = performance.now();
    work(now);
    clock.busy.push(performance.now() - begin);
  });
  const frame = (now) => {
    if (!clock.on) return;
    clock.frames.push(now);
    for (const entry of clock.open) {
      if (entry[2] === 1) { clock.waits.push(now - entry[0]); clock.stamps.push(now - entry[1]); }
      entry[2]++;
    }
    clock.open = clock.open.filter((entry) => entry[2] < 2);
    plain(frame);
  };
  plain(frame);
}"""
STOP = "() => { sdwClock.on = false; return sdwClock; }"
FRAME_MS = 1000 / 60


@dataclass(frozen=True)
class Timing:
    """Of one or more drags.

    Attributes:
        waits: ms from the delivery of each input event to the frame that shows it.
        stamps: The same, from the time stamp that the browser gave the event.
        work: ms of the panel's own JavaScript in each frame.
        frames: Frames that went by.
        skipped: Frames that should have come in between but did not.
        positions: Lambdas dragged over.
    """

    waits: list[float]
    stamps: list[float]
    work: list[float]
    frames: int
    skipped: int
    positions: int

    def __add__(self, other: "Timing") -> "Timing":
        return Timing(
            self.waits + other.waits,
            self.stamps + other.stamps,
            self.work + other.work,
            self.frames + other.frames,
            self.skipped + other.skipped,
            self.positions + other.positions,
        )


def percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share))


def open_page(chromium: Browser, file: Path) -> Page:
    """A page with the panel painted."""
    page = chromium.new_page(viewport={"width": 1100, "height": 950})
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('.sdw-path')?.dataset.strongest")
    return page


BLANK = """<!doctype html><body style="margin:0"><div class="sdw-paths">
<canvas class="sdw-moving" style="width:600px;height:312px"></canvas></div></body>"""


def blank_page(chromium: Browser) -> Page:
    """A page where nothing happens: what the clock reads there is the browser's and the machine's share."""
    page = chromium.new_page(viewport={"width": 1100, "height": 950})
    page.set_content(BLANK)
    return page


def drag(page: Page, n_lambdas: int, *, backwards: bool = False) -> Timing:
    """Drag the line over every lambda of the class on show, one mouse move each."""
    box: Any = page.locator(".sdw-paths canvas.sdw-moving").bounding_box()
    left, right, y = box["x"] + 46, box["x"] + box["width"] - 14, box["y"] + box["height"] / 2
    stops = [left + (right - left) * k / (n_lambdas - 1) for k in range(n_lambdas)]
    if backwards:
        stops.reverse()
    page.mouse.move(stops[0], y)
    page.mouse.down()
    page.wait_for_timeout(100)
    page.evaluate(CLOCK)
    page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    for x in stops[1:]:
        page.mouse.move(x, y)
    page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    clock = page.evaluate(STOP)
    page.mouse.up()
    gaps = np.diff(clock["frames"])
    return Timing(
        waits=clock["waits"],
        stamps=clock["stamps"],
        work=clock["busy"],
        frames=len(gaps),
        skipped=int((np.round(gaps / FRAME_MS) - 1).clip(min=0).sum()),
        positions=n_lambdas - 1,
    )
