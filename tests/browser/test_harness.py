"""The harness itself: a stock slider dragged in both hosts reaches the kernel, and errors are seen."""

import pytest

from tests.browser.driver import Browser, CellError, screenshot

SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(max=100, value=3)
label = ipywidgets.Label("v=3")
slider.observe(lambda change: setattr(label, "value", f"v={change.new}"), "value")
ipywidgets.VBox([slider, label])
"""


def test_a_dragged_slider_reaches_the_kernel(jupyter: Browser) -> None:
    notebook = jupyter.open([SLIDER, "print(slider.value)"])
    output = notebook.run(0)
    output.locator(".noUi-handle").wait_for()
    handle = output.locator(".noUi-handle").bounding_box()
    track = output.locator(".noUi-target").bounding_box()
    assert handle is not None
    assert track is not None
    mouse = jupyter.page.mouse
    mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    mouse.down()
    mouse.move(track["x"] + track["width"] / 2, track["y"] + track["height"] / 2, steps=8)
    mouse.up()
    output.locator(".widget-label", has_text="v=5").wait_for()
    assert 45 <= int(notebook.text(1)) <= 55
    screenshot(jupyter.page, f"harness-{jupyter.server.app}")


def test_a_failing_cell_is_reported_with_its_traceback(lab: Browser) -> None:
    notebook = lab.open(["1 / 0"])
    with pytest.raises(CellError, match="ZeroDivisionError"):
        notebook.run(0)


def test_an_error_of_the_page_is_collected(lab: Browser) -> None:
    lab.page.evaluate("setTimeout(() => { throw new Error('from the page') }, 0)")
    lab.page.wait_for_timeout(100)
    assert lab.take_errors() == ["from the page"]
