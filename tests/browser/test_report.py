"""The report of the headless demo: one file, no network, a panel that can be dragged, names as text."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

from sparse_debug_widgets.cli.findings import Findings, TopFeature
from sparse_debug_widgets.cli.report import write_report
from sparse_debug_widgets.cli.tables import tables
from sparse_debug_widgets.data import Demo
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from tests.browser.driver import screenshot

NASTY = '<img src=x onerror="document.title=1">'


@pytest.fixture
def findings() -> Findings:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    values = rng.normal(size=(120, 8)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    class_names = (NASTY, "two", "three")
    path = elastic_net_path(
        DeepFeatures.from_arrays(values, labels, class_names=class_names), n_lambdas=20, eps=0.01
    )
    pictures: Any = torch.utils.data.TensorDataset(torch.rand(120, 3, 8, 8), torch.from_numpy(labels))
    demo = Demo(
        name="nasty",
        description=f"names like {NASTY}",
        model=torch.nn.Identity(),
        train=pictures,
        test=pictures,
        clean_test=None,
        class_names=class_names,
        truth=None,
        card=NASTY,
        numbers={},
    )
    top = (TopFeature(index=0, name=NASTY, weight=0.5, detects_mark=float("nan")),)
    return Findings(demo, path, 10, 0, top, (), tuple(range(20)), {"dense": {"test": 0.9}})


def test_the_report_is_draggable_from_a_file(chromium: Chromium, findings: Findings, tmp_path: Path) -> None:
    report = write_report(findings, tables(findings), tmp_path / "report.html")
    page = chromium.new_page(viewport={"width": 1200, "height": 1900})
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    panel = page.frame_locator("iframe").locator("section.sdw-path")
    expect(panel).to_have_attribute("data-idx", "10")
    panel.locator(".sdw-paths canvas[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(panel).to_have_attribute("data-idx", "11")
    screenshot(page, "report")
    assert page.title() == "nasty: what was found"
    assert errors == []
    assert [url for url in requests if url.startswith("http")] == []
    page.close()


def test_an_existing_report_survives_a_failure(findings: Findings, tmp_path: Path) -> None:
    report = write_report(findings, tables(findings), tmp_path / "report.html")
    before = report.read_bytes()
    with pytest.raises(IndexError):
        write_report(replace(findings, exciting=(10_000,)), tables(findings), report)
    assert report.read_bytes() == before
    assert list(tmp_path.iterdir()) == [report]
