"""The Path panel in a real browser, without Jupyter: what is painted, keys, requests, themes, widths."""

import json
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from sparse_debug_widgets.widgets.kit import assets, calls, wire
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.fakes import FakePath

pytestmark = pytest.mark.browser
CHARTS = ("paths", "bars", "accuracy", "counts")


def test_all_charts_are_painted_and_begin_at_the_rule(show):
    page = show()
    assert page.index() == page.panel._rule
    for chart in CHARTS:
        assert page.ink(chart, "still") > 300
        assert page.ink(chart) > 100


def test_dragging_moves_the_painted_line_without_asking_the_kernel(show):
    page = show()
    page.rest()
    asked = len(page.messages)
    page.drag("paths", 0.3, 0.8)
    assert len(page.messages) == asked
    box = page.canvas("paths").bounding_box()
    assert page.line_at("paths") == pytest.approx(0.8 * box["width"], abs=box["width"] / 59)
    page.rest()
    assert page.panel.idx == page.index() > 40
    assert len(page.saved) <= 6


def test_what_the_bars_show_is_the_layer_at_the_line(show):
    page = show()
    for index in (10, 35, 59):
        page.page.evaluate("(i) => { sdw.model.set('idx', i); }", index)
        weights = page.panel._path.class_path(0)[index]
        expected = [j for j in sorted(range(40), key=lambda j: -abs(weights[j])) if weights[j] != 0]
        shown = [int(j) for j in page.data("strongest").split(",") if j]
        assert shown == expected[: len(shown)]
        assert len(shown) == min(len(expected), 12)


@pytest.mark.parametrize("chart", ["paths", "accuracy", "counts"])
def test_each_chart_can_be_dragged_both_ways(show, chart):
    page = show()
    page.drag(chart, 0.5, 0.95, y=0.08)
    dense = page.index()
    page.drag(chart, 0.9, 0.4, y=0.08)
    assert page.index() < dense


def test_dragging_the_accuracy_curve_paints_the_line_under_the_mouse(show):
    page = show()
    page.drag("accuracy", 0.4, 0.7)
    box = page.canvas("accuracy").bounding_box()
    assert page.line_at("accuracy") == pytest.approx(0.7 * box["width"], abs=0.06 * box["width"])


@pytest.mark.parametrize("target", [".sdw-slider", ".sdw-paths .sdw-moving", ".sdw-accuracy .sdw-moving"])
def test_keys_move_along_the_path(show, target):
    page = show()
    focus = page.root.locator(target)
    focus.focus()
    seen = []
    for key in ("Home", "ArrowRight", "ArrowUp", "ArrowLeft", "PageUp", "PageDown", "End", "ArrowRight"):
        focus.press(key)
        seen.append(page.index())
    assert seen == [0, 1, 2, 1, 7, 1, 59, 59]


def test_every_focusable_element_keeps_its_keys_and_has_a_name(show):
    page = show()
    page.rest()
    bad = page.root.evaluate("""(root) =>
      [...root.querySelectorAll('button, input, select, summary, a, [tabindex]')]
      .filter((e) => e.dataset.lmSuppressShortcuts !== 'true'
        || !(e.getAttribute('aria-label') || e.closest('label')))
      .map((e) => e.outerHTML.slice(0, 120))""")
    assert bad == []


