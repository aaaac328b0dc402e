"""The Path panel in real notebooks: dragged by mouse and by keyboard, and bound to the live model."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from sparse_debug_widgets.cli.percent import to_notebook
from sparse_debug_widgets.cli.tutorial import tutorial_script
from tests.browser.driver import Browser, Notebook, frames, screenshot

SMALL_PATH = """
import json
import numpy as np, torch
import sparse_debug_widgets as sdw
rng = np.random.default_rng(0)
labels = np.arange(240) % 3
values = rng.normal(size=(240, 12)).astype(np.float32)
values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
model = torch.nn.Sequential(torch.nn.Linear(12, 3))
data = torch.utils.data.TensorDataset(torch.from_numpy(values), torch.from_numpy(labels))
features = sdw.extract_features(model, data, class_names=["<b>one</b>", "two", "three"])
path = sdw.elastic_net_path(features, n_lambdas=30, eps=0.01)
"""
PANEL = "panel = sdw.panel(path, model, data=data)\npanel"

SHAPES = """
import sparse_debug_widgets as sdw
demo = sdw.load_demo("shapes")
features = sdw.extract_features(demo.model, demo.train, test=demo.test, class_names=demo.class_names)
path = sdw.elastic_net_path(features, n_lambdas=40)
"""
SHAPES_PANEL = """
panel = sdw.panel(path, demo.model, data=demo.clean_test, class_index="mushroom")
panel
"""
# What a person looks at while silencing; a line of each, and what is wrong with where it is on the screen.
TOGETHER = (".sdw-slider", ".sdw-tiles", ".sdw-paths", ".sdw-bars", ".sdw-measured", ".sdw-outcome")
OFF_SCREEN = """(panel, parts) => {
  const view = panel.closest('.jp-WindowedPanel-outer').getBoundingClientRect();
  return parts.filter((part) => {
    const { top, bottom, left, right, height } = panel.querySelector(part).getBoundingClientRect();
    return !(height > 10 && top >= view.top && bottom <= Math.min(view.bottom, innerHeight)
      && left >= view.left && right <= Math.min(view.right, innerWidth));
  });
}"""
CUT_TILES = """(panel) => [...panel.querySelectorAll('.sdw-tile-name, .sdw-tile-value, .sdw-tile-note')]
  .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth).map((e) => e.textContent)"""

# What the kernel knows: where the panel is, and what the live model would answer.
ASK = """
live = model(torch.from_numpy(values[:5])).detach().numpy()
sparse = path.decision_layer(panel.idx)(torch.from_numpy(values[:5])).detach().numpy()
print(json.dumps({
    "idx": panel.idx,
    "row": panel.class_index,
    "count": int(path.n_nonzero[panel.idx, panel.class_index]),
    "strongest": int(np.abs(path.weights_at(panel.idx)[panel.class_index]).argmax()),
    "kind": type(model[0]).__name__,
    "off_sparse": float(np.abs(live - sparse).max()),
}))
"""

# Where the line that a person drags is painted: the column of the moving layer with the most ink.
PAINTED_LINE = """(canvas) => {
  const { width, height } = canvas, ratio = width / canvas.getBoundingClientRect().width;
  const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  let best = -1, most = 0;
  for (let x = 0; x < width; x++) {
    let ink = 0;
    for (let y = 0; y < height; y++) ink += pixels[4 * (y * width + x) + 3];
    if (ink > most) { most = ink; best = x; }
  }
  return best / ratio;
}"""

BACKGROUND = "(canvas) => getComputedStyle(canvas.closest('section')).backgroundColor"
FOCUSABLE = "button:visible:not([disabled]), input:visible, select:visible, canvas[tabindex='0']"


def panel_in(output: Locator) -> Locator:
    panel = output.locator("section.sdw-path[data-idx]")
    panel.wait_for()
    expect(panel.locator(".sdw-waiting")).to_be_hidden()
    return panel


def index_of(panel: Locator) -> int:
    frames(panel.page)
    return int(panel.get_attribute("data-idx") or -1)


def paths_chart(panel: Locator) -> Locator:
    """The layer of the coefficient paths that moves, and takes the mouse and the keys."""
    return panel.locator(".sdw-paths canvas[tabindex='0']")


def width_of(panel: Locator) -> float:
    """Width of the chart of the coefficient paths, in pixels."""
    box = paths_chart(panel).bounding_box()
    assert box is not None
    return box["width"]


def painted_line(panel: Locator) -> float:
    frames(panel.page)
    return float(paths_chart(panel).evaluate(PAINTED_LINE))


def drag_line(panel: Locator, share: float) -> float:
    """Drag the line to a share of the chart's width; where the mouse lets go, in pixels of the chart."""
    chart = paths_chart(panel)
    chart.scroll_into_view_if_needed()
    start, box = painted_line(panel), chart.bounding_box()
    assert box is not None
    y, mouse = box["y"] + box["height"] / 2, panel.page.mouse
    mouse.move(box["x"] + start, y)
    mouse.down()
    mouse.move(box["x"] + share * box["width"], y, steps=12)
    mouse.up()
    return share * box["width"]


