"""The calls that do in a cell what the Features panel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparse_debug_widgets.widgets.kit.code import Cell, Expression, normalized
from sparse_debug_widgets.widgets.kit.namespace import called
from sparse_debug_widgets.widgets.shared.features.source import PICTURES, TEXT, FeatureSource
from sparse_debug_widgets.widgets.shared.features.work import Plan
from sparse_debug_widgets.widgets.shared.live import Silenced


def cell(
    names: Mapping[str, str],
    source: FeatureSource,
    plan: Plan,
    features: Sequence[int],
    *,
    index: int,
    silenced: Sequence[Silenced],
    renamed: Mapping[int, str],
) -> Cell:
    """The calls for what is on show.

    Args:
        names: What the notebook calls ``path``, ``model``, ``data``, ``features``; "" for what there is not.
        source: Examples and deep features.
        plan: Settings.
        features: Those on the screen.
        index: The lambda.
        silenced: Silenced features.
        renamed: Names given in this panel.
    """
    path, model, data, deep = (names[name] for name in ("path", "model", "data", "features"))
    made = Cell()
    if renamed:
        made.call(f"{path}.rename", repr(dict(renamed)))
    made.call(f"{path}.decision_layer", str(index), to="layer")
    for feature, row in silenced:
        made.call("layer.silence", str(feature), to="layer", **({} if row is None else {"class_index": row}))
    listed = {"features": list(features)}
    seed = {"seed": plan.seed} if plan.seed else {}
    sampled = ({} if plan.n_samples == 1000 else {"n_samples": plan.n_samples}) | seed
    normalize = normalized(source.normalize)
    tokens: dict[str, Any] = {}
    if source.tokenizer is not None:
        tokens = {"tokenizer": Expression(called(source.tokenizer, "tokenizer"))}
    if (deep or model) and features:
        units = {} if deep else {"units": Expression(path)}
        given = (deep or model, data)
        made.call("find_prototypes", *given, to="prototypes", **listed, k=plan.k, **units, **normalize)
    if model and features and source.kind == PICTURES:
        explained = (model, "prototypes", path)
        made.call("lime_prototypes", *explained, to="explained", k=plan.explained, **sampled)
        drawn: dict[str, Any] = {"signs": (1, -1), "n_steps": plan.n_steps}
        shown = (model, data, path)
        made.call("visualize_features", *shown, to="pictures", **listed, **drawn, **seed, **normalize)
    if model and features and source.kind == TEXT:
        own = tokens or {"tokenizer": Expression(f"{data}.tokenizer")}
        asked = (model, "prototypes.sentences", deep or path)
        made.call("lime_text", *asked, to="explained", **own, **listed, **sampled)
        made.call("word_clouds", "explained", to="clouds")
    more = {name: Expression(said) for name, said in (("data", data), ("features", deep)) if said}
    made.call("features_panel", path, model, **more, **tokens, **normalize)
    return made
