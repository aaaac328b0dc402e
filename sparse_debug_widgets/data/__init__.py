"""Demos: models with data about which the truth is known."""

from sparse_debug_widgets.data.catalog import DEMOS, list_demos, load_demo
from sparse_debug_widgets.data.demo import Demo

__all__ = ["DEMOS", "Demo", "list_demos", "load_demo"]
