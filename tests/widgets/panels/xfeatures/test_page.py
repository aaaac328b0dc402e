"""The x-feature panel in a real browser, without Jupyter: toggled, hovered, compared, named, downloaded."""

import csv
import dataclasses
import io
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from sparse_debug_widgets import load_demo, x_features_panel
from sparse_debug_widgets.widgets.panels.xfeatures.panel import XFeaturesPanel
from tests.widgets.fakes import fake_xfeatures

pytestmark = pytest.mark.browser

PIXELS = "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def opened(show):
    def open_panel(found=None, *, width=1100, color_scheme="light", **options):
        shown = XFeaturesPanel(found or fake_xfeatures(), fallback="none", **options)
        return show(shown, width=width, color_scheme=color_scheme)

    return open_panel


def pixels(page, row, which="canvas"):
    page.frames(3)
    flat = page.root.locator(f".sdw-xf-card[data-row='{row}'] {which}").first.evaluate(PIXELS)
    return np.array(flat).reshape(-1, 4)[:, :3]


def said(page, row):
    page.frames(3)
    return (
        page.root.locator(f".sdw-xf-card[data-row='{row}'] .sdw-xf-value").inner_text().replace("\u2212", "-")
    )


def test_maps_are_toggled_on_all_pictures_or_one_without_the_kernel(opened):
    found = fake_xfeatures()
    page = opened(found, blend=1.0, percentile=100.0, sequential="grey")
    page.deaf = True
    expected = np.rint(found.images[2] * 255).reshape(3, -1).T
    np.testing.assert_allclose(pixels(page, 2), expected, atol=1)
    page.root.get_by_role("button", name="H2 on all pictures").click()
    # At a blend of 1 the canvas is the colour map of the map itself.
    heat = found.maps[2, 1].ravel() / found.maps[2, 1].max()
    stops = [0x00, 0x1B, 0x30, 0x47, 0x5E, 0x77, 0xAB, 0xD4, 0xFF]
    table = np.interp(np.rint(255 * heat), np.linspace(0, 255, 9), stops)
    np.testing.assert_allclose(pixels(page, 2)[:, 0], table, atol=4)
    worth = found.contributions[:, 1]
    for row in range(len(worth)):
        assert float(said(page, row)) == pytest.approx(worth[row], rel=6e-3)
        side = page.root.locator(f".sdw-xf-card[data-row='{row}'] .sdw-xf-value").get_attribute("data-side")
        assert side == ("up" if worth[row] > 0 else "down" if worth[row] < 0 else "none")
    # One picture shows another map, and the others stay as they are.
    others = pixels(page, 3)
    page.root.locator(".sdw-xf-card[data-row='2'] .sdw-xf-chip").nth(3).click()
    page.page.mouse.move(0, 0)
    assert float(said(page, 2)) == pytest.approx(found.contributions[2, 3], rel=6e-3)
    assert (pixels(page, 3) == others).all()
    # A second click on the switch shows the pictures again, also where something of its own was on.
    page.root.get_by_role("button", name="H2 on all pictures").click()
    np.testing.assert_allclose(pixels(page, 2), expected, atol=1)
    assert not page.messages


def test_several_at_once_have_colours_of_their_own(opened):
    found = fake_xfeatures()
    page = opened(found, blend=0.9)
    toggle = page.root.get_by_role("button", name="H1 on all pictures")
    toggle.click()
    one = pixels(page, 0)
    page.root.get_by_role("button", name="H3 on all pictures").click(modifiers=["Shift"])
    both = pixels(page, 0)
    assert (one != both).any()
    assert said(page, 0).startswith("\u03a3")
    assert float(said(page, 0)[2:]) == pytest.approx(found.contributions[0, [0, 2]].sum(), rel=6e-3)
    assert page.panel.shown == [0, 2]
    # Which came first does not matter.
    page.root.get_by_label("Switch maps on beside each other").check()
    page.root.get_by_role("button", name="Pictures:").click()
    for name in ("H3", "H1"):
        page.root.get_by_role("button", name=f"{name} on all pictures").click()
    assert (pixels(page, 0) == both).all()


