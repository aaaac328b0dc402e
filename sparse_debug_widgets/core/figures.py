"""Small plotly figures in one theme, built from stored values; plotly is imported inside.

For still charts only: what is dragged has a canvas of its own in the widgets.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject, shorten

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colours: told apart by people with any colour vision. For their black, which a dark page
# swallows, a violet.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#6F5BB5")
# What raises a number or speaks for a class, and what lowers it or speaks against the class: one pair in
# every figure, cloud and panel (--sdw-raises and --sdw-lowers in the panels' kit.css), legible as text.
RAISES, LOWERS = "#B85000", "#0072B2"
RAISES_DARK, LOWERS_DARK = "#F5923E", "#58AEF0"
INK, CLEAR = "#797979", "rgba(0,0,0,0)"
"""Grey that stands out as much from white as from a black page (4.3 to 1), and no ground."""

_GRID, _LINE = "rgba(128,128,128,0.22)", "rgba(128,128,128,0.5)"
_FONT = "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"

Array = npt.NDArray[Any]


def label(text: object, limit: int = 40) -> str:
    """A name as plotly may show it: shortened, on one line, and with no markup of its own.

    plotly reads a subset of HTML in all its texts, so names that come from data are escaped.

    >>> label("<b>cat</b>")
    '&lt;b&gt;cat&lt;/b&gt;'
    """
    return html.escape(shorten(" ".join(str(text).split()), limit), quote=False)


def wrapped(text: object, width: int, limit: int = 240) -> str:
    """A caption on as many lines as it takes, escaped like :func:`label`: what stands last is not cut.

    >>> wrapped("true: hen, predicted: <rooster>", 16)
    'true: hen,<br>predicted:<br>&lt;rooster&gt;'
    """
    whole = shorten(" ".join(str(text).split()), limit)
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(whole, width) or [""])


def themed(
    figure: go.Figure, *, title: str = "", x_title: str = "", y_title: str = "", dark: bool | None = None
) -> go.Figure:
    """Give a figure the theme of this package and its titles (escaped).

    A figure does not learn which theme its page has. By default it has no ground of its own and ink that can
    be read on white and on black, so that it follows the page.

    Args:
        figure: The figure; it is changed.
        title: Above it; long ones go on in the next line.
        x_title: Below.
        y_title: At the side.
        dark: A ground of its own: black (True) or white (False).
    """
    ink, ground = {None: (INK, CLEAR), False: ("#222222", "#FFFFFF"), True: ("#EEEEEE", "#111111")}[dark]
    lines_of_title = wrapped(title, 90)
    top = 30 + 20 * (1 + lines_of_title.count("<br>")) if title else 20
    figure.update_layout(
        template="plotly_white",
        title={"text": lines_of_title, "font": {"size": 15}},
        font={"family": _FONT, "size": 12, "color": ink},
        colorway=list(COLORS),
        paper_bgcolor=ground,
        plot_bgcolor=ground,
        margin={"l": 60, "r": 20, "t": top, "b": 50},
        hoverlabel={"font": {"family": _FONT}},
        legend={"orientation": "h", "y": -0.2},
    )
    figure.update_xaxes(gridcolor=_GRID, zerolinecolor=_LINE, linecolor=_LINE)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor=_LINE, linecolor=_LINE)
    if x_title:
        figure.update_xaxes(title_text=label(x_title, 120))
    if y_title:
        figure.update_yaxes(title_text=label(y_title, 120))
    return figure


def lines(
    x: Array,
    series: Mapping[str, Array],
    *,
    title: str = "",
    x_title: str = "",
    y_title: str = "",
    log_x: bool = False,
    marks: Mapping[str, float] | None = None,
) -> go.Figure:
    """A line chart.

    Args:
        x: (m,) common abscissa.
        series: Name to (m,) values; NaN leaves a gap.
        title: Above the chart.
        x_title: Below it.
        y_title: Beside it.
        log_x: Logarithmic abscissa.
        marks: Vertical lines by name, for example a chosen lambda.

    Raises:
        InputError: A series of another length.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, values in series.items():
        if len(values) != len(x):
            reject(f"series {label(name)!r}", "a line chart", f"have {len(x)} values", f"{len(values)}")
        figure.add_scatter(x=x, y=values, name=label(name), mode="lines", hovertemplate="%{x:.4g}: %{y:.4g}")
    for name, position in (marks or {}).items():
        figure.add_vline(x=position, line={"dash": "dash", "color": INK}, annotation_text=label(name))
    if log_x:
        figure.update_xaxes(type="log")
    figure.update_layout(showlegend=len(series) > 1)
    return themed(figure, title=title, x_title=x_title, y_title=y_title)


