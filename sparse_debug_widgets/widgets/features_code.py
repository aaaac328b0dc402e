"""The calls that do in a cell what the Features panel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparse_debug_widgets.core.pixels import as_code
from sparse_debug_widgets.widgets.features_source import PICTURES, TEXT, FeatureSource
from sparse_debug_widgets.widgets.features_work import Plan
from sparse_debug_widgets.widgets.live import Silenced
from sparse_debug_widgets.widgets.namespace import called


def code(
    names: Mapping[str, str],
    source: FeatureSource,
    plan: Plan,
    features: Sequence[int],
    *,
    index: int,
    silenced: Sequence[Silenced],
    renamed: Mapping[int, str],
) -> str:
    """Python for what is on show.

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
    lines = ["import sparse_debug_widgets as sdw", ""]
    if renamed:
        lines.append(f"{path}.rename({dict(renamed)!r})")
    lines.append(f"layer = {path}.decision_layer({index})")
    for feature, row in silenced:
        where = "" if row is None else f", class_index={row}"
        lines.append(f"layer = layer.silence({feature}{where})")
    listed, seed = f"features={list(features)!r}", f", seed={plan.seed}" if plan.seed else ""
    normalize = as_code(source.normalize)
    samples = "" if plan.n_samples == 1000 else f", n_samples={plan.n_samples}"
    known = deep or model
    if known and features:
        units = "" if deep else f", units={path}"
        shown = f", {data}" if data else ""
        lines.append(
            f"prototypes = sdw.find_prototypes({known}{shown}, {listed}, k={plan.k}{units}{normalize})"
        )
    if model and features and source.kind == PICTURES:
        explained = f"prototypes, {path}, k={plan.explained}{samples}{seed}"
        lines.append(f"explained = sdw.lime_prototypes({model}, {explained})")
        steps = f"signs=(1, -1), n_steps={plan.n_steps}{seed}"
        lines.append(
            f"pictures = sdw.visualize_features({model}, {data}, {path}, {listed}, {steps}{normalize})"
        )
    if model and features and source.kind == TEXT:
        tokenizer = f"{data}.tokenizer" if source.tokenizer is None else called(source.tokenizer, "tokenizer")
        asked = f"prototypes.sentences, {deep or path}, tokenizer={tokenizer}, {listed}{samples}{seed}"
        lines.append(f"explained = sdw.lime_text({model}, {asked})")
        lines.append("clouds = sdw.word_clouds(explained)")
    given = [part for part in (path, model) if part]
    more = [("data", data), ("features", deep)]
    if source.tokenizer is not None:
        more.append(("tokenizer", called(source.tokenizer, "tokenizer")))
    given += [f"{name}={value}" for name, value in more if value]
    return "\n".join([*lines, f"sdw.features_panel({', '.join(given)}{normalize})"])
