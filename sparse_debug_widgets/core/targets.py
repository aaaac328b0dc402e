"""The class that is asked about: an index for all examples, one for each, or what the model predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import reject

Target: TypeAlias = int | str | Sequence[int] | np.ndarray | Tensor
PREDICTION = "prediction"


def class_indices(target: Target | None, batch: int, what: str) -> Tensor | None:
    """Class indices (B,) as int64, or None for ``"prediction"``.

    Args:
        target: As a person passed it.
        batch: B, number of examples.
        what: What is asked for, for messages.

    Raises:
        InputError: Not whole numbers, negative, or not one for each example.
    """
    must = f"be a class index, one for each of the {batch} examples, or {PREDICTION!r}"
    if target is None or (isinstance(target, str) and target == PREDICTION):
        return None
    if isinstance(target, str):
        reject("target", what, must, repr(target))
    values = np.asarray(target.detach().cpu() if isinstance(target, Tensor) else target)
    if values.dtype.kind not in "iu" or values.shape not in ((), (batch,)):
        reject("target", what, must, f"shape {values.shape}, dtype {values.dtype}")
    if values.min() < 0:
        reject("target", what, must, str(values.min()))
    return torch.from_numpy(np.broadcast_to(values, (batch,)).astype(np.int64))