def asked(notebook: Notebook, cell: int, field: str, value: object) -> dict[str, Any]:
    """Run the cell that prints what the kernel knows until a field has a value; a drag is told afterwards."""
    answer: dict[str, Any] = {}
    for _ in range(20):
        answer = json.loads(notebook.text(cell))
        if answer[field] == value:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{field} should become {value!r} in the kernel: {answer}")


def shown_count(panel: Locator) -> int:
    tile = panel.locator(".sdw-tile", has_text="features in use")
    return int(tile.locator(".sdw-tile-value").inner_text())


def test_a_drag_by_mouse_paints_the_line_under_the_mouse_and_reaches_the_kernel(jupyter: Browser) -> None:
    notebook = jupyter.open([SMALL_PATH, PANEL, ASK])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    before = index_of(panel)
    for share in (0.8, 0.35):
        mouse_x = drag_line(panel, share)
        spacing = width_of(panel) / 30
        assert abs(painted_line(panel) - mouse_x) <= spacing
        assert index_of(panel) != before
        before = index_of(panel)
        answer = asked(notebook, 2, "idx", before)
        assert shown_count(panel) == answer["count"]
        assert (panel.get_attribute("data-strongest") or "").split(",")[0] == str(answer["strongest"])


def test_arrow_keys_move_the_line_one_lambda_at_a_time(jupyter: Browser) -> None:
    notebook = jupyter.open([SMALL_PATH, PANEL, ASK])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    chart, start, line = paths_chart(panel), index_of(panel), painted_line(panel)
    chart.focus()
    for key, expected in (("ArrowRight", start + 1), ("ArrowRight", start + 2), ("ArrowLeft", start + 1)):
        panel.page.keyboard.press(key)
        assert index_of(panel) == expected
    assert painted_line(panel) > line
    panel.page.keyboard.press("Home")
    assert index_of(panel) == 0
    panel.page.keyboard.press("End")
    assert index_of(panel) == 29
    asked(notebook, 2, "idx", 29)


@pytest.fixture
def laptop_lab(lab: Browser) -> Iterator[Browser]:
    """Lab with its file browser open, in a window that a test makes as small as a laptop's."""
    size = lab.page.viewport_size
    # Another test may have left another side bar open.
    lab.page.evaluate("window.jupyterapp.commands.execute('filebrowser:activate').then(() => true)")
    expect(lab.page.locator("#jp-left-stack .jp-FileBrowser")).to_be_visible()
    yield lab
    assert size is not None
    lab.page.set_viewport_size(size)


def test_slider_bars_and_what_silencing_does_are_seen_together_on_a_laptop(laptop_lab: Browser) -> None:
    notebook = laptop_lab.open([SHAPES, SHAPES_PANEL])
    notebook.run(0, timeout=200)
    panel = panel_in(notebook.run(1))
    for width, height in ((1440, 900), (1280, 800)):
        laptop_lab.page.set_viewport_size({"width": width, "height": height})
        panel.evaluate("(e) => e.scrollIntoView({ block: 'start' })")
        frames(panel.page)
        panel.locator(".sdw-row:visible").first.click()
        expect(panel.locator(".sdw-measured")).to_contain_text("silenced", timeout=60_000)
        expect(panel.locator(".sdw-tile-wide")).to_contain_text("sparse")
        screenshot(laptop_lab.page, f"silenced-{width}")
        assert panel.evaluate(OFF_SCREEN, TOGETHER) == [], width
        assert panel.evaluate(CUT_TILES) == [], width
        panel.locator(".sdw-chip").click()
        expect(panel.locator(".sdw-measured")).to_be_empty()


def test_using_a_layer_swaps_it_into_the_live_model_and_back(lab: Browser) -> None:
    notebook = lab.open([SMALL_PATH, PANEL, ASK])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    drag_line(panel, 0.5)
    own = asked(notebook, 2, "idx", index_of(panel))
    assert own["kind"] == "Linear"
    assert own["off_sparse"] > 0.01
    panel.locator("button", has_text="Use this layer").click()
    expect(panel.locator(".sdw-outcome")).to_contain_text(
        f"In the model now: layer {index_of(panel) + 1} of 30"
    )
    expect(panel.locator(".sdw-outcome")).to_contain_text("\N{RIGHTWARDS ARROW}")
    assert asked(notebook, 2, "kind", "SparseDecisionLayer")["off_sparse"] < 1e-5
    screenshot(panel, "layer-in-use")
    panel.locator("button", has_text="Put the original back").click()
    expect(panel.locator(".sdw-outcome")).to_contain_text("its own dense layer")
    assert asked(notebook, 2, "kind", "Linear")["off_sparse"] == own["off_sparse"]


