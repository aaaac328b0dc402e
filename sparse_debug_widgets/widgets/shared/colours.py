"""Colours of maps: names and bounds that every panel with maps shares; the page paints them."""

from __future__ import annotations

from typing import Annotated

from sparse_debug_widgets.core.params import Among, Range

SEQUENTIAL = ("inferno", "viridis", "cividis", "grey")
DIVERGING = ("blue-orange", "purple-green")

Sequential = Annotated[str, Among(SEQUENTIAL)]
Diverging = Annotated[str, Among(DIVERGING)]
Percentile = Annotated[float, Range(0, 100, open_low=True)]
Blend = Annotated[float, Range(0, 1)]
Pixels = Annotated[int, Range(16, 2000)]
