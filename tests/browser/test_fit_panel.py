"""The Fit panel in real notebooks: start, watch, work elsewhere meanwhile, cancel, resume, reload."""

import re

from playwright.sync_api import Locator, expect

from tests.browser.driver import Browser, Notebook, screenshot

FEATURES = """
import threading, time
import numpy as np, torch
torch.set_num_threads(1)
import sparse_debug_widgets as sdw
rng = np.random.default_rng(0)
n, p, c = {size}
labels = np.arange(n) % c
centres = rng.normal(size=(c, p)) * (rng.random((c, p)) < 0.2)
values = (centres[labels] + rng.normal(size=(n, p))).clip(0).astype(np.float32)
names = ["<b>bold</b>"] + [f"thing {{j}}" for j in range(1, p)]
features = sdw.DeepFeatures.from_arrays(values, labels, feature_names=names)
"""
SMALL, LARGE = "600, 40, 4", "4000, 400, 10"
SHOW = "panel = sdw.fit_panel(features, checkpoints='{folder}', {options})\npanel"
TRACES = "print(sum(t.name.startswith('sdw-job') for t in threading.enumerate()))"


def fit_panel(output: Locator) -> Locator:
    panel = output.locator("section.sdw-fit").first
    panel.wait_for()
    return panel


def shown(notebook: Notebook, cell: int) -> Locator:
    return fit_panel(notebook.run(cell, timeout=120))


def press(panel: Locator, name: str) -> None:
    panel.get_by_role("button", name=re.compile(name)).first.click()


def solved(panel: Locator) -> int:
    return int(panel.get_attribute("data-solved") or 0)


def wait_for_state(panel: Locator, state: str, timeout: float = 90) -> None:
    expect(panel).to_have_attribute("data-state", state, timeout=1000 * timeout)


def cells(folder: object, size: str, options: str, *more: str) -> list[str]:
    return [FEATURES.format(size=size), SHOW.format(folder=folder, options=options), *more]


def test_a_fit_is_started_watched_and_handed_over(jupyter: Browser, tmp_path) -> None:
    notebook = jupyter.open(cells(tmp_path, SMALL, "n_lambdas=12, eps=0.05, solver='working_set'"))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    expect(panel.locator(".sdw-needs")).to_contain_text("by estimate")
    press(panel, "Start a fit")
    wait_for_state(panel, "done")
    expect(panel).to_have_attribute("data-solved", "12")
    expect(panel.locator(".sdw-tile", has_text="certificates")).to_contain_text("12 certified")
    assert panel.locator("b", has_text="bold").count() == 0
    panel.get_by_role("button", name="Show the finished path").click()
    path = panel.locator("section.sdw-path[data-idx]")
    path.wait_for(timeout=20_000)
    screenshot(panel, f"fit-{jupyter.server.app}")
    expect(panel.get_by_role("alert")).to_have_count(0)