def test_another_class_is_fetched_and_its_name_is_text(lab: Browser) -> None:
    notebook = lab.open([SMALL_PATH, PANEL, ASK])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    assert panel.locator("b").count() == 0
    panel.get_by_label("Class", exact=True).select_option("2")
    expect(panel).to_have_attribute("data-row", "2")
    expect(panel.locator(".sdw-waiting")).to_be_hidden()
    answer = asked(notebook, 2, "row", 2)
    assert shown_count(panel) == answer["count"]
    assert (panel.get_attribute("data-strongest") or "").split(",")[0] == str(answer["strongest"])


def test_a_result_as_the_last_expression_shows_its_panel(lab: Browser) -> None:
    notebook = lab.open([SMALL_PATH, "path"])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    drag_line(panel, 0.7)
    assert abs(painted_line(panel) - 0.7 * width_of(panel)) < 30


def test_no_key_on_any_control_reaches_the_notebook(jupyter: Browser) -> None:
    """In command mode `m` would make the cell Markdown and remove the widget, arrows would leave it."""
    notebook = jupyter.open([SMALL_PATH, PANEL, "1"])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    drag_line(panel, 0.6)
    controls = panel.locator(FOCUSABLE)
    assert controls.count() > 12
    for control in controls.all():
        control.focus()
        for key in ("m", "b", "ArrowDown", "ArrowUp"):
            panel.page.keyboard.press(key)
        where = control.evaluate("(e) => e.outerHTML.slice(0, 120)")
        assert notebook.cell_type(1) == "code", where
        assert notebook.active_cell() == 1, where
        assert panel.page.locator(".jp-Notebook .jp-Cell").count() == 3, where
        if control.get_attribute("type") == "search":
            control.fill("")  # else the bars of features of other names are gone
    expect(panel).to_be_visible()


@pytest.fixture
def dark_lab(lab: Browser) -> Iterator[Browser]:
    yield lab
    lab.set_theme("JupyterLab Light")


def test_the_panel_follows_the_theme(dark_lab: Browser) -> None:
    notebook = dark_lab.open([SMALL_PATH, PANEL])
    notebook.run(0)
    panel = panel_in(notebook.run(1))
    light = panel.evaluate("(e) => getComputedStyle(e).color")
    still = panel.locator(".sdw-paths canvas").first
    painted = still.evaluate("(c) => c.toDataURL()")
    dark_lab.set_theme("JupyterLab Dark")
    expect(panel).not_to_have_css("color", light)
    dark_lab.page.wait_for_function(
        "([c, old]) => c.toDataURL() !== old", arg=[still.element_handle(), painted]
    )
    screenshot(dark_lab.page, "dark")


def test_the_tutorial_runs_and_finds_the_flaw(lab: Browser, measured: list[str]) -> None:
    """Run the notebook as it is shipped; find the suspect by dragging, silence it, put the layer to use."""
    cells = to_notebook(tutorial_script().read_text(encoding="utf-8"))
    notebook = lab.open_file(cells)
    code = [i for i, cell in enumerate(cells["cells"]) if cell["cell_type"] == "code"]
    (show,) = (i for i in code if cells["cells"][i]["source"].endswith("\npanel"))
    for index in code[: code.index(show)]:
        notebook.run(index, timeout=200)
    start = time.perf_counter()
    panel = panel_in(notebook.run(show))
    painted_line(panel)
    measured.append(
        f"the tutorial's panel is on the screen {time.perf_counter() - start:.1f} s after running its cell"
    )

    drag_line(panel, 0.9)
    assert shown_count(panel) > 10
    drag_line(panel, 0.25)
    assert 1 <= shown_count(panel) <= 5
    suspect = (panel.get_attribute("data-strongest") or "").split(",")[0]
    screenshot(lab.page, "tutorial-dragged")
    suspect_cell = code[code.index(show) + 1]
    notebook.run(suspect_cell)
    expect(notebook.out(suspect_cell)).to_contain_text(f"The suspect: feature {suspect}")

    panel.locator(".sdw-row:visible").first.click()
    expect(panel.locator(".sdw-chips")).to_contain_text(f"feature {suspect}")
    expect(panel.locator(".sdw-measured")).to_contain_text("\N{RIGHTWARDS ARROW}", timeout=60_000)
    panel.locator("button", has_text="Use this layer").click()
    expect(panel.locator(".sdw-outcome")).to_contain_text("1 silenced", timeout=60_000)
    screenshot(panel, "tutorial-panel")
    for index in code[code.index(suspect_cell) + 1 :]:
        notebook.run(index, timeout=200)
    (compared,) = (i for i in code if "as it was" in cells["cells"][i]["source"])
    shares = [
        float(line.split(":")[1].split("%")[0])
        for line in notebook.out(compared).inner_text().splitlines()
        if line
    ]
    dense, sparse, silenced, back = shares
    assert silenced > sparse
    assert back == dense
