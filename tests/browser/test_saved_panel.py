"""An executed notebook that is opened again: its panels live with their kernel, and are pages without it."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import FrameLocator, Locator, expect

import sparse_debug_widgets as sdw
from sparse_debug_widgets.widgets.kit.base import SAVED
from tests.browser.driver import PANEL, READY_MS, Browser, Notebook, code_notebook, frames, screenshot

CELL = """
import numpy as np, torch
import sparse_debug_widgets as sdw
labels = np.arange(240) % 3
values = np.random.default_rng(0).normal(size=(240, 12)).astype(np.float32)
values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
features = sdw.DeepFeatures.from_arrays(values, labels, class_names=["<b>one</b>", "two", "three"])
sdw.panel(sdw.elastic_net_path(features, n_lambdas=30, eps=0.01))
"""
LIVE = "section.sdw-path[data-idx]"
VIEW = "application/vnd.jupyter.widget-view+json"
TRUST = f"(name) => {{ for (const cell of {PANEL}(name).content.widgets) cell.model.trusted = true; }}"
SHUT_DOWN = f"(name) => {PANEL}(name).sessionContext.shutdown().then(() => true)"
RESTART = f"(name) => {PANEL}(name).sessionContext.restartKernel().then(() => true)"
WITHOUT_KERNEL = """(path) => window.jupyterapp.commands.execute('docmanager:open', {
  path, factory: 'Notebook', kernelPreference: {canStart: false, shouldStart: false, autoStartDefault: false},
}).then(() => true)"""
ATTACK = """<p id="said"></p><script>
const said = (text) => { document.getElementById('said').textContent += `${text}; `; };
try { said(`parent: ${parent.document.title}`); } catch (error) { said('no parent'); }
try { said(`kept: ${localStorage.length}`); } catch (error) { said('no storage'); }
fetch(new URL('ADDRESS')).then(() => said('network'), () => said('no network'));
parent.postMessage({ sdwHeight: 123456789 }, '*');
</script>"""


def executed(bundle: dict[str, Any]) -> dict[str, Any]:
    """A saved notebook whose one cell has this output."""
    notebook = code_notebook([CELL])
    output = {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": bundle}
    notebook["cells"][0] |= {"execution_count": 1, "outputs": [output]}
    return notebook


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    labels = np.arange(120) % 3
    values = torch.randn(120, 12, generator=torch.Generator().manual_seed(0)).numpy()
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    features = sdw.DeepFeatures.from_arrays(values, labels, class_names=["<b>one</b>", "two", "three"])
    shown = sdw.panel(sdw.elastic_net_path(features, n_lambdas=12, eps=0.1))
    data, _ = shown._repr_mimebundle_()
    return {**data, VIEW: {**data[VIEW], "model_id": "0" * 32}}


def page_in(output: Locator) -> FrameLocator:
    return output.frame_locator("iframe[title='Saved panel']")


def expect_page(output: Locator) -> Locator:
    """The saved page, on the screen in its whole height, and nothing of the widget manager's beside it."""
    panel = page_in(output).locator(LIVE)
    expect(panel).to_be_visible(timeout=20_000)
    expect(output.get_by_text("Run the cell to make it live")).to_be_visible()
    expect(
        output.get_by_text(re.compile("model not found|Loading widget", re.I)).locator("visible=true")
    ).to_have_count(0)
    expect(output.locator(LIVE)).to_have_count(0)
    frame = output.locator("iframe")
    inner = panel.evaluate(
        "(node) => Math.ceil(node.ownerDocument.documentElement.getBoundingClientRect().height)"
    )
    expect(frame).to_have_css("height", f"{inner}px")
    return panel


def expect_live(output: Locator) -> Locator:
    panel = output.locator(LIVE)
    expect(panel).to_be_visible(timeout=20_000)
    expect(output.locator("iframe")).to_have_count(0)
    expect(output.get_by_text("Run the cell to make it live")).to_have_count(0)
    return panel


def drop_stock_errors(browser: Browser) -> None:
    """The widget manager logs each model that it does not find, and a kernel that ends what it was asked."""
    stock = re.compile("widget model not found|Canceled future for|reading 'kernel'")
    assert [error for error in browser.take_errors() if not stock.search(error)] == []


