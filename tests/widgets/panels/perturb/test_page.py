"""The Perturbation panel in a plain page: run, scrub by keyboard and mouse, compare, save, no kernel."""

import csv
import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import nn

from sparse_debug_widgets.perturbation import error_counterfactuals
from sparse_debug_widgets.widgets import panel, perturb_panel

NAMES = ("<img src=x onerror=alert(1)>", "two", "three")


def net(channels=1, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3)).eval()


def data(channels=1, n=60):
    torch.manual_seed(1)
    x = torch.rand(n, channels, 8, 8)
    y = net(channels)(x).argmax(1)
    y[::4] = (y[::4] + 1) % 3
    return x, y


def made(channels=1, **options):
    settings = {"eps": 6.0, "q": 0.1, "steps": 8, "target": "label", "class_names": NAMES, "fallback": "none"}
    return perturb_panel(net(channels), data(channels), **{**settings, **options})


def run(page, name="Run"):
    before = page.panel.job.get("run", 0)
    page.root.get_by_role("button", name=f"{name}: ").first.click()
    page.until(lambda: page.panel.job.get("run", 0) > before and page.panel.job["state"] == "done")
    page.until(lambda: (page.data("painted") or "").startswith(f"{page.panel.job['run']}:"))


def pixels(locator):
    read = "(c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    return np.array(locator.evaluate(read)).reshape(-1, 4)[:, :3]


def position(page):
    return int(page.data("position"))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_run_and_scrub_without_the_kernel(show, channels):
    page = show(made(channels, compare=net(channels, seed=4), titles=("standard", "robust")))
    run(page)
    assert position(page) == 8
    rows = page.root.locator(".sdw-strip")
    expect(rows).to_have_count(2)
    # A page that has just opened checks its fields once, a moment later: a quick run may end before.
    page.until(lambda: any(m.get("action") == "check" for m in page.messages))
    page.deaf = True
    asked = len([m for m in page.messages if m.get("sdw") == "request"])
    slider = page.root.get_by_role("slider")
    slider.focus()
    for _ in range(3):
        page.page.keyboard.press("ArrowLeft")
    page.frames()
    assert position(page) == 5
    assert "step 5 of 8" in slider.get_attribute("aria-valuetext")
    page.page.keyboard.press("Home")
    page.frames()
    canvases = rows.first.locator("canvas")
    np.testing.assert_array_equal(pixels(canvases.nth(0)), pixels(canvases.nth(2)))
    page.page.keyboard.press("End")
    page.frames()
    assert (pixels(canvases.nth(0)) != pixels(canvases.nth(2))).any()
    assert len([m for m in page.messages if m.get("sdw") == "request"]) == asked


def test_what_is_drawn_is_the_result(show):
    page = show(made())
    run(page)
    (found,) = page.panel.results
    shown = pixels(page.root.locator(".sdw-strip canvas").nth(2))[:, 0]
    wanted = 255 * (found.inputs + found.iterates[:, -1]).ravel().clip(0, 1)
    assert np.abs(shown - wanted).max() <= 3
    signed = pixels(page.root.locator(".sdw-strip canvas").nth(1)).astype(int)
    delta = found.iterates[0, -1].ravel()
    strong = np.abs(delta) > 0.1
    np.testing.assert_array_equal((signed[:, 0] > signed[:, 2])[strong], (delta > 0)[strong])
    target = int(found.target[0])
    bar = page.root.locator(".sdw-bar-target .sdw-bar-share")
    assert f"{100 * found.probabilities[0, -1, target]:.0f}" in bar.inner_text()


def test_charts_are_dragged_and_the_steps_play(show):
    page = show(made())
    run(page)
    chart = page.root.locator(".sdw-steps .sdw-moving").first
    box = chart.bounding_box()
    x = lambda step: box["x"] + 46 + step / 8 * (box["width"] - 56)  # noqa: E731
    page.page.mouse.move(x(2), box["y"] + 40)
    page.page.mouse.down()
    page.frames()
    assert position(page) == 2
    page.page.mouse.move(x(6), box["y"] + 60, steps=4)
    page.page.mouse.up()
    page.frames()
    assert position(page) == 6
    page.root.get_by_role("button", name="Play all steps").click()
    expect(page.root).to_have_attribute("data-position", "8", timeout=8000)


def test_the_gallery_is_chosen_from_by_keyboard(show):
    page = show(made(), width=700)
    first = page.root.locator(".sdw-gallery-item[aria-selected=true]")
    row = int(first.get_attribute("data-row"))
    first.focus()
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Enter")
    page.until(lambda: page.panel.picked["row"] != row)
    assert page.root.locator(".sdw-gallery-item[aria-selected=true]").count() == 1
    page.root.get_by_role("radio", name="All 60").click()
    page.until(lambda: page.panel.gallery["value"]["which"] == "all")
    expect(page.root.locator(".sdw-gallery-place")).to_contain_text("1\u201324 of 60")
    page.root.locator(".sdw-gallery-item").last.focus()
    page.page.keyboard.press("ArrowRight")
    page.until(lambda: page.panel.gallery["value"]["first"] == 24)
    expect(page.root.locator(".sdw-gallery-item").first).to_be_focused()
    assert page.root.locator("img").count() == 0