def test_hovering_compares_and_leaves_nothing_behind(opened):
    found = fake_xfeatures()
    page = opened(found, shown=(0,))
    covered, plain = pixels(page, 4), np.rint(found.images[4] * 255).reshape(3, -1).T
    page.root.locator(".sdw-xf-card[data-row='4'] .sdw-xf-picture").hover()
    np.testing.assert_allclose(pixels(page, 4), plain, atol=1)
    page.root.locator(".sdw-xf-card[data-row='4'] .sdw-xf-chip").nth(2).hover()
    assert float(said(page, 4)) == pytest.approx(found.contributions[4, 2], rel=6e-3)
    page.page.mouse.move(0, 0)
    assert (pixels(page, 4) == covered).all()
    # Where no map is on, hovering shows that of the x-feature that matters most there.
    page.root.get_by_role("button", name="Pictures:").click()
    page.root.locator(".sdw-xf-card[data-row='4'] .sdw-xf-picture").hover()
    worth = found.contributions[4]
    assert float(said(page, 4)) == pytest.approx(worth[np.abs(worth).argmax()], rel=6e-3)


def test_selected_pictures_stand_in_one_table_sorted_by_contribution(opened):
    found = fake_xfeatures()
    page = opened(found)
    table = page.root.locator(".sdw-xf-table")
    for row in (6, 1, 4):
        page.root.locator(f".sdw-xf-card[data-row='{row}'] .sdw-xf-picture").click()
    rows = table.locator("tbody tr")

    def order():
        return [int(r.get_attribute("data-row")) for r in rows.all()]

    assert order() == [1, 4, 6]
    assert table.locator("tbody canvas").count() == 3 * (2 + found.n)
    table.get_by_role("button", name="H3", exact=True).click()
    page.frames(3)
    chosen = [1, 4, 6]
    assert order() == sorted(chosen, key=lambda row: -found.contributions[row, 2])
    table.get_by_role("button", name="H3 \u2193").click()
    page.frames(3)
    assert order() == sorted(chosen, key=lambda row: found.contributions[row, 2])
    expect(table.locator("th[aria-sort=ascending]")).to_have_count(1)
    table.get_by_role("button", name="Maps of H2 in the table").click()
    page.frames(3)
    assert table.locator("tbody canvas").count() == 3 * (1 + found.n)
    assert page.panel.hidden == [1]
    page.root.get_by_label("Order of the columns").select_option("contribution")
    page.frames(3)
    heads = [text.split()[0] for text in table.locator(".sdw-xf-sort").all_inner_texts()[:-1]]
    worth = found.contributions[chosen].sum(0)
    assert heads == [f"H{h + 1}" for h in np.argsort(-worth)]
    page.root.get_by_role("button", name="Clear:").click()
    page.frames(3)
    assert not page.root.locator(".sdw-xf-compared").is_visible()
    assert page.panel.selected == []


def test_a_name_is_typed_kept_and_never_run(opened):
    page = opened(selected=(0,))
    field = page.root.get_by_label("Name of the concept H2")
    field.fill(f" {HOSTILE} ")
    field.press("Enter")
    page.frames(3)
    assert page.panel.result.names[1] == HOSTILE
    assert page.page.evaluate("document.querySelectorAll('.sdw img').length") == 0
    expect(page.root.locator(".sdw-xf-table .sdw-xf-sort").nth(1)).to_contain_text("H2 <img src=x")
    page.panel.rename(0, "left arc")
    page.pump()
    expect(page.root.get_by_label("Name of the concept H1")).to_have_value("left arc")
    field.fill("left arc")
    field.press("Enter")
    expect(page.root.get_by_role("alert")).to_contain_text("H1 has this name")
    expect(field).to_have_value(re.compile("^<img"))
    field.fill("")
    field.press("Enter")
    page.frames(3)
    assert page.panel.result.names[:2] == ("left arc", "H2")


