"""The Fit panel in real notebooks: start, watch, work elsewhere meanwhile, cancel, resume, reload."""

import re
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import VIEWPORT
from tests.browser.driver import Browser, Notebook, cancel, screenshot
from tests.browser.test_path_panel import drag_line, painted_line, panel_in, width_of

FEATURES = """
import threading, time
import numpy as np, torch
torch.set_num_threads(1)
import sparse_debug_widgets as sdw
rng = np.random.default_rng(0)
n, p, c = {size}
labels = np.arange(n) % c
centres = rng.normal(size=(c, p)) * (rng.random((c, p)) < 0.2)
values = (centres[labels] + rng.normal(size=(n, p))).clip(0).astype(np.float32)
names = ["<b>bold</b>"] + [f"thing {{j}}" for j in range(1, p)]
features = sdw.DeepFeatures.from_arrays(values, labels, feature_names=names)
"""
SMALL, LARGE = "600, 40, 4", "4000, 400, 10"
SHOW = "panel = sdw.fit_panel(features, checkpoints='{folder}', {options})\npanel"
TRACES = "print(sum(t.name.startswith('sdw-job') for t in threading.enumerate()))"


def fit_panel(output: Locator) -> Locator:
    panel = output.locator("section.sdw-fit").first
    panel.wait_for()
    return panel


def shown(notebook: Notebook, cell: int) -> Locator:
    return fit_panel(notebook.run(cell, timeout=120))


def press(panel: Locator, name: str) -> None:
    panel.get_by_role("button", name=re.compile(name)).first.click()


def solved(panel: Locator) -> int:
    return int(panel.get_attribute("data-solved") or 0)


def wait_for_state(panel: Locator, state: str, timeout: float = 90) -> None:
    expect(panel).to_have_attribute("data-state", state, timeout=1000 * timeout)


def cells(folder: object, size: str, options: str, *more: str) -> list[str]:
    return [FEATURES.format(size=size), SHOW.format(folder=folder, options=options), *more]


def test_a_fit_is_started_watched_and_handed_over(jupyter: Browser, tmp_path: Path) -> None:
    notebook = jupyter.open(cells(tmp_path, SMALL, "n_lambdas=12, eps=0.05, solver='working_set'"))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    expect(panel.locator(".sdw-needs")).to_contain_text("by estimate")
    press(panel, "Start a fit")
    wait_for_state(panel, "done")
    expect(panel).to_have_attribute("data-solved", "12")
    expect(panel.locator(".sdw-tile", has_text="certificates")).to_contain_text("12 certified")
    assert panel.locator("b", has_text="bold").count() == 0
    panel.get_by_role("button", name="Show the finished path").click()
    path = panel.locator("section.sdw-path[data-idx]")
    path.wait_for(timeout=20_000)
    screenshot(panel, f"fit-{jupyter.server.app}")
    expect(panel.get_by_role("alert")).to_have_count(0)


BUSY = "time.sleep(6); print('slept')"
LONG = "n_lambdas=1000, eps=0.001, tol=1e-6, solver='saga'"


