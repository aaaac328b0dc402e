"""The Path panel in a real browser: what is silenced, tried, undone and saved; search; what words mean."""

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.fakes import FakePath

pytestmark = pytest.mark.browser
rng = np.random.default_rng(0)
LABELS = np.arange(240) % 3
INPUTS = rng.normal(size=(240, 12)).astype(np.float32)
INPUTS[:, :3] += 1.5 * np.eye(3, dtype=np.float32)[LABELS]
WORDS = ("ant", "bee", "cow", "dog")


@pytest.fixture(scope="module")
def bound():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    train = (torch.from_numpy(INPUTS[:160]), torch.from_numpy(LABELS[:160]))
    test = (torch.from_numpy(INPUTS[160:]), torch.from_numpy(LABELS[160:]))
    features = sdw.extract_features(model, train, class_names=["a", "b", "c"])
    return sdw.elastic_net_path(features, n_lambdas=12, eps=0.05), model, test


@pytest.fixture
def live(show, bound, monkeypatch):
    import __main__

    path, model, test = bound
    monkeypatch.setattr(__main__, "clean_test", test, raising=False)
    panel = sdw.panel(path, model, data=test, index=11, fallback="none")
    page = show(panel)
    page.until(lambda: bool(panel.scored) or panel.scoring.get("state") == "failed")
    assert panel.scored, panel.scoring
    page.rest()
    return page


def tile(page, name):
    return page.root.locator(".sdw-tile", has=page.page.locator(".sdw-tile-name", has_text=name))


def test_one_click_names_its_layers_and_its_data_and_the_tiles_follow(live):
    panel = live.panel
    mine = tile(live, "accuracy on clean_test").locator(".sdw-tile-value")
    before, used = mine.inner_text(), tile(live, "features in use").locator(".sdw-tile-value")
    n_used = int(used.inner_text())

    def shown():
        return float(mine.inner_text().removesuffix(" %")) / 100

    live.root.locator(".sdw-row").nth(0).click()
    measured = live.root.locator(".sdw-measured")
    number = r"\d+\.\d %"
    expect(measured).to_have_text(
        re.compile(rf"^dense {number} → sparse {before} → silenced {number} \(clean_test, 80 examples\)$")
    )
    live.until(lambda: "scores" in panel.log[-1])
    after = panel.log[-1]["scores"]["silenced"]
    live.rest()
    assert shown() == pytest.approx(after, abs=6e-4)
    expect(used).to_have_text(str(n_used - 1))
    expect(tile(live, "validation accuracy")).to_contain_text("before silencing")
    # While the kernel is busy, a drag shows the silenced layer's accuracy at every other strength.
    live.deaf = True
    live.page.evaluate("() => sdw.model.set('idx', 6)")
    live.frames()
    layer = panel.path.decision_layer(6).silence(panel.silenced[0][0])
    score = panel._live.score(layer, lambda _: None)
    assert shown() == pytest.approx(score, abs=6e-4)


def test_each_feature_is_tried_ranked_and_silenced_from_the_table(live):
    live.root.get_by_role("button", name="Try silencing each").click()
    rows = live.root.locator(".sdw-table tbody tr")
    table = live.panel.try_each()
    expect(rows).to_have_count(len(table))
    expect(live.root.locator(".sdw-tried-on")).to_contain_text("accuracy on clean_test, 80 examples")
    assert rows.first.locator("th").inner_text() == table["name"][0]
    live.root.get_by_role("button", name="Sort by weight").press("Enter")
    strongest = table.sort_values("weight", ascending=False)["name"].iloc[0]
    expect(rows.first.locator("th")).to_have_text(strongest)
    expect(live.root.locator("th[aria-sort=descending]")).to_have_text("weight")
    rows.first.get_by_role("button").click()
    live.until(lambda: len(live.panel.silenced) == 1)
    assert live.panel.path.feature_names[live.panel.silenced[0][0]] == strongest


def test_what_was_silenced_is_logged_and_undone(live):
    panel = live.panel
    undo = live.root.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    for k in (0, 2):
        live.root.locator(".sdw-row").nth(k).click()
        live.until(lambda k=k: len(panel.log) == (1 if k == 0 else 2) and "scores" in panel.log[-1])
        live.rest()
    first = panel.log[0]["silenced"]
    live.root.locator(".sdw-log-count").click()
    lines = live.root.locator(".sdw-log-list li")
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text(re.compile(r"dense .* → sparse .* → silenced .* \(clean_test"))
    undo.press("Enter")
    live.until(lambda: panel.silenced == first)
    expect(lines).to_have_count(1)
    undo.click()
    live.until(lambda: panel.silenced == [] and panel.log == [])
    expect(live.root.locator(".sdw-chip")).to_have_count(0)


