"""The picture of x-features: one example, its 1-heatmap, and the map of each x-feature laid over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.interpret.deep.examples import rgb_bytes

if TYPE_CHECKING:
    import plotly.graph_objects as go

# The result, which draws itself with this file: naming its class here would be a cycle.
Found: TypeAlias = Any
Array = npt.NDArray[Any]
_COLUMNS, _LINE = 4, 26
_STOPS = np.array([[0, 0, 60], [110, 0, 130], [220, 40, 60], [250, 150, 20], [255, 250, 140]], np.float64)


def xfeature_figure(found: Found, image: int) -> go.Figure:
    """A grid: picture, 1-heatmap, x-features by contribution; orange raises the score, blue lowers it."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    pixels = rgb_bytes(found.images[image : image + 1], box_from(found.provenance.params))[0]
    contributions = found.contributions[image]
    order = np.argsort(-contributions, kind="stable")
    titles = [f"{_class_name(found)}: {found.scores[image]:.2f}", "1-heatmap"]
    titles += [_title(found.names[i], float(contributions[i])) for i in order]
    pictures = [pixels, overlay(pixels, found.baseline[image])]
    pictures += [overlay(pixels, found.maps[image, i]) for i in order]
    n_rows = -(-len(pictures) // _COLUMNS)
    told = max(1 + title.count("<br>") for title in titles)
    height = (200 + 15 * told) * n_rows + 70
    figure = make_subplots(
        n_rows,
        _COLUMNS,
        subplot_titles=titles,
        horizontal_spacing=0.02,
        vertical_spacing=(12 + 15 * told) / height if n_rows > 1 else 0,
    )
    for place, picture in enumerate(pictures):
        trace = go.Image(z=picture, hoverinfo="skip")
        figure.add_trace(trace, row=place // _COLUMNS + 1, col=place % _COLUMNS + 1)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_annotations(font_size=12)
    title = f"Picture {image}: {found.scores[image]:.2f} as {found.reconstructed[image]:.2f}"
    figures.themed(figure, title=f"{title}, of which {found.bias:.2f} belongs to no concept")
    top = figure.layout.margin.t + 15 * told
    return figure.update_layout(height=height, margin={"l": 10, "r": 10, "b": 10, "t": top})


def contribution_figure(found: Found, image: int) -> go.Figure:
    """Draw what each x-feature adds to the score of one example, as bars, largest first."""
    contributions = found.contributions[image]
    order = np.argsort(-contributions, kind="stable")
    title = f"Example {image}: {found.scores[image]:.2f} as {found.reconstructed[image]:.2f}"
    return figures.bars(
        [found.names[i] for i in order],
        contributions[order],
        title=f"{title}, of which {found.bias:.2f} belongs to no concept",
        x_title=f"contribution to {found.class_names[found.class_index]} (logits)",
    )


def _class_name(found: Found) -> str:
    return figures.wrapped(found.class_names[found.class_index], _LINE)


def _title(name: str, contribution: float) -> str:
    colour = figures.RAISES if contribution > 0 else figures.LOWERS if contribution < 0 else figures.INK
    return f'{figures.wrapped(name, _LINE)} <span style="color:{colour}">{contribution:+.2f}</span>'


def overlay(pixels: npt.NDArray[np.uint8], heat: Array) -> npt.NDArray[np.uint8]:
    """A heat map laid over a picture: ``(1 - a^0.8) picture + a^0.8 colour(a)``, a the map from 0 to 1.

    Args:
        pixels: (H, W, 3) bytes.
        heat: (h, w), enlarged to the picture; negative values count as 0. An empty map leaves the picture.

    Returns:
        (H, W, 3) bytes.
    """
    share = np.clip(_resized(np.asarray(heat, np.float64), *pixels.shape[:2]), 0, None)
    largest = share.max()
    share = share / largest if largest > 0 else share
    stops = np.linspace(0, 1, len(_STOPS))
    colour = np.stack([np.interp(share, stops, _STOPS[:, channel]) for channel in range(3)], axis=2)
    alpha = share[:, :, None] ** 0.8
    blended: Array = (1 - alpha) * pixels + alpha * colour
    return np.rint(blended).astype(np.uint8)


def _resized(heat: Array, height: int, width: int) -> Array:
    """(h, w) -> (height, width), linear between the centres of the cells."""
    for axis, size in enumerate((height, width)):
        cells = heat.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, cells - 1)
        part = (place - low).reshape((-1, 1) if axis == 0 else (1, -1))
        heat = (1 - part) * heat.take(low, axis) + part * heat.take(high, axis)
    return heat
