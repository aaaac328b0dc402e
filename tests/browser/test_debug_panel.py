"""The Debug panel in real notebooks: from the call to an error, its feature, a repair, and the Path panel."""

import re
import time

from playwright.sync_api import expect

from tests.browser.driver import Browser, screenshot

SETUP = "import sparse_debug_widgets as sdw\ndemo = sdw.load_demo('{demo}')"
CALL = "panel = sdw.debug(demo.model, demo.train, test=demo.test)\npanel"


def test_sentences_from_one_call_to_a_measured_repair(jupyter: Browser, measured: list[str]) -> None:
    through(jupyter, "tickets", measured)


def test_pictures_from_one_call_to_a_measured_repair(lab: Browser, measured: list[str]) -> None:
    through(lab, "shapes", measured)


def through(jupyter: Browser, demo: str, measured: list[str]) -> None:
    notebook = jupyter.open(
        [SETUP.format(demo=demo), CALL, "print(len(panel.log), panel.log[-1]['silenced'])"]
    )
    notebook.run(0, timeout=120)
    began = time.perf_counter()
    panel = notebook.run(1, timeout=60).locator("section.sdw-debug").first
    panel.wait_for()
    expect(panel).to_have_attribute("data-found", re.compile(r"\d+"), timeout=120_000)
    first = time.perf_counter() - began
    causes = panel.get_by_role("region", name="Small causes")
    expect(causes).to_contain_text("suspect", timeout=120_000)
    measured.append(
        f"debug, {demo}: first findings {first:.1f} s after the call, with the search "
        f"{time.perf_counter() - began:.1f} s"
    )
    errors = panel.get_by_role("group", name="Errors to choose").get_by_role("button")
    why = panel.locator(".sdw-debug-why")
    before = why.inner_text()
    clicked = time.perf_counter()
    errors.nth(3).click()
    expect(why).not_to_have_text(before)
    measured.append(
        f"debug, {demo}: click on an error to its explanation {time.perf_counter() - clicked:.2f} s"
    )
    panel.get_by_role("button", name=re.compile("Silence")).first.click()
    log = panel.locator(".sdw-debug-log li")
    expect(log).to_have_count(1, timeout=20_000)
    assert notebook.text(2).startswith("1 [")
    log.scroll_into_view_if_needed()
    screenshot(panel, f"debug-{demo}-{jupyter.server.app}")
    panel.get_by_role("button", name=re.compile("Undo|Take")).first.click()
    expect(log).to_have_count(0)
    panel.get_by_role("button", name=re.compile("Path panel|path")).first.click()
    panel.locator("section.sdw-path[data-idx]").wait_for(timeout=30_000)
    expect(panel.get_by_role("alert")).to_have_count(0)
