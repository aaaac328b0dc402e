"""The Features panel in a real browser, without Jupyter: rows, examples, names, silence, saved pages."""

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.text import TextData
from tests.interpret.models import Pictures, pictures
from tests.widgets.panels.features.test_panel import NASTY, Words, tokens

pytestmark = pytest.mark.browser

SMALL = {"n_samples": 80, "n_steps": 4, "fallback": "none", "index": 5}
NAME = "<img src=x onerror=alert(1)> مرحبا 🦓"


def fitted(model, data):
    with collected_notices():
        features = sdw.extract_features(model, data, validation=0)
        return features, sdw.elastic_net_path(features, n_lambdas=6, validation=0)


@pytest.fixture(scope="module")
def seen():
    model, data = Pictures(features=12), pictures(60, size=24)
    return model, data, *fitted(model, data)


@pytest.fixture
def opened(show):
    def open_panel(panel, **options):
        page = show(panel, **options)
        # A panel that finds everything found already has nothing to do.
        page.until(lambda: page.requests("need") and panel.job.get("ended", True))
        page.until(lambda: page.data("filled") != "None")
        page.page.wait_for_timeout(400)
        page.frames()
        return page

    return open_panel


def rows_of(page):
    return [int(j) for j in page.data("rows").split(",")]


def painted(page, selector):
    """Distinct colours of the first canvas that fits."""
    return page.root.locator(selector).first.evaluate(
        "(c) => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " return new Set(new Uint32Array(d.buffer)).size; }"
    )


def test_rows_are_the_layers_features_with_what_was_found(opened, seen):
    model, data, features, path = seen
    panel = sdw.features_panel(path, model, data=data, features=features, **SMALL)
    page = opened(panel)
    weights = path.weights_at(5)[0]
    order = sorted(np.flatnonzero(weights), key=lambda j: -abs(weights[j]))
    assert rows_of(page) == [int(j) for j in order]
    row = page.root.locator(".sdw-feature").first
    assert painted(page, ".sdw-example canvas") > 20
    assert painted(page, ".sdw-lime canvas") > 20
    assert painted(page, ".sdw-visual canvas") > 20
    expect(row.locator(".sdw-example")).to_have_count(5)
    expect(row.locator(".sdw-signed-number").first).to_have_text(
        f"{weights[order[0]]:+.2g}".replace("-", "−")
    )
    # The kernel is told what is on the screen, from the top; after scrolling, what is there then.
    asked = page.requests("need")[0]["args"]
    assert asked["visible"] == rows_of(page)[: len(asked["visible"])] != []
    assert asked["rest"] == rows_of(page)
    page.root.locator(".sdw-features-rows").first.evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
    page.until(lambda: page.requests("need")[-1]["args"]["visible"][-1:] == rows_of(page)[-1:])
    page.root.locator(".sdw-features-rows").first.evaluate("(list) => list.scrollTo(0, 0)")
    # Least activating examples are fetched when somebody wants to see them.
    page.root.get_by_label("Also show the examples that activate a feature least").check()
    page.until(lambda: row.locator(".sdw-strip-least .sdw-example").count() == 5)
    # The dense layer beside it: its own order.
    page.root.get_by_label("Which layer's features are shown").select_option("both")
    page.frames()
    dense = np.argsort(-abs(path.dense_weight[0]), kind="stable")
    assert page.data("dense") == ",".join(map(str, dense[:30]))
    expect(page.root.locator("[data-layer=dense] h3")).to_contain_text("Dense layer")


def test_moving_along_the_path_asks_the_kernel_for_nothing_until_it_rests(opened, seen):
    model, data, features, path = seen
    page = opened(sdw.features_panel(path, model, data=data, features=features, **SMALL))
    page.deaf = True
    page.messages.clear()
    slider = page.root.locator("input.sdw-slider")
    slider.focus()
    slider.press("ArrowLeft")
    page.frames()
    assert page.messages == []
    weights = path.weights_at(4)[0]
    assert rows_of(page) == sorted(np.flatnonzero(weights), key=lambda j: -abs(weights[j]))
    page.deaf = False
    page.rest()
    assert {"idx": 4} in page.saved