def points(x: Array, y: Array, *, title: str = "", x_title: str = "", y_title: str = "") -> go.Figure:
    """A cloud of points.

    Args:
        x: (m,).
        y: (m,).
        title: Above the chart.
        x_title: Below it.
        y_title: Beside it.

    Raises:
        InputError: Not as many y as x.
    """
    import plotly.graph_objects as go

    if np.shape(x) != np.shape(y):
        reject("y", "a cloud of points", f"have shape {np.shape(x)}", f"shape {np.shape(y)}")
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=y, mode="markers", marker={"size": 5, "opacity": 0.6}, hovertemplate="%{x:.4g}: %{y:.4g}"
    )
    return themed(figure, title=title, x_title=x_title, y_title=y_title)


def bars(names: Sequence[str], values: Array, *, title: str = "", x_title: str = "") -> go.Figure:
    """Signed horizontal bars, the first name on top; the colour tells the sign.

    Args:
        names: m names, shown shortened; equal names stay separate bars.
        values: (m,).
        title: Above the chart.
        x_title: Below it.

    Raises:
        InputError: Not as many names as values.
    """
    import plotly.graph_objects as go

    if len(names) != len(values):
        reject("names", "a bar chart", f"be {len(values)} names", f"{len(names)} names")
    rows = np.arange(len(values))
    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=rows,
        orientation="h",
        marker_color=[LOWERS if value < 0 else RAISES for value in values],
        customdata=[label(name, 200) for name in names],
        hovertemplate="%{customdata}: %{x:.4g}<extra></extra>",
    )
    # Positions rather than names as categories: plotly would add up bars of the same name.
    ticks = [label(name) for name in names]
    figure.update_yaxes(tickvals=rows, ticktext=ticks, autorange="reversed")
    figure.update_layout(height=max(240, 22 * len(values) + 110))
    return themed(figure, title=title, x_title=x_title)


