"""The Saliency panel in a real browser, without Jupyter: what is painted, scrubbed, chosen, downloaded."""

import csv
import io

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from sparse_debug_widgets import load_demo, saliency_panel
from sparse_debug_widgets.core import jobs
from tests.saliency.models import TextModel, images, small_cnn

pytestmark = pytest.mark.browser

PIXELS = "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
QUICK = {"sweep": "", "methods": ("gradient",), "fallback": "none"}


@pytest.fixture(scope="module")
def digits():
    return load_demo("digits")


@pytest.fixture
def opened(show):
    def open_panel(panel, **options):
        page = show(panel, **options)
        page.until(lambda: panel.job.get("state") in {"done", "failed", "cancelled", None})
        page.page.wait_for_timeout(150)
        page.frames()
        return page

    return open_panel


def pixels(page, selector):
    flat = page.root.locator(selector).first.evaluate(PIXELS)
    return np.array(flat).reshape(-1, 4)[:, :3]


def test_maps_and_sweep_are_painted(opened, digits):
    page = opened(saliency_panel(digits.model, digits.test, fallback="none"))
    assert page.data("maps") == "3"
    assert page.data("swept") == "1"
    figures = page.root.locator(".sdw-maps figure")
    assert figures.locator("b").all_inner_texts() == ["picture", "gradient", "cafo", "caso"]
    # The picture in its own colours, maps in others.
    grey = pixels(page, ".sdw-maps figure canvas")
    assert (grey[:, 0] == grey[:, 2]).all()
    heat = pixels(page, ".sdw-maps figure[data-method=caso] canvas")
    assert (heat[:, 0] != heat[:, 2]).any()


def test_the_painted_map_follows_the_percentile_rule(opened, digits):
    """At a blend of 1 the canvas is the colour map of the capped values, to one step of 256."""
    shown = saliency_panel(digits.model, digits.test, blend=1.0, percentile=90.0, sequential="grey", **QUICK)
    page = opened(shown)
    painted = pixels(page, ".sdw-maps figure[data-method=gradient] canvas")[:, 0]
    expected = shown.attributions["model", "gradient"].display(percentile=90)[0].ravel()
    stops = np.array([0x00, 0x1B, 0x30, 0x47, 0x5E, 0x77, 0xAB, 0xD4, 0xFF])
    table = np.interp(np.rint(255 * expected), np.linspace(0, 255, 9), stops)
    np.testing.assert_allclose(painted, table, atol=2.5)


def test_scrubbing_repaints_without_asking_the_kernel(opened, digits):
    shown = saliency_panel(digits.model, digits.test, fallback="none")
    page = opened(shown)
    slider = page.root.locator(".sdw-sweep .sdw-slider")
    assert page.index() == shown.sweeps["model"].chosen[0]
    assert page.root.locator(".sdw-sweep figcaption").inner_text().endswith("automatic")
    page.rest()
    asked = len(page.messages)
    page.deaf = True
    slider.focus()
    slider.press("Home")
    page.frames()
    assert page.index() == 0
    picture = pixels(page, ".sdw-maps figure canvas")
    # All zero: only the grey picture is seen, darkened.
    zero = pixels(page, ".sdw-sweep figure canvas")
    np.testing.assert_allclose(zero, 0.7 * picture, atol=2)
    seen = []
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft", "PageDown"):
        slider.press(key)
        page.frames()
        seen.append(page.index())
    assert seen[:4] == [1, 2, 23, 22]
    slider.press("End")
    page.frames()
    assert (pixels(page, ".sdw-sweep figure canvas") != zero).any()
    assert len(page.messages) == asked
    # What is written beside it is what the sweep says of that lambda.
    text = page.root.locator(".sdw-sweep figcaption").inner_text()
    share = 100 * shown.sweeps["model"].sparsity[23, 0]
    assert f"{share:.2f} % zero" in text or f"{share:.1f} % zero" in text