def test_everything_is_reached_by_tab(show):
    page = show()
    page.rest()
    page.root.locator(".sdw-picker").focus()
    names = []
    for _ in range(80):
        names.append(page.page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''"))
        page.page.keyboard.press("Tab")
    text = "\n".join(names)
    for part in (
        "Class",
        "Jump to",
        "Pin this",
        "PNG",
        "CSV",
        "Regularisation strength",
        "Coefficient paths",
        "weight",
        "Show train",
        "Accuracy and sparsity",
        "Features per class",
        "silenced",
    ):
        assert part in text


def test_choosing_a_class_asks_once_and_shows_it(show):
    page = show()
    page.rest()
    assert [m["args"]["index"] for m in page.requests("class_path")] == [1]
    page.root.locator(".sdw-picker").select_option("3")
    page.rest()
    assert page.data("row") == "3"
    assert sorted(m["args"]["index"] for m in page.requests("class_path")) == [1, 2, 3]
    weights = page.panel._path.class_path(3)[page.index()]
    assert int(page.data("strongest").split(",")[0]) == abs(weights).argmax()
    page.rest()
    assert page.panel.class_index == 3


def test_clicking_the_name_of_a_class_chooses_it(show):
    page = show()
    box = page.canvas("counts").bounding_box()
    before = page.index()
    page.page.mouse.click(box["x"] + 20, box["y"] + 4 + 24 * 2.5)
    page.rest()
    assert page.data("row") == "2"
    assert page.index() == before


def test_pin_compares_in_every_tile_and_is_undone(show):
    page = show()
    page.root.get_by_role("button", name=re.compile("Pin this")).click()
    pinned = page.index()
    page.drag("paths", 0.5, 0.9)
    page.rest()
    assert page.panel.pinned == pinned
    assert page.root.locator(".sdw-tile-note", has_text="pinned").count() == 4
    page.canvas("paths").press("p")
    page.rest()
    assert page.panel.pinned == -1


def test_the_rule_button_jumps_back(show):
    page = show()
    page.drag("paths", 0.5, 0.95)
    page.root.get_by_role("button", name=re.compile("5 points")).click()
    assert page.index() == page.panel._rule


def test_hovering_a_curve_names_its_feature_and_weight(show):
    page = show()
    page.rest()
    box = page.canvas("paths").bounding_box()
    before = page.ink("paths")
    for step in range(40):
        page.page.mouse.move(box["x"] + 0.85 * box["width"], box["y"] + 20 + 6 * step)
        if page.root.locator(".sdw-tip").is_visible():
            break
    expect(page.root.locator(".sdw-tip")).to_contain_text(
        re.compile(r"feature \d+ · −?[\d.]+ at λ [\d.]+ · enters at \d+ of 60")
    )
    page.frames()
    assert page.ink("paths") > before + 300


def test_an_error_is_shown_with_a_hint_and_the_traceback_folded(show, monkeypatch):
    def broken(self, _call, *, index):
        raise RuntimeError(f"<img src=x onerror=alert(1)> no class {index}")

    panel = PathPanel(FakePath(20, 30, 4), fallback="none")
    panel._desk._actions["class_path"] = broken.__get__(panel)
    page = show(panel)
    page.root.locator(".sdw-picker").select_option("2")
    box = page.root.get_by_role("alert")
    expect(box).to_contain_text("RuntimeError: <img src=x onerror=alert(1)> no class 2")
    expect(box.locator(".sdw-error-hint")).not_to_be_empty()
    assert not box.locator("pre").is_visible()
    box.locator("summary").click()
    expect(box.locator("pre")).to_contain_text("in broken")
    box.get_by_role("button", name="Dismiss").click()
    assert page.root.get_by_role("alert").count() == 0


def test_a_reply_that_comes_too_late_or_to_somebody_else_is_dropped(show):
    page = show(PathPanel(FakePath(20, 30, 6), fallback="none"))
    page.rest()
    page.deaf = True
    page.root.locator(".sdw-picker").select_option("4")
    page.frames()
    (waiting,) = [m for m in page.requests("class_path") if m["args"]["index"] == 4]
    page.root.locator(".sdw-picker").select_option("0")
    page.rest()
    reply = {
        "sdw": "reply",
        "id": waiting["id"],
        "ok": False,
        "error": {"type": "E", "message": "m", "hint": "", "traceback": ""},
    }
    page.page.evaluate(
        """(reply) => {
          for (const r of [reply, reply, { ...reply, id: 'nobody' }]) sdw.model.fire('msg:custom', r, []);
        }""",
        reply,
    )
    page.rest()
    assert page.data("row") == "0"
    assert page.root.get_by_role("alert").count() == 0


def test_without_a_kernel_what_is_there_can_still_be_dragged(show):
    page = show()
    page.rest()
    page.deaf = True
    page.page.evaluate("() => { sdw.model.save_changes = () => { throw new Error('no kernel'); }; }")
    page.drag("paths", 0.3, 0.9)
    assert page.index() > 45
    page.root.locator(".sdw-picker").select_option("3")
    expect(page.root.locator(".sdw-waiting")).to_be_visible()


def test_two_views_of_one_panel_move_together(show):
    page = show(views=2)
    page.drag("paths", 0.3, 0.8)
    page.rest()
    indices = page.page.evaluate("[...document.querySelectorAll('.sdw-path')].map((e) => e.dataset.idx)")
    assert indices == [str(page.index())] * 2
    page.root.locator(".sdw-picker").select_option("2")
    page.rest()
    assert page.page.evaluate("[...document.querySelectorAll('.sdw-path')].map((e) => e.dataset.row)") == [
        "2",
        "2",
    ]


@pytest.mark.parametrize("how", ["sdw.views[0].end()", "sdw.views[0].life.abort()"])
def test_a_closed_view_leaves_nothing_behind(show, how):
    page = show(views=2)
    page.rest()
    counted = "[...sdw.model.listeners.values()].reduce((n, s) => n + s.size, 0)"
    both = page.page.evaluate(counted)
    page.page.evaluate(how)
    page.rest()
    assert page.page.evaluate(counted) * 2 == both
    assert page.page.locator(".sdw-path").count() == 1
    page.drag("paths", 0.3, 0.8)
    page.page.evaluate("sdw.views[1].end()")
    assert page.page.evaluate(counted) == 0


def test_a_reloaded_page_shows_the_state_of_the_model(show):
    page = show()
    page.drag("paths", 0.3, 0.8)
    page.root.locator(".sdw-picker").select_option("2")
    page.root.get_by_role("button", name=re.compile("Pin this")).click()
    page.rest()
    again = show(page.panel)
    again.rest()
    assert (again.data("idx"), again.data("row")) == (page.data("idx"), "2")
    assert again.root.locator(".sdw-tile-note", has_text="pinned").count() == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes_of_the_system(show, scheme):
    page = show(color_scheme=scheme)
    assert page.data("theme") == scheme
    back = page.root.evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_theme_that_changes_repaints_what_is_on_the_canvas(show):
    page = show(color_scheme="dark")
    pixel = """(c) => {
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let s = 0, n = 0;
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) { s += d[i] + d[i + 1] + d[i + 2]; n++; }
      return s / n / 3; }"""
    dark = page.canvas("bars").evaluate(pixel)
    page.page.evaluate("""() => { document.body.style.setProperty('--jp-layout-color0', '#fffffe');
      document.body.style.setProperty('--jp-ui-font-color0', '#111');
      document.body.dataset.jpThemeLight = 'true'; }""")
    page.page.wait_for_function("document.querySelector('.sdw').dataset.theme === 'light'")
    page.rest()
    assert page.canvas("bars").evaluate(pixel) < dark - 40


@pytest.mark.parametrize("width", [400, 760, 1400])
def test_the_panel_fits_its_width(show, width):
    page = show(width=width)
    page.rest()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inside = page.root.evaluate("""(root) => { const r = root.getBoundingClientRect();
      return [...root.querySelectorAll('canvas, button, select, input, .sdw-tile')].filter((e) => {
        const b = e.getBoundingClientRect();
        return b.width && (b.left < r.left - 0.5 || b.right > r.right + 0.5);
      }).map((e) => e.className); }""")
    assert inside == []
    for chart in CHARTS:
        assert page.ink(chart) > 60
    page.drag("paths", 0.4, 0.9)
    assert page.index() > 40


def test_a_resized_panel_is_drawn_anew_and_sharp(show):
    page = show(width=1100, device_scale_factor=2)
    before = page.canvas("paths").bounding_box()["width"]
    assert page.canvas("paths").evaluate("(c) => c.width") == round(2 * before)
    page.page.set_viewport_size({"width": 500, "height": 900})
    page.rest()
    after = page.canvas("paths").bounding_box()["width"]
    assert after < before
    assert page.canvas("paths").evaluate("(c) => c.width") == round(2 * after)
    assert page.ink("paths", "still") > 300


def test_requests_are_cancelled_from_the_page(show):
    panel = PathPanel(FakePath(20, 30, 4), fallback="none")
    panel.head = {**panel.head, "value": {**panel.head["value"], "model": True}}
    page = show(panel)
    page.rest()
    page.deaf = True
    page.root.get_by_role("button", name="Swap this sparse layer").click()
    page.root.get_by_role("button", name="Cancel the request").click()
    page.rest()
    (asked,) = page.requests("use")
    assert {"sdw": "cancel", "id": asked["id"]} in page.messages
    assert page.root.get_by_role("alert").count() == 0
    expect(page.root.get_by_role("button", name="Swap this sparse layer")).to_be_enabled()


def test_the_codec_of_the_page_reads_what_python_writes(show):
    values = {
        "bool": [0, 1],
        "uint8": [0, 255],
        "int8": [-128, 127],
        "uint16": [0, 65535],
        "int16": [-32768, 5],
        "uint32": [0, 2**32 - 1],
        "int32": [-(2**31), 7],
        "float32": [1.5, -3e-12],
        "float64": [1e300, -0.1],
        "float16": [0.1, -6e-8, 65504.0],
    }
    arrays = {name: np.array(v, dtype=name) for name, v in values.items()}

    class Echo(PathPanel):
        @calls.action
        def echo(self, _call):
            return calls.Answer({}, arrays)

    page = show(Echo(FakePath(8, 10, 2), fallback="none"))
    kit = assets.joined("kit/wire")
    read = page.page.evaluate(
        """async () => {
      const found = await new Promise((done) => {
        const hear = (content, buffers) => content.id === 'e' && done([content.arrays, buffers]);
        sdw.model.on('msg:custom', hear);
        sdw.model.send({ sdw: 'request', id: 'e', action: 'echo', args: {} });
      });
      const code = MODULE + '\\nexport { decodeArray };';
      const kit = await import(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
      const read = (head) => [...kit.decodeArray(head, found[1][head.buffer])];
      return Object.fromEntries(Object.entries(found[0]).map(([name, head]) => [name, read(head)]));
    }""".replace("MODULE", json.dumps(kit))
    )
    for name, array in arrays.items():
        assert read[name] == array.astype(float).tolist()
    assert wire.encode(arrays["float16"])[0]["dtype"] == "float16"


def test_a_saved_page_says_that_it_is_one(chromium, tmp_path):
    page = chromium.new_page()
    page.goto(PathPanel(FakePath(20, 20, 3)).to_html(tmp_path / "a.html").as_uri())
    bar = page.locator("section.sdw-path[data-idx] .sdw-live")
    expect(bar.locator(".sdw-outcome")).to_contain_text("This is a saved page, without the model")
    assert "saved page" in (bar.get_by_text("Use this layer").get_attribute("title") or "")
    page.close()