def test_a_live_model_is_explained_from_the_page(show):
    demo = load_demo("digits")
    page = show(x_features_panel(demo.model, demo.train, fallback="none", gallery=8))
    page.root.get_by_label("Class to explain").select_option("5")
    page.root.locator("select[name='method']").select_option("lasso")
    page.root.locator("input[name=n]").fill("0")
    expect(page.root.locator(".sdw-entry-wrong", has_text="at least 1")).to_be_visible()
    expect(page.root.get_by_role("button", name="Compute:")).to_be_disabled()
    page.root.locator("input[name=n]").fill("3")
    page.root.get_by_role("button", name="Compute:").click()
    page.until(lambda: page.panel.job.get("state") == "done")
    expect(page.root).to_have_attribute("data-pictures", "8")
    assert page.panel.result.class_index == 5
    # Another class, and back to the first: its name is still there.
    page.root.get_by_label("Name of the concept H1").fill("belly")
    page.root.get_by_label("Name of the concept H1").press("Enter")
    page.root.get_by_label("Class to explain").select_option("2")
    page.root.get_by_role("button", name="Compute:").click()
    page.until(lambda: (page.panel.job.get("run"), page.panel.job.get("state")) == (2, "done"))
    expect(page.root.locator(".sdw-about")).to_contain_text("class 2")
    expect(page.root.get_by_label("Name of the concept H1")).to_have_value("")
    page.root.get_by_label("What is shown", exact=True).select_option("1")
    expect(page.root.get_by_label("Name of the concept H1")).to_have_value("belly")
    page.root.get_by_role("button", name="Copy as code").click()
    expect(page.root.locator(".sdw-code")).to_contain_text(
        "sdw.x_features(model, data, 2, method='lasso', n=3"
    )


def test_keys_do_what_the_mouse_does(opened):
    found = fake_xfeatures()
    page = opened(found)
    first = page.root.locator(".sdw-xf-picture").first
    first.focus()
    keyboard = page.page.keyboard
    keyboard.press("ArrowRight")
    keyboard.press("2")
    assert float(said(page, 1)) == pytest.approx(found.contributions[1, 1], rel=6e-3)
    keyboard.press("Shift+Digit4")
    assert float(said(page, 1)) == pytest.approx(found.contributions[1, 3], rel=6e-3)
    assert float(said(page, 0)) == pytest.approx(found.contributions[0, 1], rel=6e-3)
    keyboard.press("0")
    assert said(page, 1) == "1-heatmap"
    covered = pixels(page, 1)
    keyboard.down("c")
    assert (pixels(page, 1) != covered).any()
    keyboard.up("c")
    assert (pixels(page, 1) == covered).all()
    keyboard.press("Enter")
    keyboard.press("End")
    keyboard.press("Space")
    page.frames(3)
    assert page.panel.selected == [1, 11]
    keyboard.press("3")
    keyboard.press("s")
    page.frames(3)
    best = int(found.contributions[:, 2].argmax())
    assert page.root.locator(".sdw-xf-card").first.get_attribute("data-row") == str(best)
    keyboard.press("n")
    expect(page.root.get_by_label("Name of the concept H3")).to_be_focused()
    keyboard.type("3 arcs")
    keyboard.press("Enter")
    page.frames(3)
    assert page.panel.result.names[2] == "3 arcs"
    first.focus()
    keyboard.press("Escape")
    page.frames(3)
    assert page.panel.shown == []