def test_a_panel_lives_with_its_kernel_and_is_a_page_afterwards(jupyter: Browser) -> None:
    notebook = jupyter.open([CELL])
    expect_live(notebook.run(0))
    notebook.save()
    saved = json.loads((jupyter.server.root / notebook.name).read_text(encoding="utf-8"))
    assert SAVED in saved["cells"][0]["outputs"][0]["data"]
    jupyter.reopen(notebook)
    expect_live(notebook.out(0))
    jupyter.page.evaluate(RESTART, notebook.name)
    panel = expect_page(notebook.out(0))
    before = panel.get_attribute("data-idx")
    panel.locator(".sdw-paths canvas[tabindex='0']").press("ArrowRight")
    expect(panel).not_to_have_attribute("data-idx", str(before))
    screenshot(jupyter.page, f"saved-restarted-{jupyter.server.app}")
    Notebook(jupyter.page, notebook.name).run(0)
    expect_live(notebook.out(0))
    jupyter.page.evaluate(SHUT_DOWN, notebook.name)
    expect_page(notebook.out(0))
    drop_stock_errors(jupyter)


def test_a_saved_notebook_with_a_new_kernel_shows_its_page(jupyter: Browser, bundle: dict[str, Any]) -> None:
    notebook = jupyter.open_file(executed(bundle))
    out = notebook.out(0)
    # Nobody has said yet that this file is to be trusted.
    offer = out.get_by_role("button", name="Show the saved panel")
    expect(offer).to_be_visible()
    expect(out.locator("iframe")).to_have_count(0)
    screenshot(jupyter.page, f"saved-untrusted-{jupyter.server.app}")
    offer.focus()
    jupyter.page.keyboard.press("Enter")
    expect_page(out)
    jupyter.page.evaluate(TRUST, notebook.name)
    expect_page(out)
    notebook.save()
    jupyter.reopen(notebook)
    panel = expect_page(notebook.out(0))
    expect(panel).to_contain_text("<b>one</b>")
    drop_stock_errors(jupyter)


def test_a_notebook_without_any_kernel_shows_its_pages_in_the_theme(
    lab: Browser, bundle: dict[str, Any]
) -> None:
    notebook = lab.open_file(executed(bundle))
    lab.page.evaluate(TRUST, notebook.name)
    notebook.save()
    lab.page.evaluate(SHUT_DOWN, notebook.name)
    lab.page.evaluate(f"(name) => {PANEL}(name).dispose()", notebook.name)
    lab.page.evaluate(WITHOUT_KERNEL, notebook.name)
    lab.page.wait_for_function(
        f"(name) => !!{PANEL}(name)?.context.isReady", arg=notebook.name, timeout=READY_MS
    )
    panel = expect_page(notebook.out(0))
    assert not lab.page.evaluate(f"(name) => !!{PANEL}(name).sessionContext.session", notebook.name)
    expect(panel).to_have_attribute("data-theme", "light")
    lab.set_theme("JupyterLab Dark")
    expect(panel).to_have_attribute("data-theme", "dark")
    frames(lab.page)
    screenshot(lab.page, "saved-dark")
    lab.set_theme("JupyterLab Light")
    expect(panel).to_have_attribute("data-theme", "light")
    drop_stock_errors(lab)


def test_a_page_reaches_neither_the_notebook_nor_the_network(lab: Browser, bundle: dict[str, Any]) -> None:
    html = ATTACK.replace("ADDRESS", lab.server.url("api/contents"))
    notebook = lab.open_file(executed({**bundle, "text/html": html}))
    notebook.out(0).get_by_role("button", name="Show the saved panel").click()
    said = page_in(notebook.out(0)).locator("#said")
    expect(said).to_contain_text("no network")
    assert said.inner_text() == "no parent; no storage; no network;"
    height = notebook.out(0).locator("iframe").bounding_box()
    assert height is not None
    assert height["height"] <= 20_000
    assert all("Content Security Policy" in error for error in lab.take_errors())
