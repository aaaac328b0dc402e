"""The x-feature panel in real notebooks: compute, toggle all, toggle one, select, name, keep, both themes."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.driver import Browser, screenshot

MODELS = """
import time
import torch
torch.set_num_threads(1)
import sparse_debug_widgets as sdw
demo = sdw.load_demo("digits")
model, data = demo.model, demo.train
"""
SHOW = "panel = sdw.x_features_panel(model, data, class_index=3, method='lasso', gallery=20)\npanel"
BUSY = "time.sleep(4); print('slept')"
KEEP = """
path = panel.result.save("kept.safetensors")
again = sdw.XFeatures.load(path)
print(again.names[1], '|', panel.shown, panel.selected, again.class_index)
"""
PIXELS = "(c) => c.toDataURL()"


def test_toggled_selected_and_named_while_a_cell_runs(jupyter: Browser) -> None:
    notebook = jupyter.open([MODELS, SHOW, BUSY, KEEP])
    notebook.run(0, timeout=120)
    panel = notebook.run(1, timeout=120).locator("section.sdw-xfeatures[data-ready]").first
    panel.wait_for(timeout=30_000)
    panel.get_by_role("button", name="Compute:").click()
    expect(panel).to_have_attribute("data-state", "done", timeout=120_000)
    expect(panel).to_have_attribute("data-pictures", "20", timeout=20_000)
    notebook.start(2)
    first, second = panel.locator(".sdw-xf-card").nth(0), panel.locator(".sdw-xf-card").nth(1)
    canvas, other = first.locator("canvas").first, second.locator("canvas").first
    plain = canvas.evaluate(PIXELS)
    # All of them, while the kernel is busy with a cell.
    panel.get_by_role("button", name="H1 on all pictures").click()
    expect(panel).to_have_attribute("data-shown", "0")
    assert canvas.evaluate(PIXELS) != plain
    assert first.locator(".sdw-xf-value").inner_text().startswith(("+", "\u2212"))
    # One of them, by key: the notebook takes neither letters nor digits.
    shown, kept = canvas.evaluate(PIXELS), other.evaluate(PIXELS)
    first.locator(".sdw-xf-picture").focus()
    jupyter.page.keyboard.press("Shift+Digit2")
    expect(first.locator(".sdw-xf-chip").nth(1)).to_have_attribute("aria-pressed", "true")
    jupyter.page.mouse.move(0, 0)
    assert canvas.evaluate(PIXELS) != shown
    assert other.evaluate(PIXELS) == kept
    jupyter.page.keyboard.press("Enter")
    jupyter.page.keyboard.press("ArrowRight")
    jupyter.page.keyboard.press("Space")
    expect(panel.locator(".sdw-xf-table tbody tr")).to_have_count(2)
    field = panel.get_by_label("Name of the concept H2")
    field.fill("upper <i>bow</i>")
    field.press("Enter")
    expect(panel.locator(".sdw-xf-sort").nth(1)).to_have_text("H2 upper <i>bow</i>")
    assert "slept" not in notebook.out(2).inner_text()
    screenshot(panel, f"xfeatures-{jupyter.server.app}")
    notebook.wait(2)
    assert notebook.text(3) == "upper <i>bow</i> | [0] [0, 1] 3"
    assert notebook.cell_type(1) == "code"
    expect(panel.get_by_role("alert")).to_have_count(0)


@pytest.fixture
def themed(lab: Browser) -> Iterator[Browser]:
    yield lab
    lab.set_theme("JupyterLab Light")


def test_the_panel_follows_the_theme(themed: Browser) -> None:
    code = "found = sdw.x_features(model, data, 3, n=3, method='lasso', gallery=12)"
    notebook = themed.open(
        [MODELS, f"{code}\nsdw.panel(found, model, data=data, shown=(0,), selected=(1, 2))"]
    )
    notebook.run(0, timeout=120)
    panel = notebook.run(1, timeout=120).locator("section.sdw-xfeatures[data-ready]").first
    panel.wait_for(timeout=30_000)
    themed.set_theme("JupyterLab Dark")
    expect(panel).to_have_attribute("data-theme", "dark", timeout=20_000)
    screenshot(panel, "xfeatures-dark")
