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


# -- the theme follows the page --------------------------------------------------------------------------


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_figure_has_no_ground_of_its_own_and_ink_for_any_page() -> None:
    figure = figures.lines(np.arange(3), {"a": np.arange(3), "b": np.arange(3)}, title="t", marks={"m": 1.0})
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    for page in ("#FFFFFF", "#111111"):
        assert contrast(figure.layout.font.color, page) > 4.2
    # No curve is the colour of a page.
    assert not {"#000000", "#FFFFFF"} & set(figure.layout.colorway)
    assert all(contrast(colour, "#111111") > 2.5 for colour in figure.layout.colorway)
    dark = figures.themed(figure, dark=True)
    assert contrast(dark.layout.font.color, dark.layout.paper_bgcolor) > 7


def test_captions_are_wrapped_and_what_stands_last_is_not_cut() -> None:
    captions = ["row 12: label german_shorthaired_pointer, predicted <b>Chesapeake Bay retriever</b>"] * 7
    figure = figures.images([np.zeros((4, 4))] * 7, captions, n_columns=6)
    for note in figure.layout.annotations:
        text = note.text.replace("<br>", " ")
        assert "retriever" in text
        assert "&lt;b&gt;Chesapeake" in text
        assert max(map(len, note.text.split("<br>"))) <= 60
    # There is room for the lines, between rows and above the first.
    lines = max(note.text.count("<br>") for note in figure.layout.annotations)
    assert figure.layout.margin.t > 12 * lines
    upper, lower = figure.layout.yaxis.domain, figure.layout.yaxis7.domain
    assert (upper[0] - lower[1]) * (figure.layout.height - figure.layout.margin.t) > 12 * lines


def test_a_picture_may_be_seen_through() -> None:
    clear = np.zeros((4, 6, 4))
    figure = figures.images([clear], n_columns=1)
    assert figure.data[0].colormodel == "rgba256"
    assert np.shape(figure.data[0].z) == (4, 6, 4)
