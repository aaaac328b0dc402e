"""The picture of the order of features: weights along the path, entries, and what each stands for."""

from __future__ import annotations

import base64
import io
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.sparse.problem.families import FAMILIES

if TYPE_CHECKING:
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
# The result, which draws itself with this file: naming its class here would be a cycle.
Order: TypeAlias = Any
_PICTURE_ROW, _TEXT_ROW, _PLAIN_ROW = 86, 74, 46
_TOP, _BOTTOM, _ACCURACY, _GAP = 100, 118, 90, 46
_LINE = 34
_KEY = (
    "Orange speaks for the class, blue against it. Areas are weights along the path, numbers where they end."
)


class _Look(NamedTuple):
    """Colours of ink, faint lines and ground; of evidence for and against."""

    ink: str
    faint: str
    ground: str
    signs: dict[int, str]


_LIGHT = _Look("#222222", "#DDDDDD", "#FFFFFF", {1: figures.RAISES, -1: figures.LOWERS})
_DARK = _Look("#EEEEEE", "#444444", "#111111", {1: figures.RAISES_DARK, -1: figures.LOWERS_DARK})
_ANY = _Look(figures.INK, "rgba(128,128,128,0.3)", figures.CLEAR, {1: "#C8641A", -1: "#2B83BD"})


def order_figure(order: Order, n: int, *, dark: bool | None = None) -> go.Figure:
    """Accuracy on top; below one row per feature.

    Args:
        order: The result.
        n: How many rows.
        dark: On black (True) or on white (False); None follows the page.
    """
    import plotly.graph_objects as go

    look = _ANY if dark is None else _DARK if dark else _LIGHT
    with_words = any(order.raising[:n]) or any(order.lowering[:n]) or any(order.sentences[:n])
    n_columns = len(order.columns) if order.pictures is not None else 0
    words = 0.5 if with_words else 0.0
    pictures = min(0.115 * n_columns, 0.56 - words / 2)
    tall = _PICTURE_ROW if n_columns else _TEXT_ROW if with_words else _PLAIN_ROW
    figure = go.Figure()
    figures.themed(figure, title=f"{order.class_name}: the order in which features enter")
    _frame(figure, look, tall * max(1, n))
    _axes(figure, order, n, look, tall * max(1, n), 1 - words - pictures)
    _accuracy(figure, order, n, look)
    _weights(figure, order, n, look)
    if n_columns:
        _pictures(figure, order, n, (1 - words - pictures, 1 - words))
    if with_words:
        _words(figure, order, n, look, 1.01 - words)
    return figure


