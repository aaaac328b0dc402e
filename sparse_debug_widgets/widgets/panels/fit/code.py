"""The calls that do in a cell what the Fit panel does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparse_debug_widgets.widgets.kit.code import Cell, differing
from sparse_debug_widgets.widgets.panels.fit.settings import DEFAULT, FIT_ONLY, same_share


def cell(values: Mapping[str, Any], names: Mapping[str, str], share: float | None) -> Cell:
    """The calls that reproduce a fit.

    Args:
        values: Settings of the fit.
        names: What the notebook calls the ``model`` and the ``data``, or the ``features``.
        share: Share that the features hold out already; None where they come from a live model.
    """
    made = Cell()
    features = names.get("features", "features")
    split = {name: values[name] for name in ("validation", "seed")}
    if "model" in names:
        made.call(
            "extract_features",
            *(names["model"], names["data"], names.get("options", "")),
            to="features",
            **split,
        )
    elif not same_share(values, share):
        made.call(f"{features}.resplit", to="features", **split)
        features = "features"
    said = differing({name: values[name] for name in FIT_ONLY}, DEFAULT) | {"solver": values["solver"]}
    if values["device"] != "cpu":
        said["device"] = values["device"]
    made.call("elastic_net_path", features, to="path", **said)
    made.call("panel", "path")
    return made