def bands(
    x: Array,
    panels: Mapping[str, Mapping[str, Array]],
    *,
    title: str = "",
    x_title: str = "",
    y_title: str = "",
    level: Mapping[str, float] | None = None,
) -> go.Figure:
    """Lines with their intervals as bands, panels side by side with one scale.

    Args:
        x: (m,) common abscissa, drawn at equal distances.
        panels: Name of each panel to its series: name to (m, 3), a value and the ends of its interval.
        title: Above the panels.
        x_title: Below each.
        y_title: Beside the first.
        level: Horizontal lines by name.

    Raises:
        InputError: A series of another length.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    names = [label(name, 24) for name in panels]
    figure = make_subplots(1, max(1, len(panels)), subplot_titles=names, shared_yaxes=True)
    places = np.arange(len(x))
    for column, series in enumerate(panels.values(), 1):
        for k, (name, triples) in enumerate(series.items()):
            if np.shape(triples) != (len(x), 3):
                reject(
                    f"series {label(name)!r}", "bands", f"have shape ({len(x)}, 3)", f"{np.shape(triples)}"
                )
            value, low, high = np.asarray(triples, np.float64).T
            color = COLORS[k % len(COLORS)]
            around = go.Scatter(
                x=np.concatenate([places, places[::-1]]),
                y=np.concatenate([high, low[::-1]]),
                fill="toself",
                fillcolor=color,
                line={"width": 0},
                mode="lines",
                opacity=0.18,
                hoverinfo="skip",
                showlegend=False,
                legendgroup=label(name),
            )
            line = go.Scatter(
                x=places,
                y=value,
                name=label(name),
                mode="lines+markers",
                line={"color": color},
                customdata=np.stack([np.asarray(x), low, high], 1),
                hovertemplate="%{customdata[0]}: %{y:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]",
                showlegend=column == 1,
                legendgroup=label(name),
            )
            figure.add_trace(around, row=1, col=column)
            figure.add_trace(line, row=1, col=column)
        for name, height in (level or {}).items():
            dash = {"dash": "dot", "color": INK}
            figure.add_hline(y=height, line=dash, annotation_text=label(name), row=1, col=column)
    figure.update_xaxes(
        tickvals=places, ticktext=[label(v) for v in np.asarray(x)], title_text=label(x_title), zeroline=False
    )
    themed(figure, title=title)
    figure.update_yaxes(title_text=label(y_title), row=1, col=1)
    # Names of panels stand where a title would.
    return figure.update_layout(margin={"t": figure.layout.margin.t + 25})


def grouped(
    names: Sequence[str],
    series: Mapping[str, Sequence[tuple[float, float, float]]],
    *,
    title: str = "",
    y_title: str = "",
) -> go.Figure:
    """Upright bars side by side with their intervals, a group for each name.

    Args:
        names: m names of groups.
        series: Name to m triples of a value and the ends of its interval; NaN leaves a gap.
        title: Above the chart.
        y_title: Beside it.

    Raises:
        InputError: A series of another length.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, triples in series.items():
        if len(triples) != len(names):
            reject(f"series {label(name)!r}", "grouped bars", f"have {len(names)} values", f"{len(triples)}")
        value, low, high = np.asarray(triples, np.float64).reshape(-1, 3).T
        figure.add_bar(
            x=np.arange(len(names)),
            y=value,
            name=label(name, 60),
            error_y={"array": high - value, "arrayminus": value - low, "color": INK, "thickness": 1},
            customdata=np.stack([low, high], 1),
            hovertemplate="%{y:.3g} [%{customdata[0]:.3g}, %{customdata[1]:.3g}]",
        )
    ticks = [label(name) for name in names]
    figure.update_xaxes(tickvals=np.arange(len(names)), ticktext=ticks, showgrid=False, zeroline=False)
    figure.update_layout(barmode="group", showlegend=len(series) > 1)
    return themed(figure, title=title, y_title=y_title)


def heatmap(
    values: Array,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    title: str = "",
    signed: bool = False,
) -> go.Figure:
    """A matrix as colours.

    Args:
        values: (m, k).
        rows: m names.
        columns: k names.
        title: Above the chart.
        signed: Centre the colours at 0, orange positive and blue negative.
    """
    import plotly.graph_objects as go

    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    signed_scale = [[0.0, LOWERS], [0.5, "rgba(128,128,128,0.12)"], [1.0, RAISES]]
    figure = go.Figure()
    figure.add_heatmap(
        z=values,
        colorscale=signed_scale if signed else "Blues",
        zmin=-largest if signed else None,
        zmax=largest if signed else None,
        hovertemplate="row %{y}, column %{x}: %{z:.4g}<extra></extra>",
    )
    if columns is not None:
        figure.update_xaxes(tickvals=np.arange(len(columns)), ticktext=[label(name) for name in columns])
    if rows is not None:
        figure.update_yaxes(tickvals=np.arange(len(rows)), ticktext=[label(name) for name in rows])
    figure.update_yaxes(autorange="reversed")
    return themed(figure, title=title)