def _frame(figure: go.Figure, look: _Look, rows: int) -> None:
    """Size, colours and the key."""
    key = "<br>".join(textwrap.wrap(_KEY, 62))
    figure.update_layout(
        template="plotly_dark" if look is _DARK else "plotly_white",
        paper_bgcolor=look.ground,
        plot_bgcolor=look.ground,
        font={"color": look.ink},
        showlegend=False,
        height=rows + _GAP + _ACCURACY + _TOP + _BOTTOM,
        margin={"l": 172, "r": 16, "t": _TOP, "b": _BOTTOM},
        title={"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}}
        | {"subtitle": {"text": key, "font": {"size": 12, "color": look.ink}}},
    )


def _axes(figure: go.Figure, order: Order, n: int, look: _Look, rows: int, right: float) -> None:
    """Strengths below both charts, which end at ``right``; what never enters, in words."""
    inside = rows + _GAP + _ACCURACY
    grid = {"gridcolor": look.faint, "zeroline": False}
    strengths = {"type": "log", "range": _range(order.lambdas), "dtick": 1, "tickformat": "~g"} | grid
    strengths["domain"] = [0, min(1, right) - 0.015]
    figure.update_layout(
        xaxis={"anchor": "y", "title": {"text": "lambda"}} | strengths,
        xaxis2={"anchor": "y2", "matches": "x", "showticklabels": False} | strengths,
        yaxis={
            "domain": [0, rows / inside],
            "range": [max(1, n) - 0.5, -0.5],
            "tickvals": list(range(n)),
            "ticktext": [_row_name(order, s) for s in range(n)],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        yaxis2={
            "domain": [1 - _ACCURACY / inside, 1],
            "anchor": "x2",
            "tickformat": ".0%" if FAMILIES[order.family].percent else ".2f",
            "nticks": 4,
            "title": {"text": _measure(order), "font": {"size": 11}},
        }
        | grid,
    )
    said = "<br>".join(figures.label(line, 200) for line in textwrap.wrap(order.said(n), 78))
    figure.add_annotation(
        text=said, x=0, y=0, xref="paper", yref="paper", yshift=-56, xanchor="left", yanchor="top",
        align="left", showarrow=False, xshift=-160, font={"size": 12},
    )  # fmt: skip


def _range(lambdas: Array) -> list[float]:
    """Strong penalties on the left, with room for the last weights on the right, as powers of ten."""
    high, low = float(np.log10(lambdas[0])), float(np.log10(lambdas[-1]))
    span = max(high - low, 0.1)
    return [high + 0.03 * span, low - 0.3 * span]


def _measure(order: Order) -> str:
    split = ("training", "validation")[order.split]
    return f"{split}<br>{FAMILIES[order.family].score}"


def _at(order: Order, s: int) -> str:
    value = order.accuracies[order.entered[s], order.split]
    kind = FAMILIES[order.family]
    shown = f"{value:.1%}" if kind.percent else f"{kind.score} {value:.2f}"
    about = "~ " if order.undecided[s] else ""
    return f"{about}λ {order.lambdas[order.entered[s]]:.3g}, {shown}"


def _row_name(order: Order, s: int) -> str:
    name = figures.label(order.feature_names[s], 20)
    return f"<b>{s + 1}. {name}</b><br><span style='font-size:11px'>{_at(order, s)}</span>"


def _accuracy(figure: go.Figure, order: Order, n: int, look: _Look) -> None:
    values = order.accuracies[:, order.split]
    figure.add_scatter(
        x=order.lambdas, y=values, xaxis="x2", yaxis="y2", mode="lines",
        line={"color": look.ink, "width": 1.5},
        hovertemplate="λ %{x:.3g}: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    at = order.entered[:n]
    figure.add_scatter(
        x=order.lambdas[at], y=values[at], xaxis="x2", yaxis="y2", mode="markers",
        marker={"size": 7, "color": [look.signs[int(sign)] for sign in order.signs[:n]]},
        text=[figures.label(name) for name in order.feature_names[:n]],
        hovertemplate="%{text} enters<extra></extra>",
    )  # fmt: skip


def _weights(figure: go.Figure, order: Order, n: int, look: _Look) -> None:
    """Weights as areas about each row's middle, one scale for all rows; a point where the feature enters."""
    weights = order.weights[:, :n]
    scale = 0.42 / (float(np.abs(weights).max(initial=0.0)) or 1.0)
    lambdas = order.lambdas
    for sign, colour in look.signs.items():
        x: list[float | None] = []
        y: list[float | None] = []
        for s in range(n):
            # Rows count downwards, so that a positive weight rises where y falls.
            part = s - scale * sign * np.maximum(sign * weights[:, s], 0)
            x += [*lambdas.tolist(), lambdas[-1], lambdas[0], None]
            y += [*part.tolist(), float(s), float(s), None]
        figure.add_scatter(
            x=x, y=y, mode="lines", fill="toself", line={"color": colour, "width": 0}, hoverinfo="skip"
        )
    flat: list[float | None] = [value for s in range(n) for value in (float(s), float(s), None)]
    figure.add_scatter(
        x=[lambdas[0], lambdas[-1], None] * n, y=flat, mode="lines",
        line={"color": look.faint, "width": 1}, hoverinfo="skip",
    )  # fmt: skip
    colours = [look.signs[int(sign)] for sign in order.signs[:n]]
    figure.add_scatter(
        x=lambdas[order.entered[:n]], y=np.arange(n), mode="markers",
        marker={"size": 9, "color": colours, "line": {"color": look.ground, "width": 1}},
        text=[f"{figures.label(order.feature_names[s])} enters at {_at(order, s)}" for s in range(n)],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    for s, final in enumerate(order.final_weights[:n]):
        colour = look.signs[1 if final > 0 else -1] if final else look.ink
        figure.add_annotation(
            text=_short(final), x=np.log10(lambdas[-1]), y=s, xanchor="left",
            showarrow=False, font={"size": 11, "color": colour}, xshift=3,
        )  # fmt: skip


def _short(weight: float) -> str:
    """Also tells weights near zero from those of features that left again."""
    return "0" if weight == 0 else f"{weight:+.2f}" if abs(weight) >= 0.005 else f"{weight:+.0e}"


def _pictures(figure: go.Figure, order: Order, n: int, domain: tuple[float, float]) -> None:
    axis = {"domain": domain, "range": [-0.5, len(order.columns) - 0.5], "anchor": "y"}
    figure.update_layout(xaxis3=axis | {"visible": False, "fixedrange": True})
    for t, heading in enumerate(order.columns):
        if t == 0 or heading != order.columns[t - 1]:
            span = sum(1 for other in order.columns[t:] if other == heading)
            figure.add_annotation(
                text=figures.label(heading, 18), x=t + (span - 1) / 2, y=-0.5, xref="x3", yanchor="bottom",
                showarrow=False, font={"size": 10},
            )  # fmt: skip
    for s in range(n):
        for t in range(len(order.columns)):
            if not order.notes[s][t]:
                continue
            figure.add_layout_image(
                source=_png(order.pictures[s, t]), xref="x3", yref="y", x=t, y=s - 0.08, sizex=0.94,
                sizey=0.76, xanchor="center", yanchor="middle", sizing="contain", layer="above",
            )  # fmt: skip
            figure.add_annotation(
                text=figures.label(order.notes[s][t], 18), x=t, y=s + 0.31, xref="x3", yanchor="top",
                showarrow=False, font={"size": 10}, borderpad=0,
                opacity=0.85,
            )  # fmt: skip
    # Pictures without any point would leave the axis undrawn.
    figure.add_scatter(
        x=[0], y=[0], xaxis="x3", yaxis="y", mode="markers", marker={"opacity": 0}, hoverinfo="skip"
    )


def _words(figure: go.Figure, order: Order, n: int, look: _Look, left: float) -> None:
    for s in range(n):
        lines = []
        for words, sign in ((order.raising[s], 1), (order.lowering[s], -1)):
            arrow = "▲" if sign > 0 else "▼"
            told = textwrap.wrap(
                ", ".join(words), _LINE - 2, max_lines=2 if sign > 0 else 1, placeholder=" …"
            )
            start = f"<span style='color:{look.signs[sign]}'>{arrow}</span> "
            lines += [start * (k == 0) + figures.label(line, 60) for k, line in enumerate(told)]
        if order.sentences[s]:
            lines.append(f"<i>“{figures.label(order.sentences[s], _LINE)}”</i>")
        figure.add_annotation(
            text="<br>".join(lines) or "no word moves it", x=left, y=s, xref="paper", xanchor="left",
            align="left", showarrow=False, font={"size": 11},
            hovertext=figures.label(", ".join(order.raising[s]), 400),
        )  # fmt: skip
    figure.add_annotation(
        text="words that raise it ▲ or lower it ▼", x=left, y=-0.5, xref="paper", xanchor="left",
        yanchor="bottom", showarrow=False, font={"size": 12},
    )  # fmt: skip


def _png(picture: Array) -> str:
    file = io.BytesIO()
    Image.fromarray(np.asarray(picture)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
