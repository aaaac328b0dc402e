"""The calls that do in a cell what the Path panel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparse_debug_widgets.widgets.kit.code import Cell, Expression
from sparse_debug_widgets.widgets.shared.live import Silenced


def cell(
    names: Mapping[str, str],
    *,
    index: int,
    class_index: int,
    silenced: Sequence[Silenced],
    renamed: Mapping[int, str],
    installed: bool,
) -> Cell:
    """The calls for what is on show.

    Args:
        names: What the notebook calls ``path``, and whatever the panel was given of ``model``, ``data``,
            ``features``, ``examples`` and ``tokenizer``.
        index: The lambda.
        class_index: The class.
        silenced: Silenced features.
        renamed: Names given in this panel.
        installed: Is a layer in the live model?
    """
    path, model = names["path"], names.get("model", "")
    made = Cell()
    if renamed:
        made.call(f"{path}.rename", repr(dict(renamed)))
    made.call(f"{path}.decision_layer", str(index), to="layer")
    for feature, row in silenced:
        made.call("layer.silence", str(feature), to="layer", **({} if row is None else {"class_index": row}))
    if installed and model:
        made.call("layer.install", model)
    more: dict[str, Any] = {n: Expression(said) for n, said in names.items() if n not in ("path", "model")}
    made.call("panel", path, model, **more, class_index=class_index, index=index)
    return made