def histograms(
    panels: Mapping[str, Array], *, title: str = "", x_title: str = "", bins: int = 40
) -> go.Figure:
    """A grid of histograms; the counts are computed here, so that the figure stays small.

    Args:
        panels: Name to values, one panel each.
        title: Above the grid.
        x_title: Below the bottom row.
        bins: Number of bins of each histogram.
    """
    from plotly.subplots import make_subplots

    n_columns = max(1, min(4, len(panels)))
    n_rows = max(1, math.ceil(len(panels) / n_columns))
    names = [label(name, 24) for name in panels]
    figure = make_subplots(n_rows, n_columns, subplot_titles=names, vertical_spacing=0.35 / n_rows)
    for k, values in enumerate(panels.values()):
        counts, edges = np.histogram(values[np.isfinite(values)], bins)
        centers = (edges[:-1] + edges[1:]) / 2
        row, column = k // n_columns + 1, k % n_columns + 1
        figure.add_bar(
            x=centers, y=counts, marker_color=COLORS[0], row=row, col=column, hovertemplate="%{x:.3g}: %{y}"
        )
        if row == n_rows and x_title:
            figure.update_xaxes(title_text=label(x_title), row=row, col=column)
    figure.update_layout(showlegend=False, bargap=0, height=180 * n_rows + 100)
    return themed(figure, title=title)


def images(
    pictures: Sequence[Array], captions: Sequence[str] | None = None, *, title: str = "", n_columns: int = 6
) -> go.Figure:
    """A grid of pictures.

    Args:
        pictures: Arrays (H, W), (H, W, 3), (1, H, W) or (3, H, W) with values in [0, 1]; (H, W, 4) with how
            much each pixel covers.
        captions: One per picture; long ones go on in the next line.
        title: Above the grid.
        n_columns: Pictures in a row.

    Raises:
        InputError: Another shape, or not as many captions as pictures.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    if captions is not None and len(captions) != len(pictures):
        reject("captions", "pictures", f"be {len(pictures)} texts", f"{len(captions)} texts")
    wide = max(1, min(n_columns, len(pictures)))
    n_rows = max(1, math.ceil(len(pictures) / wide))
    names = [wrapped(caption, max(16, 108 // wide)) for caption in captions] if captions is not None else None
    told = max((1 + name.count("<br>") for name in names), default=0) if names else 0
    height = (150 + 15 * told) * n_rows + 60
    figure = make_subplots(
        n_rows,
        wide,
        subplot_titles=names,
        horizontal_spacing=0.02,
        vertical_spacing=min(0.9 / n_rows, (10 + 15 * told) / height) if n_rows > 1 else 0,
    )
    for k, picture in enumerate(pictures):
        trace = go.Image(z=_pixels(picture), colormodel="rgba256" if np.shape(picture)[-1] == 4 else "rgb")
        figure.add_trace(trace, row=k // wide + 1, col=k % wide + 1)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(height=height)
    figure.update_annotations(font_size=12)
    themed(figure, title=title)
    # The captions of the first row stand above it.
    return figure.update_layout(margin={"l": 10, "r": 10, "b": 10, "t": figure.layout.margin.t + 15 * told})


def _pixels(picture: Array) -> npt.NDArray[np.uint8]:
    """Bytes (H, W, 3), or (H, W, 4) of a picture with a ground that is seen through."""
    if np.ndim(picture) == 3 and np.shape(picture)[2] == 4:
        return np.asarray(np.rint(np.asarray(picture, np.float64).clip(0, 1) * 255), np.uint8)
    return _rgb(picture)


def _rgb(picture: Array) -> npt.NDArray[np.uint8]:
    array = np.asarray(picture, np.float64)
    if array.ndim == 3 and array.shape[0] in {1, 3} and array.shape[2] not in {1, 3}:
        array = array.transpose(1, 2, 0)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in {1, 3}:
        must = "have shape (H, W), (H, W, 3), (1, H, W) or (3, H, W)"
        reject("a picture", "an image grid", must, f"shape {np.shape(picture)}")
    bytes_ = np.rint(np.nan_to_num(array).clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(bytes_, 3, axis=2) if bytes_.shape[2] == 1 else bytes_
