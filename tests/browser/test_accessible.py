"""Every panel, standalone, live and in JupyterLab, light and dark: axe-core finds nothing."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.widgets.kit.assets import panel_names
from sparse_debug_widgets.widgets.kit.base import Panel
from tests.browser.accessible import violations
from tests.browser.driver import Browser, screenshot
from tests.browser.server import ROOT
from tests.saliency import models
from tests.widgets.fakes import fake_xfeatures
from tests.widgets.page import PanelPage
from tests.widgets.panels.features.test_panel import Words, tokens

CLASSES = ["<b>cat</b>", "dog", "fish", "bird"]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
images: Any = models.images
small_cnn: Any = models.small_cnn


def features() -> sdw.DeepFeatures:
    labels = np.arange(120) % 4
    values = np.random.default_rng(0).normal(size=(120, 12)).astype(np.float32)
    values[:, :4] += 2 * np.eye(4, dtype=np.float32)[labels]
    return sdw.DeepFeatures.from_arrays(values, labels, class_names=CLASSES)


def path_panel() -> Panel:
    return sdw.panel(sdw.elastic_net_path(features(), n_lambdas=12, eps=0.05))


def live_path_panel() -> Panel:
    given = features()
    model = torch.nn.Sequential(torch.nn.Linear(12, 4))
    shown = sdw.panel(sdw.elastic_net_path(given, n_lambdas=12, eps=0.05), model, data=given)
    shown.silenced = [[0, -1]]
    return shown


def fit_panel() -> Panel:
    shown = sdw.fit_panel(features(), checkpoints=False, n_lambdas=8, eps=0.1)
    for alpha in (0.9, 0.5):
        shown.start(alpha=alpha).result(60)
    return shown


def features_panel() -> Panel:
    model, data = small_cnn(), (images(40), torch.arange(40) % 4)
    with collected_notices():
        given = sdw.extract_features(model, data, validation=0)
        path = sdw.elastic_net_path(given, n_lambdas=6, eps=0.1)
        return sdw.features_panel(path, model, data=data, features=given, n_samples=40, n_steps=2)


def text_features_panel() -> Panel:
    subjects, verdicts = ("the plot", "every <b>actor</b>", "this film", "the ending"), ("good", "bad")
    texts = [f"{one} is {word} {k}" for one in subjects for word in verdicts for k in range(5)]
    data = TextData(texts, [int("bad" in text) for text in texts], tokens, class_names=["liked", "disliked"])
    model = Words()
    with collected_notices():
        given = sdw.extract_features(model, data, validation=0)
        path = sdw.elastic_net_path(given, n_lambdas=6, eps=0.1)
        return sdw.features_panel(path, model, data=data, features=given, n_samples=40, index=5)


def saliency_panel() -> Panel:
    data = images(8), torch.arange(8) % 4
    return sdw.saliency_panel(
        small_cnn(), data, methods=("gradient", "cafo"), class_names=CLASSES, sweep="cafo"
    )


def perturb_panel() -> Panel:
    data = images(8), torch.arange(8) % 4
    shown = sdw.perturb_panel(
        small_cnn(), data, steps=6, target="label", class_names=CLASSES, compare=small_cnn()
    )
    shown.start().result(60)
    return shown


def x_features_panel() -> Panel:
    return sdw.panel(fake_xfeatures())


def debug_panel() -> Panel:
    data = images(60), torch.arange(60) % 4
    groups = ["<b>old</b>" if k % 3 else "new" for k in range(60)]
    with collected_notices():
        shown: Any = sdw.debug(small_cnn(), data, groups=groups, class_names=CLASSES)
        shown.run(60)
        shown.silence([0])
    return shown  # type: ignore[no-any-return]


PANELS: dict[str, Callable[[], Panel]] = {
    made.__name__: made
    for made in (
        debug_panel,
        path_panel,
        live_path_panel,
        fit_panel,
        features_panel,
        text_features_panel,
        saliency_panel,
        perturb_panel,
        x_features_panel,
    )
}


def test_every_panel_is_looked_at() -> None:
    assert set(panel_names()) <= {name.replace("_", "").removesuffix("panel") for name in PANELS}


@pytest.fixture(params=list(PANELS))
def made(request: pytest.FixtureRequest) -> Iterator[Panel]:
    shown = PANELS[request.param]()
    yield shown
    shown.close()


def test_nothing_is_found_in_a_live_panel_nor_in_its_page(made: Panel, chromium: Chromium) -> None:
    found: dict[str, list[str]] = {}
    live = PanelPage(chromium, made)
    live.until(lambda: made.get_state().get("job", {}).get("ended", True) is not False)
    if made.name == "features":
        live.until(lambda: live.data("filled") != "None")
        # As it is, then with an example open and its strongest feature silenced.
        found["at first"] = violations(live.page, "section.sdw")
        live.root.locator(".sdw-example").first.click()
        expect(live.root.locator(".sdw-example-card")).to_be_visible()
        live.root.locator(".sdw-contribution").first.click()
        expect(live.root.locator(".sdw-contribution[aria-pressed=true]")).to_have_count(1)
    live.rest()
    for details in live.page.locator("details").all():
        details.evaluate("(node) => { node.open = true; }")
    for scheme in SCHEMES:
        live.page.emulate_media(color_scheme=scheme)
        expect(live.root).to_have_attribute("data-theme", scheme)
        found[f"live, {scheme}"] = violations(live.page, "section.sdw")
    live.close()
    page = chromium.new_page(viewport={"width": 1100, "height": 1000})
    page.set_content(made.html())
    root = page.locator("section.sdw")
    root.wait_for()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        expect(root).to_have_attribute("data-theme", scheme)
        page.wait_for_timeout(300)
        found[f"page, {scheme}"] = violations(page)
    page.close()
    texts = [f"{where}\n  {text}" for where, list_ in found.items() for text in list_]
    assert not texts, "\n".join(texts)


def test_nothing_is_found_in_jupyterlab(lab: Browser) -> None:
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.browser.test_accessible import PANELS"
    notebook = lab.open([setup, *(f"PANELS[{name!r}]()" for name in PANELS)])
    notebook.run(0)
    for k, _ in enumerate(PANELS, start=1):
        expect(notebook.run(k).locator("section.sdw")).to_be_visible()
    found = []
    for scheme in SCHEMES:
        lab.set_theme(f"JupyterLab {scheme.capitalize()}")
        for k, name in enumerate(PANELS, start=1):
            panel = notebook.out(k).locator("section.sdw")
            panel.scroll_into_view_if_needed()
            expect(panel).to_have_attribute("data-theme", scheme)
            lab.page.wait_for_timeout(300)
            panel.evaluate("(node) => { node.dataset.looked = 'at'; }")
            found += [f"{name}, {scheme}\n  {text}" for text in violations(lab.page, "[data-looked='at']")]
            screenshot(panel, f"accessible-{name}-{scheme}")
            panel.evaluate("(node) => { delete node.dataset.looked; }")
    lab.set_theme("JupyterLab Light")
    assert not found, "\n".join(found)