def test_the_curves_are_dragged_and_the_automatic_choice_is_one_click_away(opened, digits):
    shown = saliency_panel(digits.model, digits.test, fallback="none")
    page = opened(shown)
    page.root.locator(".sdw-curve").first.scroll_into_view_if_needed()
    page.drag("curve", 0.3, 0.95)
    assert page.index() >= 20
    page.root.get_by_role("button", name="Automatic choice").click()
    page.frames()
    assert page.index() == shown.sweeps["model"].chosen[0]
    page.rest()
    assert shown.index == page.index()


def test_the_display_is_shared_by_all_maps(opened, digits):
    page = opened(saliency_panel(digits.model, digits.test, methods=("gradient", "caso"), fallback="none"))
    canvases = [
        ".sdw-maps figure[data-method=gradient] canvas",
        ".sdw-maps figure[data-method=caso] canvas",
        ".sdw-sweep figure canvas",
    ]
    page.root.locator(".sdw-sweep .sdw-slider").press("End")
    before = [pixels(page, canvas) for canvas in canvases]
    for change in ("values", "diverging", "cap", "blend"):
        if change == "values":
            page.root.get_by_label("Absolute values, or signed ones").select_option("signed")
        elif change == "diverging":
            page.root.get_by_label("Colour map of signed values").select_option("purple-green")
        else:
            control = page.root.locator(f".sdw-range:has-text('{change}') input")
            control.focus()
            for _ in range(12):
                control.press("ArrowLeft")
        page.frames(3)
        after = [pixels(page, canvas) for canvas in canvases]
        for old, new in zip(before, after, strict=True):
            assert (old != new).any(), change
        before = after
    page.rest()
    assert page.panel.display["signed"] is True
    assert page.panel.display["percentile"] < 99


def test_one_scale_makes_maps_comparable(opened, digits):
    robust = load_demo("digits-robust")
    shown = saliency_panel(
        digits.model,
        digits.test,
        compare=robust.model,
        names=("standard", "robust"),
        blend=1.0,
        sequential="grey",
        **QUICK,
    )
    page = opened(shown)
    canvas = ".sdw-maps figure[data-model={}] canvas"
    sizes = {
        name: np.abs(shown.attributions[name, "gradient"].values).max() for name in ("standard", "robust")
    }
    weaker = min(sizes, key=sizes.get)
    before = pixels(page, canvas.format(weaker)).max()
    page.root.get_by_label("One scale for all maps").check()
    page.frames(3)
    assert pixels(page, canvas.format(weaker)).max() < before


def test_choosing_classes_and_methods_computes_them(opened, digits):
    page = opened(saliency_panel(digits.model, digits.test, **QUICK))
    page.root.get_by_label("Another class").select_option("7")
    page.until(lambda: len(page.panel.maps["value"]["rows"]) == 2 and page.panel.job["state"] == "done")
    page.root.get_by_role("button", name="integrated gradients", exact=True).click()
    page.until(lambda: page.panel.maps["value"]["methods"] == ["gradient", "integrated_gradients"])
    page.page.wait_for_timeout(150)
    titles = page.root.locator(".sdw-maps-head b").all_inner_texts()
    assert titles == ["gradient", "integrated gradients"]
    page.root.get_by_label("What stands side by side").select_option("methods")
    page.frames(3)
    assert len(page.root.locator(".sdw-maps-row").all()) == 2
    assert page.root.locator(".sdw-maps-head b").all_inner_texts()[1] == "7"


def test_settings_are_checked_as_they_are_typed(opened, digits):
    page = opened(saliency_panel(digits.model, digits.test, **{**QUICK, "methods": ("smoothgrad",)}))
    page.root.locator("summary", has_text="Settings").click()
    field = page.root.get_by_label("n samples")
    field.fill("0")
    expect(page.root.locator(".sdw-entry-wrong", has_text="at least 1")).to_be_visible()
    expect(page.root.get_by_role("button", name="Compute:")).to_be_disabled()
    field.fill("3")
    found = page.panel.attributions["model", "smoothgrad"]
    page.until(lambda: page.panel.attributions.get(("model", "smoothgrad")) not in (None, found))
    assert page.panel.attributions["model", "smoothgrad"].provenance.params["n_samples"] == 3