def test_the_display_is_shared_by_all_maps(opened):
    page = opened(fake_xfeatures(map_side=7), shown=(0,), selected=(0,))
    before = pixels(page, 0)
    changes = {
        "Colour map": "viridis",
        "The picture under a map": "colour",
        "What a map is scaled by": "picture",
    }
    for label, value in changes.items():
        page.root.get_by_label(label, exact=True).select_option(value)
        after = pixels(page, 0)
        assert (after != before).any(), label
        before = after
    page.root.get_by_label("What stands above a map").select_option("share")
    assert said(page, 0).endswith("%")
    page.root.get_by_label("The 1-heatmap beside every picture").check()
    assert len(pixels(page, 0, "canvas:nth-child(2)")) == len(before)
    page.root.get_by_label("How much of a map lies over the picture").press("Home")
    assert (pixels(page, 0) != before).any()
    page.rest()
    assert page.panel.display["blend"] == 0
    assert page.panel.display["sequential"] == "viridis"


def test_files(opened, tmp_path):
    found = fake_xfeatures().renamed(0, "=SUM(1)")
    page = opened(found, selected=(2, 5))
    for kind, beginning in (
        ("PNG", b"\x89PNG"),
        ("HTML", b"<!doctype html>"),
        ("CSV", b"\xef\xbb\xbfpicture"),
    ):
        with page.page.expect_download() as held:
            page.root.get_by_role("button", name=f"{kind}:").click()
        assert held.value.suggested_filename == f"x-features-ring.{kind.lower()}"
        held.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(beginning)
    lines = list(csv.reader(io.StringIO((tmp_path / "CSV").read_text("utf-8-sig"))))
    assert lines[0][7] == "contribution H1 =SUM(1)"
    numbers = np.array([[float(field) for field in line[7 : 7 + found.n]] for line in lines[1:]])
    np.testing.assert_allclose(numbers, found.contributions, rtol=1e-5, atol=1e-6)
    assert [line[3] for line in lines[1:]].count("1") == 2


def test_a_saved_page_toggles_selects_and_names_without_a_kernel(chromium, tmp_path):
    shown = XFeaturesPanel(fake_xfeatures(60, 7).renamed(0, "left arc"), fallback="none")
    page = chromium.new_page(color_scheme="dark")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(shown.to_html(tmp_path / "page.html").as_uri())
    root = page.locator("section.sdw-xfeatures[data-ready]")
    root.wait_for()
    root.get_by_role("button", name="H3 on all pictures").click()
    root.locator(".sdw-xf-picture").nth(2).click()
    expect(root).to_have_attribute("data-shown", "2")
    expect(root).to_have_attribute("data-selected", "1")
    expect(root.get_by_label("Name of the concept H1")).to_have_value("left arc")
    root.get_by_label("Name of the concept H2").fill("gap")
    root.get_by_label("Name of the concept H2").press("Enter")
    expect(root.locator(".sdw-xf-sort").nth(1)).to_have_text("H2 gap")
    assert root.get_by_role("button", name="PNG:").is_visible()
    assert root.get_by_role("button", name="HTML:").count() == 0
    assert not root.locator(".sdw-xf-form").is_visible()
    assert errors == []
    page.close()


def test_no_frame_paints_more_than_its_share(opened):
    """Toggling goes on over several frames where there is much to paint, and ends with everything painted."""
    found = fake_xfeatures(60, 3, side=96)
    page = opened(found)
    frames = page.page.evaluate(
        """() => new Promise((done) => {
          const work = [], plain = window.requestAnimationFrame.bind(window);
          window.requestAnimationFrame = (f) => plain((now) => {
            const began = performance.now(); f(now); work.push(performance.now() - began); });
          document.querySelectorAll('.sdw-xf-toggle')[1].click();
          const { dataset } = document.querySelector('section');
          const look = () => (dataset.shown === '0' ? done(work.length) : plain(look));
          plain(look);
        })"""
    )
    assert frames > 1
    for row in (0, 59):
        assert float(said(page, row)) == pytest.approx(found.contributions[row, 0], rel=6e-3)


