"""The picture of prototypes: each feature's histogram, its extremes, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.interpret.deep.examples import rgb_bytes

if TYPE_CHECKING:
    import plotly.graph_objects as go

# The result, which draws itself with this file: naming its class here would be a cycle.
Found: TypeAlias = Any
_SHOWN = 5


def prototype_figure(found: Found, places: Sequence[int]) -> go.Figure:
    """One row per feature: bottom pictures, histogram, top pictures; without pictures the histograms only."""
    from plotly.subplots import make_subplots

    k = min(_SHOWN, found.top.shape[1]) if found.pictures is not None else 0
    middle = k + 1
    widths = [1.0] * k + [max(2.0, 0.4 * k)] + [1.0] * k
    figure = make_subplots(
        max(1, len(places)),
        2 * k + 1,
        column_widths=widths,
        horizontal_spacing=0.008,
        vertical_spacing=min(0.17, 0.45 / max(1, len(places))),
    )
    for number, j in enumerate(places, start=1):
        _histogram(figure, found, j, number, middle)
        for r in range(k):
            _picture(figure, found, int(found.bottom[j, r]), number, k - r)
            _picture(figure, found, int(found.top[j, r]), number, middle + 1 + r)
    for side, column in (("least", 1), ("most", middle + 1)):
        if k:
            axis = figure.get_subplot(1, column).xaxis
            figure.add_annotation(
                text=f"{side} activating",
                x=axis.domain[0],
                y=1.0,
                xref="paper",
                yref="paper",
                xanchor="left",
                yanchor="bottom",
                showarrow=False,
            )
    figure.update_layout(showlegend=False, bargap=0, height=150 * max(1, len(places)) + 90)
    return figures.themed(figure, title=f"Prototypes of {len(places)} features among {found.n} examples")


def _histogram(figure: go.Figure, found: Found, j: int, row: int, column: int) -> None:
    counts, edges = found.counts[j], found.edges[j]
    used = np.flatnonzero(counts)
    bins = slice(used[0], used[-1] + 1) if len(used) else slice(0, 1)
    centers = (edges[:-1] + edges[1:])[bins] / 2
    figure.add_bar(
        x=centers,
        y=counts[bins],
        marker_color="#999999",
        row=row,
        col=column,
        hovertemplate="%{x:.3g}: %{y}<extra></extra>",
    )
    ends = ((found.bottom_activations, figures.LOWERS), (found.top_activations, figures.RAISES))
    for values, colour in ends:
        here = values[j][np.isfinite(values[j])]
        figure.add_scatter(
            x=here,
            y=np.zeros(len(here)),
            mode="markers",
            marker={"color": colour, "symbol": "triangle-up", "size": 9},
            row=row,
            col=column,
            hovertemplate="%{x:.3g}<extra></extra>",
        )
    name = figures.label(found.feature_names[j], 24) + (" (constant)" if found.constant[j] else "")
    figure.update_xaxes(title_text=name, title_standoff=2, row=row, col=column)
    figure.update_yaxes(visible=False, row=row, col=column)


def _picture(figure: go.Figure, found: Found, example: int, row: int, column: int) -> None:
    import plotly.graph_objects as go

    figure.update_xaxes(visible=False, row=row, col=column)
    figure.update_yaxes(visible=False, row=row, col=column)
    if example < 0:
        return
    place = int(np.searchsorted(found.shown_rows, example))
    pixels = rgb_bytes(found.pictures[place : place + 1], box_from(found.provenance.params))[0]
    figure.add_trace(
        go.Image(z=pixels, hovertemplate=f"example {example}<extra></extra>"), row=row, col=column
    )
