"""What the notebook calls things: for titles, and for code that a person can run again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.hooks import unwrap

if TYPE_CHECKING:
    from torch import nn


def called(thing: object, otherwise: str) -> str:
    """Name of a thing in the notebook; ``otherwise`` where it has none."""
    space = vars(sys.modules["__main__"])
    return next((n for n, v in list(space.items()) if v is thing and not n.startswith("_")), otherwise)


def named_models(live: Any, compare: Any, names: Sequence[str]) -> dict[str, nn.Module]:  # noqa: ANN401 (models or None)
    """The models, bare, each by its name."""
    models = [unwrap(model) for model in (live, compare) if model is not None]
    given = [str(name) for name in names] or [called(model, "") for model in models]
    if len(set(given)) != len(models) or not all(given):
        if names:
            must = f"be {len(models)} different names"
            reject("names", "the Saliency panel", must, f"{tuple(names)}")
        given = ["model", "compared model"][: len(models)]
    return dict(zip(given, models, strict=True))