def test_fields_say_what_is_wrong_and_what_eps_means(show):
    page = show(made())
    height = page.root.locator(".sdw-height")
    expect(height).to_contain_text("7 of 64 values, each by 0.857 of a pixel range of 1")
    page.root.locator("[name=q]").first.fill("0.02")
    expect(height).to_contain_text("every chosen pixel saturates")
    page.root.locator("[name=eps]").fill("-1")
    expect(page.root.get_by_text("Must be above 0.")).to_be_visible()
    expect(page.root.get_by_role("button", name="Run: ")).to_be_disabled()
    page.root.locator("[name=eps]").fill("2")
    page.root.locator("[name=norm]").select_option("l2")
    expect(page.root.locator("[name=q]").first).to_be_disabled()
    expect(page.root.get_by_role("button", name="Run: ")).to_be_enabled()
    page.root.locator("[name=method]").select_option("pgd")
    page.root.get_by_text("More settings").click()
    expect(page.root.locator("[name=random_start]")).to_be_visible()


def test_pinned_runs_are_shown_beside_the_newest(show):
    page = show(made())
    run(page)
    page.root.get_by_role("button", name="Keep for comparison: run 1").click()
    page.root.locator("[name=norm]").select_option("l2")
    page.root.locator("[name=eps]").fill("1.5")
    run(page)
    expect(page.root.locator(".sdw-strip")).to_have_count(2)
    expect(page.root.locator(".sdw-strip").nth(1)).to_contain_text("run 1")
    assert page.requests("film_of") == []  # it has been seen before
    page.root.get_by_role("button", name="Put into the fields the settings of run 1").click()
    expect(page.root.locator("[name=norm]")).to_have_value("l1q")
    page.root.get_by_role("button", name="Take off the list: run 1").click()
    expect(page.root.locator(".sdw-strip")).to_have_count(1)


def test_drawing_a_class(show):
    page = show(made(compare=net(seed=4), titles=("standard", "robust")))
    page.root.get_by_role("radio", name="Draw a class").click()
    page.root.locator("[name=seeds]").fill("2")
    page.root.get_by_label("Class to draw").select_option("1")
    run(page, "Draw")
    expect(page.root.locator(".sdw-concept-row")).to_have_count(4)
    expect(page.root.locator(".sdw-concept-row canvas")).to_have_count(8)
    canvas = page.root.locator(".sdw-concept-row canvas").first
    drawn = pixels(canvas)
    page.root.get_by_role("radio", name="Noise").click()
    page.frames()
    (standard, _) = page.panel.results
    noise = pixels(canvas)
    assert (noise != drawn).any()
    assert np.abs(noise[:, 0] - 255 * standard.starts[0].ravel()).max() <= 1