def test_another_example_is_chosen_in_the_gallery(opened, digits):
    page = opened(saliency_panel(digits.model, digits.test, **QUICK))
    item = page.root.locator(".sdw-gallery-item").nth(3)
    row = int(item.get_attribute("data-row"))
    item.click()
    page.until(lambda: page.panel.example == row and page.panel.maps["value"]["example"] == row)
    page.page.wait_for_timeout(150)
    page.frames(3)
    assert page.root.locator(".sdw-former").count() == 0
    expect(page.root.locator(".sdw-gallery-item[aria-selected=true]")).to_have_attribute("data-row", str(row))


def test_cancel_stops_the_run(opened, show):
    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = small_cnn()

        def forward(self, x):
            import time

            time.sleep(0.02)
            return self.model(x)

    shown = saliency_panel(Slow(), images(2), chunk_size=1, **QUICK)
    page = opened(shown)
    page.root.get_by_role("button", name="smooth caso", exact=True).click()
    page.until(lambda: shown.job["state"] == "running")
    page.page.wait_for_timeout(100)
    page.root.get_by_role("button", name="Cancel: Stop").click()
    page.until(lambda: shown.job["state"] == "cancelled")
    expect(page.root.locator(".sdw-doing-state")).to_have_text("Cancelled")
    assert jobs.queue.get(shown.job["id"]).state == "cancelled"
    assert ("model", "gradient") in shown.attributions


