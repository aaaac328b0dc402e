"""A private copy of a live model, for work that goes on beside the notebook.

A job must not put the live model into evaluation mode while a cell trains it, nor see half of an optimiser's
step. So the copy is made where the cells run, when the job starts; the job never touches the original.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.hooks import modules_of, unwrap
from sparse_debug_widgets.core.occupied import occupied


def snapshot(model: object) -> nn.Module:
    """The model as it is now, sharing nothing with the original that a training step writes to.

    Args:
        model: A live model, possibly compiled or data-parallel. It is only read.

    Returns:
        A bare copy on the same device, with its hooks, without gradients.

    Raises:
        InputError: No module, one that cannot be copied, or no memory for a second one.
    """
    bare = unwrap(model)
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), occupied(modules_of(bare)):
            twin = copy.deepcopy(bare, _without_graphs(bare))
    except Exception as error:
        advice = (
            "Give the module a __deepcopy__, or run the method in a cell: it works on the live model there."
        )
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            advice = "Free some memory, or move the model to another device."
        why = f"{type(error).__name__}: {shorten(str(error), 300).rstrip('.')}"
        refuse(
            f"This {type(bare).__name__} cannot be copied, and work beside the notebook needs a copy that "
            f"leaves the live model alone. copy.deepcopy raised {why}. {advice}"
        )
    if twin is bare:
        refuse(
            "Work beside the notebook needs a copy of the model, and copy.deepcopy gives this "
            f"{type(bare).__name__} itself. Mend its __deepcopy__, or run the method in a cell."
        )
    return twin


def _without_graphs(model: nn.Module) -> dict[int, Any]:
    """Return what deepcopy should put in place of tensors with a graph, which it refuses.

    A layer may keep such a tensor of its last forward pass; weight normalisation does.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo
