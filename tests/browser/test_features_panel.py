"""The Features panel in a real notebook, beside a Path panel: link, silence, name, themes, a busy kernel."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.driver import Browser, screenshot

FIT = """
import time
import warnings
import torch
torch.set_num_threads(1)
warnings.simplefilter("ignore")
import sparse_debug_widgets as sdw
demo = sdw.load_demo("digits")
features = sdw.extract_features(demo.model, demo.train)
path = sdw.elastic_net_path(features, n_lambdas=20)
"""
PATH = "follow = sdw.panel(path, demo.model, data=features)\nfollow"
SHOW = """panel = sdw.features_panel(
    path, demo.model, data=demo.train, features=features, follow=follow, n_samples=200, n_steps=16, index=6)
panel"""
BUSY = "time.sleep(4); print('slept')"
NAME = "<b>loop</b> \u0645\u0631\u062d\u0628\u0627 \U0001f993"
ASK = """named = [name for name in path.feature_names if not name.startswith("feature ")]
print(follow.idx, panel.idx, follow.silenced == panel.silenced != [], *named)"""
CHANGED = "print(hash(str([p.sum().item() for p in demo.model.parameters()])), demo.model.training)"


@pytest.fixture
def themed(lab: Browser) -> Iterator[Browser]:
    yield lab
    lab.set_theme("JupyterLab Light")


def panel_in(output: Locator, name: str) -> Locator:
    panel = output.locator(f"section.sdw-{name}[data-idx]").first
    panel.wait_for(timeout=60_000)
    return panel


def rows_of(panel: Locator) -> list[str]:
    return (panel.get_attribute("data-rows") or "").split(",")


def drag_one_and_see_the_other(path: Locator, features: Locator) -> None:
    """Dragging one panel changes what the other shows; nothing waits for a cell that is running."""
    chart = path.locator(".sdw-paths canvas.sdw-moving")
    chart.scroll_into_view_if_needed()
    chart.focus()
    shown = rows_of(features)
    chart.press("End")
    expect(features).to_have_attribute("data-idx", "19", timeout=20_000)
    expect(features).not_to_have_attribute("data-rows", ",".join(shown))
    path.locator(".sdw-picker").select_option("3")
    expect(features).to_have_attribute("data-row", "3", timeout=20_000)
    slider = features.locator("input.sdw-slider")
    slider.focus()
    slider.press("Home")
    expect(features).to_have_attribute("data-idx", "0", timeout=20_000)
    slider.press("PageUp")
    expect(features).not_to_have_attribute("data-idx", "0", timeout=20_000)  # the next frame shows it
    here = features.get_attribute("data-idx") or ""
    expect(path).to_have_attribute("data-idx", here, timeout=20_000)
    slider.press("End")
    expect(path).to_have_attribute("data-idx", "19", timeout=20_000)
    expect(features).to_have_attribute("data-job", "done", timeout=120_000)


def test_linked_silenced_named_in_both_panels_and_dark(themed: Browser) -> None:
    notebook = themed.open([FIT, PATH, SHOW, BUSY, ASK, CHANGED])
    notebook.run(0, timeout=180)
    path = panel_in(notebook.run(1, timeout=120), "path")
    before = notebook.text(5)
    features = panel_in(notebook.run(2, timeout=120), "features")
    expect(features.locator(".sdw-example canvas").first).to_be_visible(timeout=60_000)

    drag_one_and_see_the_other(path, features)

    # Silence the strongest feature here: accuracy and the example's prediction, and a chip in both.
    row = features.locator(".sdw-feature").first
    row.locator(".sdw-example").first.click()
    expect(features.locator(".sdw-verdict")).to_have_count(2, timeout=20_000)
    row.locator(".sdw-quiet").click()
    expect(features.locator(".sdw-verdict")).to_have_count(3, timeout=20_000)
    expect(features.locator(".sdw-measured")).to_contain_text("\u2192", timeout=20_000)
    expect(path.locator(".sdw-chip")).to_have_count(1, timeout=20_000)

    # Name it: kept with the path, text in both panels.
    name = row.locator(".sdw-feature-name")
    name.fill(NAME)
    name.press("Enter")
    expect(path.locator(".sdw-chip")).to_contain_text("<b>loop</b>", timeout=20_000)
    assert notebook.text(4) == f"19 19 True {NAME}"
    assert notebook.cell_type(2) == "code"
    screenshot(features, "features-lab")

    # What is in the browser moves while a cell runs.
    notebook.start(3)
    slider = features.locator("input.sdw-slider")
    slider.focus()
    slider.press("Home")
    for _ in range(8):
        slider.press("ArrowRight")
    expect(features).to_have_attribute("data-idx", "8", timeout=2_000)
    assert "slept" not in notebook.out(3).inner_text()
    notebook.wait(3)

    themed.set_theme("JupyterLab Dark")
    expect(features).to_have_attribute("data-theme", "dark", timeout=20_000)
    screenshot(features, "features-dark")
    assert notebook.text(5) == before
    expect(features.get_by_role("alert")).to_have_count(0)