def test_files(opened, digits, tmp_path):
    shown = saliency_panel(digits.model, digits.test, methods=("gradient", "caso"), fallback="none")
    page = opened(shown)
    with page.page.expect_download() as held:
        page.root.get_by_role("button", name="PNG:").click()
    assert held.value.suggested_filename.startswith("saliency-example-")
    assert held.value.suggested_filename.endswith("-gradient-caso.png")
    held.value.save_as(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").read_bytes()[:4] == b"\x89PNG"
    with page.page.expect_download() as held:
        page.root.get_by_role("button", name="CSV:").click()
    held.value.save_as(tmp_path / "maps.csv")
    lines = list(csv.reader(io.StringIO((tmp_path / "maps.csv").read_text("utf-8-sig"))))
    values = np.array([float(line[3]) for line in lines[1:65]])
    expected = shown.attributions["model", "gradient"].values.ravel()
    np.testing.assert_allclose(values, expected, atol=1e-3 * np.abs(expected).max())
    assert any(line[:3] == ["model", "target", "ratio"] for line in lines)
    with page.page.expect_download() as held:
        page.root.get_by_role("button", name="HTML:").click()
    held.value.save_as(tmp_path / "maps.html")
    assert "saliencyPanel" in (tmp_path / "maps.html").read_text("utf-8")


def test_a_saved_page_scrubs_without_a_kernel(chromium, digits, tmp_path):
    shown = saliency_panel(digits.model, digits.test, fallback="none")
    jobs.queue.get(shown.job["id"]).result(60)
    while shown.job["state"] != "done":
        pass
    file = shown.to_html(tmp_path / "page.html")
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('.sdw-saliency')?.dataset.swept === '1'")
    root = page.locator(".sdw-saliency")
    first = root.locator(".sdw-sweep figure canvas").evaluate(PIXELS)
    root.locator(".sdw-sweep .sdw-slider").press("End")
    page.wait_for_function("document.querySelector('.sdw-saliency').dataset.idx === '23'")
    assert root.locator(".sdw-sweep figure canvas").evaluate(PIXELS) != first
    assert not root.locator(".sdw-chooser").is_visible()
    assert root.get_by_role("button", name="PNG:").is_visible()
    assert root.get_by_role("button", name="HTML:").count() == 0
    assert errors == []
    page.close()


def test_text_is_coloured_word_by_word(opened):
    words = [f"word{i}" for i in range(19)] + ["<b>bold</b>"]
    ids = torch.tensor([[19, 3, 4, 5], [1, 2, 3, 4]])
    shown = saliency_panel(TextModel(), {"input_ids": ids}, words=words, fallback="none", example=0)
    page = opened(shown, color_scheme="dark")
    spans = page.root.locator(".sdw-maps figure[data-method=caso] .sdw-word")
    assert spans.all_inner_texts() == ["<b>bold</b>", "word3", "word4", "word5"]
    colours = {span.evaluate("(e) => e.style.background") for span in spans.all()}
    assert len(colours) > 1
    before = page.root.locator(".sdw-sweep .sdw-word").nth(1).evaluate("(e) => e.style.background")
    page.root.locator(".sdw-sweep .sdw-slider").press("End")
    page.frames(3)
    after = [s.evaluate("(e) => e.style.background") for s in page.root.locator(".sdw-sweep .sdw-word").all()]
    assert any(colour != before for colour in after)
    # One sentence a line, from the left: the panel's root says that it is read.
    items = [item.bounding_box() for item in page.root.locator(".sdw-gallery-item").all()]
    captions = [caption.bounding_box() for caption in page.root.locator(".sdw-gallery-caption").all()]
    assert len({box["x"] for box in items}) == len({box["x"] for box in captions}) == 1


def test_every_control_has_a_name_and_keeps_its_keys(opened, digits):
    page = opened(saliency_panel(digits.model, digits.test, fallback="none"))
    odd = page.root.evaluate(
        """(root) => [...root.querySelectorAll('button, input, select, summary, [tabindex]')].filter((e) => {
          const named = e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length;
          return !named || e.dataset.lmSuppressShortcuts !== 'true'; }).map((e) => e.className)"""
    )
    assert odd == []
    unnamed = page.root.locator("canvas:not([aria-hidden]):not([aria-label])")
    assert [c.get_attribute("class") for c in unnamed.all()] in ([], ["sdw-moving", "sdw-moving"])


@pytest.mark.parametrize("width", [360, 600, 1100])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_panel(opened, digits, width, scheme):
    shown = saliency_panel(digits.model, digits.test, classes=(-1, 3), fallback="none")
    page = opened(shown, width=width, color_scheme=scheme)
    page.root.locator("summary", has_text="Settings").click()
    page.frames(3)
    assert page.data("theme") == scheme
    wide = page.root.evaluate(
        """(root) => { const edge = root.getBoundingClientRect().right + 0.5;
          const flows = (e) => getComputedStyle(e).position !== 'absolute';
          const out = (e) => e.getBoundingClientRect().right > edge && flows(e);
          return [...root.querySelectorAll('*')].filter(out).map((e) => e.className || e.tagName); }"""
    )
    assert wide == []


def test_a_failed_run_is_explained_in_the_panel(opened):
    page = opened(saliency_panel(small_cnn(), images(2), **{**QUICK, "classes": (7,)}))
    error = page.root.locator(".sdw-error")
    expect(error).to_contain_text("it must be in 0 ... 3; got 7")
    expect(error).to_contain_text("The model is as it was")
    assert not page.root.locator(".sdw-shown").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signed_maps_say_for_and_against_in_the_colours_of_the_package(opened, digits, scheme):
    shown = saliency_panel(digits.model, digits.test, signed=True, classes=(3,), **QUICK)
    page = opened(shown, color_scheme=scheme)
    legend = page.root.locator(".sdw-legend")
    assert legend.inner_text().split("\n") == ["against the class", "for the class"]
    bar = pixels(page, ".sdw-colourbar").astype(float)
    # Blue on the left, orange on the right.
    assert bar[0, 2] > bar[0, 0]
    assert bar[-1, 0] > bar[-1, 2]
    assert all(
        "class class" not in (b.get_attribute("title") or "") for b in page.root.locator("button").all()
    )
