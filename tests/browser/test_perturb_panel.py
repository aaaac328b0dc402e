"""The Perturbation panel in real notebooks: run, scrub by keyboard and mouse, cancel, compare, dark mode."""

import re

from playwright.sync_api import Locator, expect

from tests.browser.conftest import VIEWPORT
from tests.browser.driver import Browser, Notebook, cancel, screenshot

SETUP = """
import threading, time
import torch
torch.set_num_threads(1)
from torch import nn
import sparse_debug_widgets as sdw
demo, robust = sdw.load_demo("digits"), sdw.load_demo("digits-robust")
class Slow(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, x):
        time.sleep(0.02)
        return self.model(x)
"""
SHOW = """
panel = sdw.perturb_panel(demo.model, demo.test, compare=robust.model, titles=["standard", "robust"],
                          target="label", {options})
panel"""
SLOW = "panel = sdw.perturb_panel(Slow(demo.model), demo.test, steps=500)\npanel"
TRAIN = """
def state():
    return {name: tensor.clone() for name, tensor in demo.model.state_dict().items()}
before = state()
demo.model.train()
print(all(torch.equal(tensor, before[name]) for name, tensor in state().items()), demo.model.training)"""
BUSY = "time.sleep(6); print('slept')"
THREADS = "print(sum(t.name.startswith('sdw-job') for t in threading.enumerate()))"


def shown(notebook: Notebook, cell: int) -> Locator:
    panel = notebook.run(cell, timeout=120).locator("section.sdw-perturb").first
    panel.wait_for()
    expect(panel).to_have_attribute("data-ready", "yes")
    return panel


def run(panel: Locator, name: str = "Run: Perturb") -> None:
    panel.get_by_role("button", name=name).first.click()
    expect(panel).to_have_attribute("data-state", "done", timeout=60_000)
    expect(panel).to_have_attribute("data-painted", re.compile(r"^\d+:\d+"))


def test_run_and_scrub_by_keyboard_and_mouse(jupyter: Browser) -> None:
    notebook = jupyter.open([SETUP, SHOW.format(options=""), TRAIN])
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    run(panel)
    # It opens at the best step, which need not be the last one.
    expect(panel.locator(".sdw-step-text")).to_have_text(re.compile(r"^step \d+ of 30, the best$"))
    best = int(panel.get_attribute("data-position") or -1)
    assert best > 4
    expect(panel.locator(".sdw-strip")).to_have_count(2)
    slider = panel.get_by_role("slider")
    slider.focus()
    for _ in range(4):
        jupyter.page.keyboard.press("ArrowLeft")
    expect(panel).to_have_attribute("data-position", str(best - 4))
    assert notebook.cell_type(1) == "code"
    chart = panel.locator(".sdw-steps .sdw-moving").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    jupyter.page.mouse.move(box["x"] + 46 + (box["width"] - 56) / 3, box["y"] + 50)
    jupyter.page.mouse.down()
    jupyter.page.mouse.up()
    expect(panel).to_have_attribute("data-position", "10")
    screenshot(panel, f"perturb-{jupyter.server.app}")
    assert notebook.text(2) == "True True"
    expect(panel.locator(".sdw-stale")).to_contain_text("put into training mode")
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_a_run_is_cancelled_while_another_cell_runs(jupyter: Browser, measured: list[str]) -> None:
    notebook = jupyter.open([SETUP, SLOW, BUSY, THREADS])
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    panel.get_by_role("button", name="Run: Perturb").click()
    expect(panel).to_have_attribute("data-state", "running", timeout=30_000)
    expect(panel.locator(".sdw-doing-note")).to_contain_text("step")
    notebook.start(2)
    before = panel.locator(".sdw-doing-note").inner_text()
    jupyter.page.wait_for_timeout(1200)
    assert panel.locator(".sdw-doing-note").inner_text() != before  # it goes on while a cell runs
    took = cancel(panel)
    measured.append(f"cancel of a perturbation while a cell runs: {took:.0f} ms ({jupyter.server.app})")
    assert panel.get_attribute("data-state") == "cancelled"
    assert "slept" not in notebook.out(2).inner_text()
    expect(panel.locator(".sdw-strip")).to_contain_text("cancelled")  # the best so far is shown
    notebook.wait(2)
    assert notebook.text(3) == "0"


def test_a_class_is_drawn_and_runs_are_compared(lab: Browser) -> None:
    notebook = lab.open([SETUP, SHOW.format(options="steps=10")])
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    run(panel)
    panel.get_by_role("button", name="Keep for comparison: run 1").click()
    panel.locator("[name=norm]").first.select_option("l2")
    panel.get_by_role("button", name="Run: Perturb").click()
    expect(panel.locator("tr[data-run='2'][data-state=done]")).to_have_count(1, timeout=60_000)
    expect(panel.locator(".sdw-strip")).to_have_count(4)
    screenshot(panel, "perturb-compared")
    panel.get_by_role("radio", name="Draw a class").click()
    panel.get_by_label("Class to draw").select_option("3")
    panel.get_by_role("button", name="Draw: Let").click()
    expect(panel.locator(".sdw-concept-row")).to_have_count(4, timeout=60_000)
    screenshot(panel, "perturb-concept")


def test_every_width_and_both_themes_are_fit_to_look_at(lab: Browser) -> None:
    notebook = lab.open([SETUP, SHOW.format(options="")])
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    run(panel)
    try:
        for theme, width in (("JupyterLab Light", 1280), ("JupyterLab Dark", 1280), ("JupyterLab Dark", 700)):
            lab.page.set_viewport_size({"width": width, "height": 1600})
            lab.set_theme(theme)
            expect(panel).to_have_attribute("data-theme", "dark" if "Dark" in theme else "light")
            lab.page.wait_for_timeout(900)
            assert panel.evaluate("(e) => e.scrollWidth - e.clientWidth") <= 0
            screenshot(panel, f"perturb-{theme.split()[1].lower()}-{width}")
    finally:
        lab.set_theme("JupyterLab Light")
        lab.page.set_viewport_size(VIEWPORT)