def test_a_fit_is_cancelled_while_another_cell_runs_and_resumed(
    jupyter: Browser, tmp_path: Path, measured: list[str]
) -> None:
    notebook = jupyter.open(cells(tmp_path, SMALL, LONG, BUSY, TRACES))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    press(panel, "Start a fit")
    wait_for_state(panel, "running")
    expect(panel).to_have_attribute("data-solved", re.compile(r"\d\d"), timeout=60_000)
    notebook.start(2)
    before = solved(panel)
    jupyter.page.wait_for_timeout(1500)
    assert solved(panel) > before  # it grows in the picture while another cell runs
    measured.append(f"cancel while a cell runs: {cancel(panel):.0f} ms ({jupyter.server.app})")
    assert panel.get_attribute("data-state") == "cancelled"
    assert "slept" not in notebook.out(2).inner_text()
    notebook.wait(2)
    assert notebook.text(3) == "0"
    kept = solved(panel)
    half = [*sorted(tmp_path.rglob("lambda-*.safetensors"))][: kept // 2]
    written = [file.stat().st_mtime_ns for file in half]
    assert len(half) > 4
    resume = panel.get_by_role("button", name="Start a fit")
    expect(resume).to_contain_text("Resume after", timeout=15_000)
    resume.click()
    wait_for_state(panel, "running")
    expect(panel).to_have_attribute("data-run", "2")
    expect(panel.locator(".sdw-growth canvas")).to_be_visible()
    # What is kept is read from the files, one strength after the other; nothing of it is solved again.
    there = "([panel, kept]) => Number(panel.dataset.solved) >= kept"
    jupyter.page.wait_for_function(there, arg=[panel.element_handle(), kept], timeout=20_000)
    assert [file.stat().st_mtime_ns for file in half] == written
    cancel(panel)
    screenshot(panel, f"fit-cancelled-{jupyter.server.app}")


def test_fields_say_what_is_wrong_as_they_are_typed(lab: Browser, tmp_path: Path) -> None:
    notebook = lab.open(cells(tmp_path, SMALL, "n_lambdas=12"))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    start = panel.get_by_role("button", name="Start a fit")
    expect(start).to_be_enabled()
    for name, text, said in (
        ("alpha", "1.5", "at most 1"),
        ("n_lambdas", "2.5", "whole number"),
        ("eps", "0", "above 0"),
        ("tol", "abc", "Needs a number"),
    ):
        field = panel.locator(f"[name={name}]")
        good = field.input_value()
        field.fill(text)
        entry = panel.locator(".sdw-entry", has=lab.page.locator(f"[name={name}]"))
        wrong = entry.locator(".sdw-entry-wrong")
        expect(wrong).to_contain_text(said)
        expect(start).to_be_disabled()
        field.fill(good)
        expect(wrong).to_be_empty()
    panel.locator("[name=family]").select_option("binomial")
    expect(panel.locator(".sdw-entry-wrong", has_text="more than two classes")).to_be_visible()
    expect(start).to_be_disabled()


def test_a_reloaded_page_finds_the_fit_again(jupyter: Browser, tmp_path: Path) -> None:
    notebook = jupyter.open(cells(tmp_path, LARGE, LONG))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    press(panel, "Start a fit")
    expect(panel).to_have_attribute("data-solved", re.compile(r"\d+"), timeout=60_000)
    before = solved(panel)
    notebook.save()
    jupyter.reload(notebook)
    panel = fit_panel(notebook.out(1))
    wait_for_state(panel, "running")
    expect(panel).to_have_attribute("data-solved", re.compile(r"\d+"), timeout=20_000)
    jupyter.page.wait_for_timeout(1000)
    assert solved(panel) > before
    cancel(panel)


def test_a_notebook_closed_and_opened_again_finds_the_fit_and_its_history(
    jupyter: Browser, tmp_path: Path
) -> None:
    notebook = jupyter.open(cells(tmp_path, SMALL, LONG))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    press(panel, "Start a fit")
    expect(panel).to_have_attribute("data-solved", re.compile(r"\d+"), timeout=60_000)
    before = solved(panel)
    notebook.save()
    jupyter.reopen(notebook)
    panel = shown(notebook, 1)
    wait_for_state(panel, "running")
    expect(panel).to_have_attribute("data-solved", re.compile(r"\d+"))
    assert solved(panel) >= before
    assert panel.locator("tr[data-run='1']").count() == 1
    cancel(panel)


def test_two_panels_follow_one_fit_and_either_cancels_it(jupyter: Browser, tmp_path: Path) -> None:
    again = (
        SHOW.format(folder=tmp_path, options=LONG).replace("panel", "other", 1).replace("\npanel", "\nother")
    )
    notebook = jupyter.open(cells(tmp_path, LARGE, LONG, again, "print(panel.job['id'], other.job['id'])"))
    notebook.run(0, timeout=120)
    first = shown(notebook, 1)
    press(first, "Start a fit")
    expect(first).to_have_attribute("data-solved", re.compile(r"\d+"), timeout=60_000)
    second = shown(notebook, 2)
    wait_for_state(second, "running")
    expect(second).to_have_attribute("data-solved", re.compile(r"\d+"), timeout=20_000)
    before = solved(first), solved(second)
    jupyter.page.wait_for_timeout(1500)
    assert solved(first) > before[0]
    assert solved(second) > before[1]
    assert len(set(notebook.text(3).split())) == 1
    cancel(second)
    wait_for_state(first, "cancelled", timeout=5)
    for panel in (first, second):
        expect(panel.get_by_role("button", name="Start a fit")).to_contain_text(
            "Resume after", timeout=15_000
        )
        expect(panel.get_by_role("alert")).to_have_count(0)
    assert solved(first) == solved(second)


def test_a_path_is_dragged_elsewhere_while_a_fit_runs(jupyter: Browser, tmp_path: Path) -> None:
    path = "path = sdw.elastic_net_path(features, n_lambdas=30, eps=0.05)\nsdw.panel(path)"
    notebook = jupyter.open(cells(tmp_path, LARGE, LONG, path))
    notebook.run(0, timeout=120)
    dragged = panel_in(notebook.run(2, timeout=120))
    panel = shown(notebook, 1)
    press(panel, "Start a fit")
    expect(panel).to_have_attribute("data-solved", re.compile(r"\d+"), timeout=60_000)
    before = solved(panel)
    for share in (0.8, 0.3):
        mouse_x = drag_line(dragged, share)
        assert abs(painted_line(dragged) - mouse_x) <= width_of(dragged) / 30
    jupyter.page.wait_for_timeout(1000)
    assert solved(panel) > before
    assert panel.get_attribute("data-state") == "running"
    cancel(panel)


def test_every_width_and_both_themes_are_fit_to_look_at(lab: Browser, tmp_path: Path) -> None:
    notebook = lab.open(cells(tmp_path, SMALL, "n_lambdas=40, eps=0.02"))
    notebook.run(0, timeout=120)
    panel = shown(notebook, 1)
    for alpha in ("0.99", "0.5", "0.9"):
        panel.locator("[name=alpha]").fill(alpha)
        press(panel, "Start a fit")
        expect(panel.locator("tr[data-state=done]")).to_have_count(1 + ("0.99", "0.5", "0.9").index(alpha))
        panel.get_by_role("button", name="Keep for comparison").first.click()
    try:
        for theme, width in (("JupyterLab Light", 1280), ("JupyterLab Dark", 1280), ("JupyterLab Dark", 700)):
            lab.page.set_viewport_size({"width": width, "height": 1600})
            lab.set_theme(theme)
            expect(panel).to_have_attribute("data-theme", "dark" if "Dark" in theme else "light")
            lab.page.wait_for_timeout(900)
            overflow = panel.evaluate("(e) => e.scrollWidth - e.clientWidth")
            assert overflow <= 0
            screenshot(panel, f"fit-{theme.split()[1].lower()}-{width}")
    finally:
        lab.set_theme("JupyterLab Light")
        lab.page.set_viewport_size(VIEWPORT)