def test_the_repaired_model_is_saved_from_the_page(live, tmp_path):
    live.root.get_by_role("button", name="Save the repaired model").click()
    field = live.root.get_by_label("File for the repaired model")
    field.fill(str(tmp_path / "model.txt"))
    field.press("Enter")
    expect(live.root.get_by_role("alert")).to_contain_text("must end in .safetensors")
    field.fill(str(tmp_path / "mended.safetensors"))
    live.root.get_by_role("button", name="Save: Write the file").click()
    expect(live.root.locator(".sdw-written")).to_contain_text("mended.safetensors")
    assert (tmp_path / "mended.safetensors").stat().st_size > 1000
    assert live.root.get_by_role("alert").count() == 0


@pytest.mark.parametrize("size", [(1440, 900), (1280, 800)])
def test_slider_bars_and_the_result_of_silencing_are_visible_together(live, size):
    """A notebook leaves about 300 pixels of the width and 150 of the height to others."""
    live.page.set_viewport_size({"width": size[0] - 300, "height": size[1] - 150})
    live.root.locator(".sdw-row").nth(0).click()
    live.rest()
    bottom = live.page.evaluate("innerHeight")
    for part in (".sdw-slider", ".sdw-bars", ".sdw-measured", ".sdw-tiles"):
        box = live.root.locator(part).bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= bottom, part


