"""Save a model whose decision layer has been replaced, so that its own class loads it again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.hooks import find_module, unwrap
from sparse_debug_widgets.core.storage import atomic_path

if TYPE_CHECKING:
    from torch import nn

    from sparse_debug_widgets.sparse.layer.decision_layer import SparseDecisionLayer

_SUFFIX = ".safetensors"


def save_repaired(
    model: nn.Module,
    layer: SparseDecisionLayer,
    path: str | os.PathLike[str],
    *,
    name: str = "",
    original: nn.Module | None = None,
) -> Path:
    """Write the weights of a model with another decision layer; the model itself stays as it is.

    The file holds the model's own ``state_dict``: the sparse layer is written as the weight and bias of an
    ordinary linear layer, so that the model's class reads it without this package::

        from safetensors.torch import load_file
        model.load_state_dict(load_file("repaired.safetensors"))

    Args:
        model: The model.
        layer: Its new decision layer.
        path: A new file that ends in ``.safetensors``.
        name: Name of the layer that is replaced; by default the one that the features were taken at.
        original: The model's own layer, where another one is in its place just now.

    Returns:
        The file.

    Raises:
        InputError: A file that exists or has another ending, a layer that does not fit, or a model whose
            decision layer has no bias to hold the intercepts.
    """
    target = Path(path)
    if target.suffix != _SUFFIX:
        refuse(f"The name of the file must end in {_SUFFIX}; it is {shorten(target.name)!r}.")
    if target.exists():
        refuse(f"{shorten(str(target))!r} exists already: choose another name, or delete it first.")
    bare, place = unwrap(model), name or layer.layer
    own = original if original is not None else find_module(bare, place)
    fitted = layer.fitted_to(own)
    held = sorted(own.state_dict())
    if held != ["bias", "weight"]:
        refuse(
            "The repaired model cannot be saved as one file: that needs a decision layer with a weight and a "
            f"bias, and this one holds {', '.join(held)}. Save the sparse layer itself: "
            "torch.save(layer.state_dict(), file)."
        )
    state = {
        key: tensor
        for key, tensor in bare.state_dict().items()
        if key != place and not key.startswith(f"{place}.")
    }
    kept = own.state_dict()
    state[f"{place}.weight"] = fitted.weight.to(kept["weight"].dtype)
    state[f"{place}.bias"] = fitted.bias.to(kept["bias"].dtype)
    from safetensors.torch import save_file

    # Tied tensors are written once for each name: a state dict has all of them.
    whole = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
    with atomic_path(target) as partial, torch.no_grad():
        save_file(whole, str(partial))
    return target
