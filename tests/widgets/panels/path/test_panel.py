"""What the Path panel sends and keeps: sizes, ranges, standalone pages, MIME bundles."""

import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets import PANELS, panel
from sparse_debug_widgets.widgets.kit.base import SAVED
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.fakes import FakePath
from tests.widgets.payload import all_bytes, first_paint_bytes

WIDGET = "application/vnd.jupyter.widget-view+json"


def dense_from_the_start(p: int) -> FakePath:
    """The largest path there is: every feature of every class is in from the second lambda on."""
    path = FakePath(p)
    path.weights = np.random.default_rng(0).normal(size=path.weights.shape)
    path.weights[0] = 0
    path.n_nonzero = (path.weights != 0).sum(axis=2)
    return path


@pytest.mark.parametrize("make", [FakePath, dense_from_the_start])
def test_payload_of_the_largest_panel(make):
    shown = PathPanel(make(2048), fallback="none")
    assert first_paint_bytes(shown) <= 600_000
    assert all_bytes(shown) <= 4_500_000


def test_standalone_page_at_512_features(tmp_path):
    path = FakePath(512)
    # A solver's tolerance makes real paths less smooth than formulas.
    path.weights *= 1 + 1e-3 * np.random.default_rng(0).normal(size=path.weights.shape)
    assert (path.weights != 0).mean() > 0.5
    assert PathPanel(path, fallback="none").to_html(tmp_path / "path.html").stat().st_size <= 350_000


@pytest.mark.parametrize("p", [64, 512, 2048])
def test_what_a_notebook_keeps_is_bounded(p):
    data, _ = PathPanel(FakePath(p))._repr_mimebundle_()
    assert len(data["text/html"]) <= 400_000


def test_many_classes_keep_the_notebook_small():
    data, _ = PathPanel(FakePath(64, 30, 300), class_index=200)._repr_mimebundle_()
    assert len(data["text/html"]) <= 400_000
    assert "24 strongest" not in data["text/plain"]


def test_a_standalone_page_needs_nothing_from_elsewhere(tmp_path):
    text = PathPanel(FakePath(20, 20, 3), title="<i>mine</i>").to_html(tmp_path / "a.html").read_text()
    assert not re.search(r"(src|href)\s*=", text)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "<title>&lt;i&gt;mine&lt;/i&gt;</title>" in text
    assert [file.name for file in tmp_path.iterdir()] == ["a.html"]


def test_the_bundle_has_widget_page_and_repr():
    data, metadata = PathPanel(FakePath(20, 20, 3))._repr_mimebundle_()
    assert set(data) == {WIDGET, SAVED, "text/html", "text/plain"}
    assert data["text/plain"] == "FakePath(20 lambdas, 3 classes, 20 features)"
    assert metadata == {}
    bare, _ = PathPanel(FakePath(20, 20, 3), fallback="none")._repr_mimebundle_()
    assert set(bare) == {WIDGET, "text/plain"}


@pytest.mark.browser
def test_a_converted_notebook_can_be_dragged_offline(tmp_path, chromium):
    shown = PathPanel(FakePath(30, 40, 3))
    data, _ = shown._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data)
    cell = nbformat.v4.new_code_cell("path", outputs=[output, output])
    book = nbformat.v4.new_notebook(cells=[cell])
    html, _ = HTMLExporter(preprocessors=[]).from_notebook_node(book)
    file = tmp_path / "book.html"
    file.write_text(html)
    page = chromium.new_page()
    page.context.set_offline(True)
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('.sdw-path')?.dataset.strongest")
    box = page.locator(".sdw-paths .sdw-moving").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 80, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.sdw-path').dataset.idx === '39'")
    page.locator(".sdw-picker").first.select_option("2")
    page.wait_for_function(
        "(({ row, strongest }) => row === '2' && strongest)(document.querySelector('.sdw-path').dataset)"
    )
    weights = shown._path.class_path(2)[39]
    strongest = page.locator(".sdw-path").first.get_attribute("data-strongest").split(",")
    assert abs(weights[int(strongest[0])]) > 0.999 * abs(weights).max()
    page.close()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"class_index": 3}, r"class_index.*index in 0 ... 2"),
        ({"class_index": -1}, "class_index"),
        ({"index": 20}, "index.*at most 19"),
        ({"fallback": "some"}, "fallback.*'auto'"),
    ],
)
def test_options_out_of_range_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        PathPanel(FakePath(20, 20, 3), **options)


def test_values_from_a_stale_page_are_kept_in_range():
    shown = PathPanel(FakePath(20, 20, 3), fallback="none")
    shown.set_state({"idx": 999, "class_index": -5, "pinned": -7})
    assert (shown.idx, shown.class_index, shown.pinned) == (19, 0, -1)


def test_without_held_out_examples_there_is_no_rule_but_a_panel():
    shown = PathPanel(FakePath(20, 20, 3, held_out=False), fallback="none")
    assert shown.head["value"]["rule"] == -1
    assert shown.idx == 9
    json.dumps(shown.head["value"], allow_nan=False)


def test_results_without_a_panel_are_refused():
    assert int not in PANELS
    with pytest.raises(InputError, match="RegularizationPath"):
        panel(3)


def test_registering_the_formatter_loads_nothing():
    code = """
import sys
class Formatter:
    def for_type_by_name(self, module, name, function): print(module, name)
class Shell:
    class display_formatter: mimebundle_formatter = Formatter()
from sparse_debug_widgets.widgets import register_formatter
register_formatter(Shell)
print(sorted({"torch", "anywidget", "ipywidgets", "plotly", "IPython"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["sparse_debug_widgets.core.result Result", "[]"]