def test_an_example_shows_contributions_that_follow_the_lambda_and_the_silence(opened, seen):
    model, data, features, path = seen
    panel = sdw.features_panel(path, model, data=data, features=features, **SMALL)
    page = opened(panel)
    example = page.root.locator(".sdw-example").first
    number = int(example.get_attribute("data-row"))
    example.click()
    card = page.root.locator(".sdw-example-card")
    expect(card.locator(".sdw-verdict")).to_have_count(2)
    z = (features.values[number] - path.mean) / path.scale
    parts = path.weights_at(5)[0] * z
    top = sorted(np.flatnonzero(parts), key=lambda j: -abs(parts[j]))[:8]
    shown = card.locator(".sdw-contribution")
    assert [int(one.get_attribute("data-feature")) for one in shown.all()] == [int(j) for j in top]
    # Silence the strongest one from here: prediction and accuracy change, the model does not.
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shown.first.click()
    page.until(lambda: panel.silenced == [[int(top[0]), -1]])
    expect(card.locator(".sdw-verdict")).to_have_count(3)
    layer = path.decision_layer(5).silence(int(top[0]))
    logits = layer(torch.from_numpy(np.array(features.values[number : number + 1])))[0]
    said = page.root.locator(".sdw-example-card").get_attribute("data-said").split(",")
    assert int(said[2]) == int(logits.argmax())
    expect(page.root.locator(".sdw-measured")).to_contain_text("→")
    expect(page.root.locator(f".sdw-feature[data-feature='{top[0]}'] .sdw-quiet")).to_have_text("Silenced")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    card.locator("button").first.press("Escape")
    expect(card).to_be_hidden()


def test_a_name_is_typed_and_is_text_wherever_it_is_shown(opened, show, seen):
    model, data, features, _ = seen
    path = sdw.elastic_net_path(features, n_lambdas=6, validation=0)
    follow = sdw.panel(path, model, data=features, fallback="none", index=5)
    panel = sdw.features_panel(path, model, data=data, features=features, follow=follow, **SMALL)
    page, other = opened(panel), show(follow)
    first = rows_of(page)[0]
    name = page.root.locator(".sdw-feature-name").first
    name.fill(NAME)
    name.press("Enter")
    page.until(lambda: path.feature_names[first] == NAME)
    other.pump()
    other.rest()
    labels = other.root.locator(".sdw-row").evaluate_all("(rows) => rows.map((r) => r.title.split('\\n')[0])")
    assert NAME in labels
    # Another feature's name is refused, said, and taken back.
    second = page.root.locator(".sdw-feature-name").nth(1)
    second.fill(NAME)
    second.press("Enter")
    expect(page.root.get_by_role("alert")).to_contain_text("is already the name of feature")
    expect(second).to_have_value(path.feature_names[rows_of(page)[1]])
    assert page.root.locator("img").count() == 0


def test_sentences_of_any_kind_are_shown_as_text(opened):
    texts = [f"{one} {word}" for one in NASTY for word in ("good", "bad", "plain", "<b>fine</b>")]
    data, model = TextData(texts, [i % 2 for i in range(len(texts))], tokens), Words()
    _, path = fitted(model, data)
    page = opened(sdw.features_panel(path, model, data=data, k=20, **SMALL))
    row = page.root.locator(".sdw-feature").first
    shown = row.locator(".sdw-sentence").all_inner_texts()
    assert len(shown) == 20
    assert any("<script>alert(1)</script>" in text for text in shown)
    assert any("مرحبا" in text for text in shown)
    assert any("👍🏽" in text for text in shown)
    assert page.root.locator("img, script").count() == 0
    assert row.locator(".sdw-cloud-word").count() > 2
    assert row.locator(".sdw-tinted").count() > 2


def test_the_keyboard_reaches_everything(opened, seen):
    model, data, features, path = seen
    page = opened(sdw.features_panel(path, model, data=data, features=features, **SMALL))
    rows = page.root.locator(".sdw-feature")
    rows.nth(0).locator(".sdw-example").first.focus()
    keyboard = page.page.keyboard
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    focused = """() => {
      const e = document.activeElement;
      return [e.dataset.key, e.closest('.sdw-feature').dataset.feature]; }"""
    assert page.page.evaluate(focused) == ["t1", str(rows_of(page)[1])]
    keyboard.press("Enter")
    expect(page.root.locator(".sdw-example-card")).to_be_visible()
    unnamed = page.root.evaluate(
        "(root) => [...root.querySelectorAll('button, input, select')].filter((e) => !e.hidden"
        " && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0


def test_a_saved_page_shows_the_same_without_a_kernel(opened, seen, chromium, tmp_path):
    model, data, features, path = seen
    path.rename({0: "named 0", 1: "named 1"})
    panel = sdw.features_panel(path, model, data=data, features=features, **SMALL)
    opened(panel)
    for width, scheme in ((1100, "light"), (600, "dark")):
        saved = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        errors = []
        saved.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        saved.goto(panel.to_html(tmp_path / "page.html").as_uri())
        root = saved.locator("section.sdw-features")
        expect(root).to_have_attribute("data-theme", scheme)
        expect(root.locator(".sdw-example canvas").first).to_be_visible()
        root.locator(".sdw-example:enabled").first.click()
        expect(root.locator(".sdw-contribution").first).to_be_visible()
        slider = root.locator("input.sdw-slider")
        slider.focus()
        slider.press("End")
        assert saved.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert errors == []
        saved.close()
    path.rename({0: "", 1: ""})