class Breaks(nn.Module):
    """Fails where it is differentiated, which is not before a run."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        if x.requires_grad:
            raise ValueError("no gradients today")
        return self.net(x)


def test_a_failed_run_keeps_its_reason(show):
    page = show(perturb_panel(Breaks().eval(), data(), eps=6.0, q=0.1, steps=8, fallback="none"))
    page.root.get_by_role("button", name="Run: ").click()
    page.until(lambda: page.panel.job.get("state") == "failed" and page.requests("begin"))
    reason = page.root.locator(".sdw-error")
    expect(reason).to_contain_text("no gradients today")
    page.page.wait_for_timeout(800)  # the reply to the request, the list of runs and their films come later
    expect(reason).to_contain_text("no gradients today")
    page.root.get_by_role("radio", name="All 60").click()
    expect(page.root.locator(".sdw-error")).to_have_count(0)


def test_eps_follows_the_norm(show):
    panel_ = made()
    page = show(panel_)
    eps, radii = page.root.locator("[name=eps]"), panel_.head["radii"]
    page.root.locator("[name=norm]").select_option("l2")
    expect(eps).to_have_value(f"{6 * radii['l2'] / radii['l1q']:.3g}")
    page.root.locator("[name=norm]").select_option("l1q")
    expect(eps).to_have_value("6")
    assert "eps / m" not in page.root.inner_text()


def test_drawings_stay_under_their_tab(show):
    page = show(made())
    run(page)
    page.root.get_by_role("radio", name="Draw a class").click()
    expect(page.root.locator(".sdw-strip").first).to_be_hidden()
    page.root.locator("[name=seeds]").fill("1")
    run(page, "Draw")
    expect(page.root.locator(".sdw-concept-row").first).to_be_visible()
    page.root.get_by_role("radio", name="Perturb a picture").click()
    expect(page.root.locator(".sdw-strip").first).to_be_visible()
    expect(page.root.locator(".sdw-concept-row")).to_have_count(0)
    page.root.get_by_role("radio", name="Draw a class").click()
    expect(page.root.locator(".sdw-concept-row").first).to_be_visible()


def test_a_run_says_all_of_its_settings(show):
    page = show(made(max_support=5, box_mode="clamp"))
    run(page)
    line = page.root.locator("tr[data-run]").first
    expect(line).to_contain_text("most pixels 5, clamp at the pixel range")


def test_a_run_is_looked_at_where_it_is_best(show):
    page = show(made(method="pgd", step_size=1.7, norm="linf", eps=0.6, steps=9))
    run(page)
    (found,) = page.panel.results
    best, target = int(found.best_step[0]), int(found.target[0])
    assert position(page) == best
    expect(page.root.locator(".sdw-step-text")).to_have_text(f"step {best} of 9, the best")
    said = f"{100 * found.confidence_after[0]:.0f}"
    assert said in page.root.locator(".sdw-bar-target .sdw-bar-share").inner_text()
    assert said in page.root.locator("tr[data-run]").first.inner_text()
    page.root.get_by_role("slider").focus()
    page.page.keyboard.press("ArrowLeft" if best == 9 else "End")
    expect(page.root.locator(".sdw-strip-said")).to_contain_text(f"the best is step {best}: {said} %")
    assert target >= 0


def test_what_is_enough_is_shown(show):
    errors = error_counterfactuals(net(), data(), eps=6.0, q=0.1, steps=8, max_errors=5)
    page = show(panel(errors, net(), fallback="none"))
    page.until(lambda: page.data("painted"))
    assert position(page) == 1
    share = errors.share("fix", 0)
    assert share < 1
    expect(page.root.locator(".sdw-step-text")).to_have_text("what is enough")
    fix = page.root.locator(".sdw-strip").nth(1)
    expect(fix).to_contain_text(f"a norm of {errors.fix_effort[0]:.3g} is enough")
    shown = pixels(fix.locator("canvas").nth(2))[:, 0]
    wanted = 255 * (errors.inputs[0] + share * errors.fix_delta[0]).ravel().clip(0, 1)
    assert np.abs(shown - wanted).max() <= 3
    page.root.get_by_role("slider").focus()
    page.page.keyboard.press("End")
    expect(page.root.locator(".sdw-step-text")).to_have_text("all of it")


def test_downloads_hold_what_is_shown(show, tmp_path: Path):
    page = show(made())
    run(page)
    files = {}
    for kind in ("PNG", "CSV", "HTML"):
        with page.page.expect_download() as coming:
            page.root.get_by_role("button", name=f"{kind}: ").click()
        files[kind] = tmp_path / coming.value.suggested_filename
        coming.value.save_as(files[kind])
    table = list(csv.DictReader(io.StringIO(files["CSV"].read_text("utf-8-sig"))))
    (found,) = page.panel.results
    assert [int(line["step"]) for line in table] == list(range(9))
    np.testing.assert_allclose([float(line["loss"]) for line in table], found.losses[0], rtol=1e-5)
    assert [int(line["support"]) for line in table] == found.supports[0].tolist()
    assert files["PNG"].read_bytes().startswith(b"\x89PNG")
    assert "sdw-standalone" in files["HTML"].read_text("utf-8")


@pytest.mark.parametrize("width", [1100, 600, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(show, width, scheme):
    page = show(made(channels=3), width=width, color_scheme=scheme)
    run(page)
    assert page.root.evaluate("(e) => e.scrollWidth - e.clientWidth") <= 0
    assert page.data("theme") == scheme
    for control in page.root.locator("button, select, input").all():
        named = "(c) => Boolean(c.getAttribute('aria-label') || c.labels?.length || c.textContent)"
        assert control.evaluate(named)
        assert control.get_attribute("data-lm-suppress-shortcuts") == "true"


def opened(chromium, path):
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("section.sdw-perturb[data-painted]")
    return page, errors


def test_the_saved_page_still_scrubs(chromium, tmp_path):
    shown = made(compare=net(seed=4), titles=("standard", "robust"))
    shown.start().result(60)
    while shown.job["state"] != "done" or not shown.film:
        time.sleep(0.01)
    page, errors = opened(chromium, shown.to_html(tmp_path / "p.html"))
    root = page.locator("section.sdw-perturb")
    root.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    expect(root).to_have_attribute("data-position", "7")
    expect(root.get_by_role("button", name="Run: ")).to_be_hidden()
    assert root.evaluate("(e) => e.querySelectorAll('script, img').length") == 0
    page.close()
    assert errors == []


def test_the_saved_page_of_errors_lets_choose_among_them(chromium, tmp_path):
    errors = error_counterfactuals(net(), data(), eps=6.0, q=0.1, steps=4, max_errors=5)
    page, failures = opened(chromium, panel(errors, fallback="none").to_html(tmp_path / "e.html"))
    root = page.locator("section.sdw-perturb")
    before = pixels(root.locator(".sdw-strip canvas").first)
    root.locator(".sdw-gallery-item").nth(3).click()
    page.wait_for_timeout(400)
    after = pixels(root.locator(".sdw-strip canvas").first)
    assert (before != after).any()
    assert np.abs(after[:, 0] - 255 * errors.inputs[3].ravel()).max() <= 1
    page.close()
    assert failures == []
