"""The Fit panel in a page: the Path panel of a finished fit opens inside it, by anywidget's own host."""

import numpy as np
import pytest

from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.widgets import fit_panel


@pytest.fixture
def shown():
    rng = np.random.default_rng(4)
    labels = np.arange(120) % 3
    values = rng.normal(size=(120, 8)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    made = fit_panel(
        DeepFeatures.from_arrays(values, labels), checkpoints=False, n_lambdas=6, eps=0.1, fallback="none"
    )
    yield made
    made.close()


def test_a_path_is_shown_below_and_the_one_before_it_ends(shown, show):
    for alpha in (0.9, 0.5):
        shown.start(alpha=alpha).result(60)
    page = show(shown)
    names = []
    for row in (1, 0):
        page.root.locator("tbody tr").nth(row).get_by_role("button", name="Open", exact=False).click()
        page.until(lambda: len(page.page.evaluate("sdw.inner.map((i) => i.reference)")) == len(names) + 1)
        names.append(f"anywidget:{shown.shown.model_id}")
        inner = page.root.locator("[data-widget]")
        assert inner.count() == 1
        assert inner.get_attribute("data-widget") == names[-1]
    assert names[0] != names[1]
    assert page.page.evaluate("sdw.inner.map((i) => i.signal.aborted)") == [True, False]
    page.page.evaluate("sdw.views[0].life.abort()")
    assert page.page.evaluate("sdw.inner.map((i) => i.signal.aborted)") == [True, True]
