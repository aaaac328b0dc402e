"""Activation checkpointing: parts of a model that run once more in the backward pass.

What changes how a model runs (a function mode, a hook) is there in the forward pass only. Either it stands
aside where a part will run again (:func:`runs_again`), or the tensors of that part are kept (:func:`kept`),
so that nothing has to run again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from sparse_debug_widgets.saliency.probe.call_mode import CallMode


def runs_again() -> bool:
    """Say whether what runs now runs once more in the backward pass.

    The mark of checkpointing is that somebody decides how tensors are kept for the backward pass.
    """
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def kept() -> AbstractContextManager[Any]:
    """A context in which tensors are kept for the backward pass, whoever decided otherwise."""
    return saved_tensors_hooks(_as_it_is, _as_it_is) if runs_again() else nullcontext()


class KeptTensors(CallMode):
    """Function mode under which every call keeps its tensors."""

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Run a function as it is."""
        with kept():
            return func(*args, **kwargs)


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
