"""figures: they hold the values they were given, and names that come from data stay text."""

import re

import numpy as np
import pytest

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import InputError

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a\nb",
    'say "hi"',
    "x" * 10_000,
    "\u202eright to left",
    "<b>bold</b>",
]


def drawn(figure):
    """What plotly would send to the page; also proves that the figure is valid."""
    return figure.to_json()


def test_lines():
    x = np.geomspace(1, 0.001, 5)
    series = {name: np.arange(5.0) * k for k, name in enumerate(HOSTILE)}
    figure = figures.lines(x, series, log_x=True, title=HOSTILE[0], marks={HOSTILE[5]: 0.1}, x_title="lambda")
    assert [list(trace.y) for trace in figure.data] == [list(values) for values in series.values()]
    assert figure.layout.xaxis.type == "log"
    assert "<img" not in drawn(figure)
    assert len(drawn(figure)) < 20_000
    with pytest.raises(InputError, match="have 5 values; got 4"):
        figures.lines(x, {"a": np.arange(4.0)})


def test_bars_keep_equal_names_apart():
    figure = figures.bars(["a", "a", HOSTILE[5]], np.array([1.0, -2.0, 3.0]), title="t")
    (bar,) = figure.data
    assert list(bar.x) == [1.0, -2.0, 3.0]
    assert list(bar.y) == [0, 1, 2]
    assert list(bar.marker.color) == [figures.RAISES, figures.LOWERS, figures.RAISES]
    assert "<b>" not in drawn(figure)
    with pytest.raises(InputError, match="be 1 names; got 2 names"):
        figures.bars(["a", "b"], np.ones(1))


def test_heatmap_is_centred_when_signed():
    values = np.array([[1.0, -3.0], [np.nan, 2.0]])
    figure = figures.heatmap(values, rows=HOSTILE[:2], columns=["a", "b"], signed=True)
    assert (figure.data[0].zmin, figure.data[0].zmax) == (-3.0, 3.0)
    assert "<img" not in drawn(figure)
    assert figures.heatmap(np.zeros((2, 2)), signed=True).data[0].zmax == 1.0
    assert figures.heatmap(values).data[0].zmin is None


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_histograms_count_everything(count):
    rng = np.random.default_rng(0)
    panels = {f"<b>{k}": rng.normal(size=100) for k in range(count)}
    figure = figures.histograms(panels, x_title="z")
    assert [sum(trace.y) for trace in figure.data] == [100] * count
    assert "<b>" not in drawn(figure)


def test_images():
    pictures = [np.zeros((4, 5)), np.ones((3, 4, 5)), np.full((4, 5, 3), 0.5), np.ones((1, 4, 5))]
    figure = figures.images(pictures, captions=HOSTILE[:4], n_columns=3)
    shapes = [np.asarray(trace.z).shape for trace in figure.data]
    assert shapes == [(4, 5, 3)] * 4
    assert [int(np.asarray(trace.z).max()) for trace in figure.data] == [0, 255, 128, 255]
    assert "<img" not in drawn(figure)
    with pytest.raises(InputError, match=re.escape("got shape (2, 4, 5)")):
        figures.images([np.zeros((2, 4, 5))])
    with pytest.raises(InputError, match="be 1 texts"):
        figures.images([np.zeros((4, 5))], ["a", "b"])


def test_labels_are_short_and_on_one_line():
    for name in HOSTILE:
        text = figures.label(name)
        assert "\n" not in text
        assert "<" not in text
        assert len(text) < 80