@pytest.mark.parametrize("n", [100, 1000])
def test_classes_are_searched_and_sorted(show, n):
    names = tuple(f"{word} {k}" for k in range(n // 4) for word in WORDS)
    page = show(PathPanel(FakePath(20, 30, n, class_names=names), class_index=2, fallback="none"))
    page.rest()
    search = page.root.get_by_label("Search classes")
    search.fill("ant 2")
    wanted = [name for name in names if "ant 2" in name]
    listed = page.root.locator(".sdw-picker option")
    assert listed.all_inner_texts() == [names[2], *wanted]
    expect(page.root.locator(".sdw-found")).to_have_text(f"{len(wanted)} found")
    search.press("Enter")
    page.rest()
    assert page.data("row") == str(names.index("ant 2"))
    # The chart lists what was found: a click on its second line chooses the second class.
    box = page.canvas("counts").bounding_box()
    height = min(24, (box["height"] - 40) / min(len(wanted), 10))
    page.page.mouse.click(box["x"] + 10, box["y"] + 4 + 1.5 * height)
    page.rest()
    assert page.data("row") == str(names.index(wanted[1]))
    search.fill("")
    page.root.get_by_label("Order of classes").select_option("many")
    page.rest()
    counts = page.panel.path.n_nonzero[page.index()]
    first = page.root.locator(".sdw-picker option").first.get_attribute("value")
    assert counts[int(first)] == counts.max()


def test_features_are_searched_sorted_and_turned(show):
    page = show(PathPanel(FakePath(1000, 30, 3), index=29, fallback="none"))
    page.rest()
    weights = page.panel.path.class_path(0)[29]
    order = np.argsort(-abs(weights), kind="stable")

    def bars():
        return [int(j) for j in page.data("strongest").split(",") if j]

    assert bars() == order[:12].tolist()
    page.root.get_by_role("button", name="Weaker features").click()
    page.rest()
    assert bars() == order[12:24].tolist()
    expect(page.root.locator(".sdw-which")).to_have_text(f"13–24 of {(weights != 0).sum()}")
    page.root.get_by_label("Order of features").select_option("negative")
    page.rest()
    assert bars() == np.argsort(weights, kind="stable")[:12].tolist()
    page.root.get_by_label("Search features").fill("feature 77")
    page.root.get_by_label("Order of features").select_option("name")
    page.rest()
    named = [j for j in (77, *range(770, 780)) if (page.panel.path.class_path(0)[:, j] != 0).any()]
    assert bars() == named
    page.root.locator(".sdw-look").nth(1).click()
    page.rest()
    assert page.panel.chosen == named[1]
    assert page.panel.selection.feature_name == f"feature {named[1]}"


def test_every_line_in_use_has_a_colour_that_stays_during_a_drag(show):
    page = show(PathPanel(FakePath(300, 60, 3), fallback="none"))
    painted = """(c) => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, seen = {};
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) {
        const key = `${d[i]},${d[i + 1]},${d[i + 2]}`; seen[key] = (seen[key] ?? 0) + 1; }
      return Object.values(seen).filter((n) => n > 40).length; }"""
    page.page.evaluate("() => sdw.model.set('idx', 40)")
    page.frames()
    assert page.canvas("paths").evaluate(painted) >= 8
    # The dots before the names are those of the lines: one that stays in the bars keeps its colour.
    dot = """(c) => (k) => { const r = c.width / c.clientWidth, d = c.getContext('2d')
      .getImageData(Math.round(6 * r), Math.round((15 + 22 * k) * r), 1, 1).data;
      return [d[0], d[1], d[2]].join(); }"""
    colours = {}
    for index in range(40, 46):
        page.page.evaluate("(i) => sdw.model.set('idx', i)", index)
        page.frames()
        shown = page.data("strongest").split(",")
        now = {j: page.canvas("bars").evaluate(f"(c) => ({dot})(c)({k})") for k, j in enumerate(shown[:8])}
        for j in now.keys() & colours.keys():
            assert now[j] == colours[j]
        colours = now
    assert len(set(colours.values())) >= 4


def test_a_bound_on_the_weights_is_shown_and_marks_what_it_leaves_undecided(show):
    path = FakePath(40, 60, 4)
    weights = path.class_path(0)[50]
    bound = float(np.sort(abs(weights))[-6:-4].mean())
    path.weight_bounds = np.full(60, bound)
    page = show(PathPanel(path, index=50, fallback="none"))
    page.rest()
    expect(tile(page, "certificate")).to_contain_text(f"weights to within {bound:.2g}")
    labels = [row.get_attribute("aria-label") for row in page.root.locator(".sdw-row:visible").all()]
    shown = [int(j) for j in page.data("strongest").split(",")]
    for j, label in zip(shown, labels, strict=True):
        assert ("sign not certain" in label) == (abs(weights[j]) <= bound)
    assert any("sign not certain" in label for label in labels)
    old = show(PathPanel(FakePath(40, 60, 4), fallback="none"))
    old.rest()
    expect(tile(old, "certificate")).not_to_contain_text("within")


def test_every_question_mark_has_a_sentence_and_a_formula_one_click_further(show):
    page = show()
    page.rest()
    marks = page.root.locator(".sdw-what:visible")
    assert marks.count() >= 5
    for k in range(marks.count()):
        mark = marks.nth(k)
        mark.press("Enter")
        box = page.root.locator(".sdw-term")
        expect(box).to_have_count(1)
        expect(box.locator(".sdw-term-says")).to_have_text(re.compile(r"\.$"))
        assert mark.get_attribute("aria-expanded") == "true"
        expect(box.locator("code")).not_to_be_visible()
        page.page.keyboard.press("Tab")
        page.page.keyboard.press("Enter")
        expect(box.locator("code")).to_be_visible()
        page.page.keyboard.press("Escape")
        expect(box).to_have_count(0)
        assert mark.evaluate("(e) => document.activeElement === e")
        assert mark.get_attribute("aria-expanded") == "false"


def test_a_term_fits_inside_the_narrowest_panel(show):
    page = show(width=400)
    page.rest()
    marks = page.root.locator(".sdw-what:visible")
    for k in range(marks.count()):
        marks.nth(k).press("Enter")
        box, around = page.root.locator(".sdw-term").bounding_box(), page.root.bounding_box()
        assert around["x"] <= box["x"]
        assert box["x"] + box["width"] <= around["x"] + around["width"]
    assert page.root.locator(".sdw-term").count() == 1


def test_hovering_or_choosing_a_bar_shows_what_its_feature_sees(show, bound):
    _, model, _ = bound
    pictures = torch.from_numpy(rng.normal(size=(60, 1, 6, 2)).astype(np.float32))
    seeing = nn.Sequential(nn.Flatten(), *model)
    labels = torch.arange(60) % 3
    features = sdw.extract_features(seeing, (pictures, labels), class_names=["a", "b", "c"])
    path = sdw.elastic_net_path(features, n_lambdas=8, eps=0.05)
    panel = sdw.panel(path, seeing, data=(pictures, labels), index=7, fallback="none")
    page = show(panel)
    page.rest()
    assert panel._cards is None  # nothing is read before somebody looks
    card = page.root.locator(".sdw-fcard")
    expect(card).to_be_hidden()
    first, second = (int(j) for j in page.data("strongest").split(",")[:2])
    page.root.locator(".sdw-row").nth(0).hover()
    page.until(lambda: card.get_attribute("data-painted") is not None)
    expect(card.locator("h3")).to_have_text(path.feature_names[first])
    top = int(np.argmax(features.values[:, first]))
    expect(card.locator("canvas").first).to_have_attribute("aria-label", re.compile(f"^Example {top}:"))
    places = "(e) => [...e.querySelectorAll('canvas')].map((c) => c.getBoundingClientRect().x)"
    boxes = card.evaluate(places)
    assert len(boxes) == 5
    assert np.diff(boxes).min() > 40
    page.page.mouse.move(2, 2)
    expect(card).to_be_hidden()
    # The one that was chosen stays, and comes back when another one was looked at.
    page.root.locator(".sdw-look").nth(1).press("Enter")
    page.root.locator(".sdw-row").nth(0).hover()
    page.page.mouse.move(2, 2)
    page.root.locator(".sdw-slider").focus()
    page.until(lambda: card.get_attribute("data-painted") is not None)
    expect(card.locator("h3")).to_have_text(path.feature_names[second])
    page.rest()
    assert panel.selection.feature == second
    replies = [arguments["feature"] for action, arguments, *_ in panel.export().replies if action == "card"]
    assert second in replies
