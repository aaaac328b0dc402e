"""What the bound on weights leaves undecided, on the Path panel: entries, zeros, and what is proved."""

from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

import sparse_debug_widgets as sdw
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.fakes import FakePath

pytestmark = pytest.mark.browser
BOUND = 0.02


@pytest.fixture(scope="module")
def rough():
    """A path whose bound proves some entries, some between two strengths, and some not at all."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    values = rng.normal(size=(240, 30)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    exact = sdw.elastic_net_path(sdw.DeepFeatures.from_arrays(values, labels), n_lambdas=40, eps=0.01)
    path = replace(exact, weight_bounds=np.full(40, BOUND))
    may, must = path.entry_range(0)
    assert (may == must).any()
    assert ((may != must) & (must < 40)).any()
    assert (must == 40).any()
    return path


def test_features_whose_entry_is_not_proved_are_marked_and_say_between_what_they_enter(show, rough):
    page = show(PathPanel(rough, fallback="none", index=39))
    page.rest()
    may, must = rough.entry_range(0)
    order = rough.feature_order(0)
    rows = page.root.locator(".sdw-row:visible")
    told = {int(row.get_attribute("data-feature")): row.get_attribute("title") for row in rows.all()}
    assert len(told) > 8
    for feature, title in told.items():
        assert f"enters at {order[feature] + 1} of 40" in title
        if may[feature] == must[feature]:
            assert "proved" not in title
        elif must[feature] < 40:
            assert f"proved: between {may[feature] + 1} and {must[feature] + 1}" in title
        else:
            assert "proved" in title
    open_ = [feature for feature in told if may[feature] != must[feature]]
    assert 0 < len(open_) < len(told)
    named = [row.get_attribute("aria-label") for row in rows.all()]
    assert sum("proved" in name for name in named) == len(open_)


def test_a_whisker_shows_the_range_of_the_feature_that_is_looked_at(show, rough):
    page = show(PathPanel(rough, fallback="none", index=39))
    page.rest()
    may, must = rough.entry_range(0)
    listed = [int(j) for j in page.data("strongest").split(",")]
    (ranged, *_) = [j for j in listed if may[j] < must[j] < 40]
    page.root.locator(f'.sdw-row[data-feature="{ranged}"]').hover()
    page.frames()
    with_whisker = page.canvas("paths").evaluate("(c) => c.toDataURL()")
    other = show(PathPanel(replace(rough, weight_bounds=np.zeros(40)), fallback="none", index=39))
    other.rest()
    other.root.locator(f'.sdw-row[data-feature="{ranged}"]').hover()
    other.frames()
    assert other.canvas("paths").evaluate("(c) => c.toDataURL()") != with_whisker


def test_the_mark_has_its_question_mark_and_is_not_there_where_all_is_proved(show, rough):
    page = show(PathPanel(rough, fallback="none", index=39))
    page.rest()
    what = page.root.get_by_label("What is An entry that is not proved?")
    what.click()
    expect(page.root.locator(".sdw-term")).to_contain_text("earlier or later")
    fake = show(PathPanel(FakePath(40, 60, 4), fallback="none"))
    fake.rest()
    expect(fake.root.get_by_label("What is An entry that is not proved?")).to_be_hidden()


def test_the_tile_counts_the_weights_of_which_it_is_open_whether_they_are_zero(show, rough):
    nonzero, zero = rough.proved(0)
    many = (~(nonzero | zero)).sum(1)
    index = int(np.flatnonzero(many)[0])
    page = show(PathPanel(rough, fallback="none", index=index))
    page.rest()
    tile = page.root.locator(".sdw-tile", has_text="features in use").locator(".sdw-tile-note")
    assert tile.inner_text() == f"of 30 \N{MIDDLE DOT} {many[index]} open"


def test_a_saved_page_has_the_marks_too(chromium, rough, tmp_path):
    page = chromium.new_page()
    PathPanel(rough, fallback="none", index=39).to_html(tmp_path / "path.html")
    page.goto((tmp_path / "path.html").as_uri())
    root = page.locator("section.sdw-path[data-idx]")
    expect(root.get_by_label("What is An entry that is not proved?")).to_be_visible()
    assert "proved:" in "".join(row.get_attribute("title") or "" for row in root.locator(".sdw-row").all())
    page.close()
