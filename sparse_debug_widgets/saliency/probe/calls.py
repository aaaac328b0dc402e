"""Calls of a model: targets, logits, one pass, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import refuse

Of = Literal["logit", "loss"]
WHAT = "a saliency map"
_OF_THE_LOSS = ("cafo", "caso", "smooth_cafo", "smooth_caso")


class Forward(NamedTuple):
    """One forward pass with its graph.

    Attributes:
        leaf: (R, ...) the inputs that gradients are taken of.
        logits: (R, C), part of the graph.
    """

    leaf: Tensor
    logits: Tensor

    def pull(self, weights: Tensor, *, keep: bool = False) -> Tensor:
        """Vector-Jacobian product: gradient (R, ...) of ``sum(weights * logits)``, weights (R, C)."""
        gradient = None
        if self.logits.requires_grad:
            with memory_guard(len(self.leaf)):
                (gradient,) = torch.autograd.grad(
                    self.logits, self.leaf, weights, retain_graph=keep, allow_unused=True
                )
        if gradient is None:
            refuse(
                "The logits have no gradient with respect to the inputs. Is there a no_grad, detach, "
                "argmax or NumPy in the model's forward?"
            )
        return gradient


def toward_class(of: Of) -> float:
    """The sign that makes a gradient speak for the class: its logit rises, its loss falls."""
    return -1.0 if of == "loss" else 1.0


def was_signed_by_loss(method: str, params: Mapping[str, Any]) -> bool:
    """Say whether files of schema 1 hold the negative of such a map, signed by where the loss rises."""
    return method in _OF_THE_LOSS or params.get("of") == "loss"


@contextmanager
def memory_guard(rows: int) -> Iterator[None]:
    """Say which chunk size to try when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in text:
            raise
        advice = f"Try chunk_size={rows // 2}." if rows > 1 else "Use a smaller input or another device."
        refuse(f"The device has too little memory for {rows} rows at once. {advice}")
