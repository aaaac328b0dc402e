"""The Saliency panel in real notebooks: run, scrub while a cell works, cancel, refresh, keyboard, themes."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.driver import Browser, Notebook, screenshot

MODELS = """
import time
import torch
torch.set_num_threads(1)
import sparse_debug_widgets as sdw
digits, robust = sdw.load_demo("digits"), sdw.load_demo("digits-robust")
model, robust_model, data = digits.model, robust.model, digits.test
"""
SHOW = "panel = sdw.saliency_panel(model, data, compare=robust_model, classes=(-1, 3))\npanel"
BUSY = "time.sleep(5); print('slept')"
SLOW = """
class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model
    def forward(self, x):
        time.sleep(0.02)
        return self.model(x)
slow = Slow()
sdw.saliency_panel(slow, data, methods=("gradient",), sweep="", chunk_size=1)
"""
TRAIN = """
before = torch.get_rng_state()
with torch.no_grad():
    next(model.parameters()).mul_(1.5)
torch.equal(before, torch.get_rng_state())
"""
ASK = "print(panel.index, sorted(panel.attributions), panel.display['signed'])"


def panel_in(output: Locator) -> Locator:
    panel = output.locator("section.sdw-saliency[data-ready]").first
    panel.wait_for(timeout=30_000)
    return panel


def done(panel: Locator, maps: int, swept: int) -> None:
    expect(panel).to_have_attribute("data-state", "done", timeout=60_000)
    expect(panel).to_have_attribute("data-maps", str(maps), timeout=20_000)
    expect(panel).to_have_attribute("data-swept", str(swept), timeout=20_000)


def shown(notebook: Notebook, cell: int = 1) -> Locator:
    notebook.run(0, timeout=120)
    return panel_in(notebook.run(cell, timeout=120))


def test_maps_are_computed_shown_and_scrubbed_while_a_cell_runs(jupyter: Browser) -> None:
    notebook = jupyter.open([MODELS, SHOW, BUSY, ASK])
    panel = shown(notebook)
    done(panel, maps=12, swept=4)
    titles = panel.locator(".sdw-maps-head b").all_inner_texts()
    assert titles == ["gradient", "cafo", "caso"]
    slider = panel.locator(".sdw-sweep .sdw-slider")
    canvas = panel.locator(".sdw-sweep figure canvas").first
    notebook.start(2)
    slider.focus()
    slider.press("Home")
    expect(panel).to_have_attribute("data-idx", "0")
    empty = canvas.evaluate("(c) => c.toDataURL()")
    for _ in range(5):
        slider.press("ArrowRight")
    expect(panel).to_have_attribute("data-idx", "5")
    assert canvas.evaluate("(c) => c.toDataURL()") != empty
    assert "slept" not in notebook.out(2).inner_text()
    panel.get_by_label("Absolute values, or signed ones").select_option("signed")
    screenshot(panel, f"saliency-{jupyter.server.app}")
    notebook.wait(2)
    for _ in range(20):  # the last of several moves is sent when the kernel has answered the first
        said = notebook.text(3)
        if said.startswith("5 ") and said.endswith("True"):
            break
        jupyter.page.wait_for_timeout(300)
    assert said.startswith("5 [('model', 'cafo'), ('model', 'caso')")
    assert said.endswith("True")
    assert notebook.cell_type(1) == "code"
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_a_run_is_cancelled_while_another_cell_runs(jupyter: Browser, measured: list[str]) -> None:
    notebook = jupyter.open([MODELS, SLOW, BUSY])
    panel = shown(notebook)
    expect(panel).to_have_attribute("data-state", "done", timeout=60_000)
    panel.get_by_role("button", name="smooth caso", exact=True).click()
    expect(panel).to_have_attribute("data-state", "running", timeout=30_000)
    notebook.start(2)
    jupyter.page.wait_for_timeout(500)
    waited = panel.evaluate(
        """(panel) => new Promise((done, fail) => {
          setTimeout(() => fail(new Error(`still ${panel.dataset.state}`)), 20_000);
          const began = performance.now(), look = () => {
            if (panel.dataset.state === 'running') return;
            watcher.disconnect();
            done(performance.now() - began); };
          const watcher = new MutationObserver(look);
          watcher.observe(panel, { attributes: true, attributeFilter: ['data-state'] });
          panel.querySelector('.sdw-doing button').click();
        })"""
    )
    measured.append(f"saliency cancelled while a cell runs: {waited:.0f} ms ({jupyter.server.app})")
    expect(panel).to_have_attribute("data-state", "cancelled")
    assert "slept" not in notebook.out(2).inner_text()
    # What was there stays.
    expect(panel).to_have_attribute("data-maps", "1")
    notebook.wait(2)


def test_a_model_that_has_trained_meanwhile_is_stale_and_refreshed(lab: Browser) -> None:
    notebook = lab.open([MODELS, SHOW, TRAIN])
    panel = shown(notebook)
    done(panel, maps=12, swept=4)
    assert notebook.text(2).endswith("True")
    stale = panel.locator(".sdw-stale")
    expect(stale).to_contain_text("the model's parameters have changed", timeout=20_000)
    screenshot(panel, "saliency-stale")
    stale.get_by_role("button", name=re.compile("^Refresh")).click()
    expect(stale).to_be_hidden(timeout=60_000)
    done(panel, maps=12, swept=4)


def test_choices_are_made_with_the_keyboard(jupyter: Browser) -> None:
    """Letters and arrows reach the panel, not the notebook's command mode."""
    notebook = jupyter.open([MODELS, SHOW])
    panel = shown(notebook)
    done(panel, maps=12, swept=4)
    method = panel.get_by_role("button", name="gradient x input", exact=True)
    method.focus()
    method.press("m")
    method.press("Enter")
    expect(panel).to_have_attribute("data-maps", "16", timeout=60_000)
    chosen = panel.locator(".sdw-gallery-item[aria-selected=true]")
    first = chosen.get_attribute("data-row") or ""
    chosen.focus()
    chosen.press("ArrowRight")
    jupyter.page.keyboard.press("Enter")
    expect(chosen).not_to_have_attribute("data-row", first)
    done(panel, maps=16, swept=4)
    assert notebook.cell_type(1) == "code"


@pytest.fixture
def themed(lab: Browser) -> Iterator[Browser]:
    yield lab
    lab.set_theme("JupyterLab Light")


def test_the_panel_follows_the_theme(themed: Browser) -> None:
    notebook = themed.open([MODELS, SHOW])
    panel = shown(notebook)
    done(panel, maps=12, swept=4)
    panel.get_by_label("Absolute values, or signed ones").select_option("signed")
    curve = panel.locator(".sdw-curve canvas").first
    light = curve.evaluate("(c) => c.toDataURL()")
    themed.set_theme("JupyterLab Dark")
    expect(panel).to_have_attribute("data-theme", "dark", timeout=20_000)
    themed.page.wait_for_function("([c, old]) => c.toDataURL() !== old", arg=[curve.element_handle(), light])
    screenshot(panel, "saliency-dark")
