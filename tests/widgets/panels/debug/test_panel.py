"""The Debug panel in a plain page: from the overview to an error, its feature, and a measured repair."""

import re
import threading

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.analysis import suspects
from sparse_debug_widgets.analysis.debug import debug_report
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.notices import collected_notices

EVIL = "<img src=x onerror=alert(1)>"


def pictures(n: int = 240) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of three classes, the third one marked in a corner; so are a few of the others."""
    labels = torch.arange(n) % 3
    x = 0.4 * torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for k in range(3):
        x[labels == k, 0, k, 1:5] += 0.25
    x[(labels == 2) | (torch.arange(n) % 10 == 0), 0, 7, 7] = 1.0
    return x, labels


def network() -> nn.Module:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    x, y = pictures()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval()


def made(**options):
    x, y = pictures()
    with collected_notices():
        panel = sdw.debug(
            network(),
            (x[:150], y[:150]),
            (x[150:], y[150:].roll(1)),
            groups=["odd <b>" if k % 2 else "even" for k in range(90)],
            class_names=["a", EVIL, "c"],
            fallback="none",
            **options,
        )
        panel.run(60)
    return panel


def test_a_person_comes_from_the_overview_to_a_repair(show):
    panel = made()
    page = show(panel)
    root = page.root
    page.until(lambda: page.data("state") == "done")
    expect(root.locator(".sdw-debug-says").first).to_contain_text("The model's own layer is right on")
    cell = root.locator(".sdw-debug-cell").first
    pair = [int(k) for k in cell.get_attribute("data-pair").split(",")]
    cell.press("Enter")
    page.until(lambda: panel.pair == pair)
    expect(root.locator(".sdw-debug-cell[aria-pressed=true]")).to_have_count(1)
    assert panel.report.error_labels[panel.error] == pair[0]
    assert panel.report.error_predictions[panel.error] == pair[1]
    expect(root.locator(".sdw-debug-example canvas")).to_be_visible()
    why = root.locator(".sdw-debug-why").inner_text()
    feature = int(panel.report.error_features[panel.error])
    assert panel.report.feature_names[feature] in why
    root.get_by_role("button", name=re.compile("Silence it:")).press("Enter")
    page.until(lambda: len(panel.log) == 1)
    assert panel.log[0]["silenced"] == [feature]
    expect(root.locator(".sdw-debug-log li")).to_have_count(1)
    button = root.locator(f".sdw-debug-table [data-feature='{feature}']")
    expect(button).to_have_attribute("aria-pressed", "true")
    root.get_by_role("button", name=re.compile("Undo:")).click()
    page.until(lambda: panel.log == [])
    assert not page.errors
    panel.close()


def test_what_the_search_found_is_shown_and_the_rest_does_not_wait_for_it(show, monkeypatch):
    go, seen = threading.Event(), []

    def slow(*args, **kwargs):
        assert go.wait(60)
        return suspects(*args, **kwargs)

    monkeypatch.setattr(debug_report, "suspects", slow)
    x, y = pictures()
    with collected_notices():
        panel = sdw.debug(network(), (x, y), class_names=["a", EVIL, "c"], fallback="none")
        page = show(panel)
        page.until(lambda: page.data("found") not in {None, "None", ""})
        assert not panel.job["ended"]
        panel.silence([1])
        seen.append(panel.log)
        go.set()
        panel.run(60)
        page.until(lambda: page.data("causes") == "3")
    assert panel.log == seen[0]
    expect(page.root.get_by_role("region", name="Small causes").locator("li")).to_have_count(3)
    assert not page.errors
    panel.close()


def test_a_repair_counts_what_the_layer_answers(show):
    panel = made()
    report = panel.report
    feature = int(report.suspects["feature"][0])
    repair = panel.silence([feature])
    row = report.suspects.iloc[0]
    assert (repair["mended"], repair["broken"]) == (row["mended"], row["broken"])
    assert repair["accuracy"] == pytest.approx(row["accuracy_silenced"])
    assert sum(repair["classHits"]) == sum(repair["groupHits"]) == round(repair["accuracy"] * 90)
    nothing = panel.silence([])
    assert nothing["classHits"] == report.class_hits[report.stages.index("sparse")].tolist()
    with pytest.raises(InputError, match="feature"):
        panel.silence([99])
    panel.close()


def test_the_path_below_follows_the_repair_and_the_pair(show):
    panel = made()
    page = show(panel)
    page.root.get_by_role("button", name=re.compile("Open the path:")).click()
    page.until(lambda: panel.shown is not None)
    inner = panel._inner
    feature = int(panel.report.suspects["feature"][0])
    panel.silence([feature])
    panel.pair = [0, 2]
    assert inner.silenced == [[feature, -1]]
    assert inner.class_index == 2
    expect(page.root.locator(".sdw-debug-embedded [data-widget]")).to_have_count(1)
    panel.close()


def test_a_saved_page_needs_no_kernel(chromium):
    panel = made()
    panel.silence([int(panel.report.suspects["feature"][0])])
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content(panel.html())
    root = page.locator("section.sdw")
    root.wait_for()
    root.locator(".sdw-debug-cell").first.click()
    expect(root.locator(".sdw-debug-example canvas")).to_be_visible()
    expect(root.locator(".sdw-debug-log li")).to_have_count(1)
    expect(root.get_by_role("button", name=re.compile("Silence it:"))).to_have_count(0)
    assert not errors
    page.close()
    panel.close()


@pytest.mark.parametrize("width", [700, 1600])
def test_nothing_hangs_over_the_edge(show, width):
    panel = made()
    page = show(panel, width=width)
    assert page.root.evaluate("(node) => node.scrollWidth <= node.clientWidth + 1")
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    panel.close()


def test_many_classes_are_listed_and_not_drawn(show):
    labels = torch.arange(400) % 40
    torch.manual_seed(0)
    x = torch.randn(400, 12)
    with collected_notices():
        panel = sdw.debug(nn.Linear(12, 40), (x, labels), (x, labels), fallback="none")
        report = panel.run(60)
    page = show(panel)
    matrix = page.root.get_by_role("region", name=re.compile("Confusions"))
    expect(matrix.locator("thead th")).to_have_text(["class", "taken for", "times"])
    counts = [int(text) for text in matrix.locator("button").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    off = report.confusion[report.stages.index("sparse")].copy()
    np.fill_diagonal(off, 0)
    assert counts[0] == off.max()
    panel.close()


def test_a_model_of_numbers_shows_what_exists_for_it(show):
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    panel = sdw.debug(nn.Linear(6, 1), (x, x[:, 0] * 2), fallback="none")
    panel.run(60)
    page = show(panel)
    expect(page.root.locator(".sdw-debug-quiet").last).to_contain_text("The labels are numbers")
    with pytest.raises(InputError, match="predicts numbers"):
        panel.silence([0])
    assert not page.errors
    panel.close()


def test_run_gives_the_report_of_the_function_and_leaves_the_model_alone():
    x, y = pictures()
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    with collected_notices():
        panel = sdw.debug(model, (x, y), fallback="none")
        report = panel.run()
        assert repr(report) == repr(sdw.debug_report(model, (x, y)))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert panel.report is report
    assert panel.path.n_features == 16
    np.testing.assert_array_equal(panel.features.labels, y)
    panel.close()


def test_what_does_not_fit_is_refused_at_once():
    x, y = pictures()
    with pytest.raises(InputError, match="240 labels"):
        sdw.debug(network(), (x, y), groups=["a"])
    panel = sdw.debug(network(), (x, y), auto=False)
    with pytest.raises(InputError, match="no report yet"):
        _ = panel.report
    panel.close()
