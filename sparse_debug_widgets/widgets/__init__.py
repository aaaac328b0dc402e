"""The only room that knows Jupyter: panels bound to results and to live models.

Importing it is cheap: the panels (and with them anywidget) are loaded when the first one is asked for.
"""

from sparse_debug_widgets.widgets.catalog import (
    PANELS,
    debug,
    features_panel,
    fit_panel,
    panel,
    perturb_panel,
    saliency_panel,
    x_features_panel,
)
from sparse_debug_widgets.widgets.display import register_display, register_formatter, register_progress
from sparse_debug_widgets.widgets.kit.job_comm import announce_jobs

__all__ = [
    "PANELS",
    "announce_jobs",
    "debug",
    "features_panel",
    "fit_panel",
    "panel",
    "perturb_panel",
    "register_display",
    "register_formatter",
    "register_progress",
    "saliency_panel",
    "x_features_panel",
]