def test_every_control_has_a_name_and_keeps_its_keys(opened):
    page = opened(selected=(1, 2))
    page.rest()
    odd = page.root.evaluate(
        """(root) => [...root.querySelectorAll('button, input, select, summary, [tabindex]')].filter((e) => {
          const named = e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length;
          return !named || e.dataset.lmSuppressShortcuts !== 'true'; }).map((e) => e.className)"""
    )
    assert odd == []
    assert page.root.locator("canvas:not([aria-hidden]):not([aria-label])").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (600, "dark"), (1100, "dark")])
def test_nothing_is_wider_than_the_panel(opened, width, scheme):
    found = fake_xfeatures(20, 9).renamed(1, "W" * 200)
    page = opened(found, width=width, color_scheme=scheme, shown=(1,), selected=(1, 2), beside=True)
    page.root.locator("summary", has_text="Keys").click()
    page.frames(3)
    assert page.data("theme") == scheme
    wide = page.root.evaluate(
        """(root) => { const edge = root.getBoundingClientRect().right + 0.5;
          const free = (e) => !e.closest('.sdw-xf-scroll') || e.matches('.sdw-xf-scroll');
          const flows = (e) => getComputedStyle(e).position !== 'absolute';
          const out = (e) => e.getBoundingClientRect().right > edge && flows(e) && free(e);
          return [...root.querySelectorAll('*')].filter(out).map((e) => e.className); }"""
    )
    assert wide == []


def tile(page, label):
    box = page.root.locator(".sdw-tile", has_text=label)
    return box.inner_text(), "sdw-unsure" in (box.get_attribute("class") or "")


@pytest.mark.parametrize(
    ("share", "words", "unsure"), [(0.9, "Faithful", False), (0.0, "Numbers yes, maps no", True)]
)
def test_maps_that_no_mass_reaches_are_not_called_faithful(opened, share, words, unsure):
    found = fake_xfeatures()
    page = opened(dataclasses.replace(found, mass=np.full_like(found.mass, share)))
    text, marked = tile(page, "In short")
    assert words in text
    assert marked == unsure


def test_a_class_without_a_name_is_called_a_class_once(opened):
    page = opened(fake_xfeatures(class_names=("class 0", "class 1")))
    expect(page.root.locator(".sdw-about")).to_contain_text("class 1 ·")
    assert "class class" not in page.root.inner_text()


def test_without_maps_numbers_are_shown_and_the_reason_is_said(opened):
    k, n, sentence = 12, 5, "<b>no</b> مرحبا 中文 mark"
    page = opened(
        fake_xfeatures(
            images=np.zeros((k, 0), np.float32),
            texts=tuple(f"{sentence} {i}" for i in range(k)),
            maps=np.zeros((k, n, 0, 0), np.float32),
            baseline=np.zeros((k, 0, 0), np.float32),
            mass=np.full((k, n), np.nan, np.float32),
            no_maps="they are for pictures, and these examples are sentences",
        ),
        selected=(0, 2),
    )
    expect(page.root.locator(".sdw-xf-card").first).to_contain_text(f"{sentence} 0")
    expect(page.root.locator(".sdw-note").first).to_contain_text("No heat maps: they are for pictures")
    assert not page.root.locator(".sdw-tile", has_text="Mass that arrives").is_visible()
    assert not page.root.get_by_role("button", name="1-heatmap on all pictures").is_visible()
    assert not page.root.get_by_text("blend", exact=True).is_visible()
    # Switching a concept on says what it contributes to each.
    page.root.get_by_role("button", name="H2 on all pictures").click()
    assert said(page, 2)
    assert "NaN" not in page.root.inner_text()
    expect(page.root.locator(".sdw-xf-table th[scope=row]").first).to_contain_text(sentence)
    assert page.root.locator(".sdw-xf-table canvas").count() == 0
    assert not page.page.evaluate("document.querySelector('.sdw-xf-text b, .sdw-xf-text img')")
