"""Batch normalisation with fixed statistics as what it is: an affine map, cheap to differentiate.

PyTorch's rules for it serve training: the backward pass keeps the layer's input and takes a fifth of a pass
through EfficientNet-Lite0, the forward-mode rule takes as long as the rest of the network. Of frozen layers
in evaluation mode the derivative is the same layer without its shift. :class:`FrozenBatchNorm` computes it so
for what runs inside its ``with`` block; nothing is patched, and the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from sparse_debug_widgets.saliency.probe.call_mode import CallMode
from sparse_debug_widgets.saliency.probe.checkpointing import runs_again


class FrozenBatchNorm(CallMode):
    """Function mode under which calls of ``batch_norm`` with fixed statistics are affine maps."""

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Run a function; those that are not ours as they are."""
        if func is functional.batch_norm:
            normalised = _normalise(*args, **kwargs)
            if normalised is not None:
                return normalised
        return func(*args, **kwargs)


def is_differentiated(points: Tensor) -> bool:
    """Say whether a derivative with respect to these inputs is being taken, backward or forward."""
    if torch.is_grad_enabled() and points.requires_grad:
        return True
    return forward_ad._current_level >= 0 and parts(points)[1] is not None


def dual(primal: Tensor, direction: Tensor) -> Tensor:
    """A tensor with a direction, for forward-mode differentiation."""
    return cast("Tensor", forward_ad.make_dual(primal, direction))  # type: ignore[no-untyped-call]


def parts(tensor: Tensor) -> tuple[Tensor, Tensor | None]:
    """Value and direction of a tensor."""
    primal, direction = forward_ad.unpack_dual(tensor)  # type: ignore[no-untyped-call]
    return primal, direction


def _normalise(
    input: Tensor,  # noqa: A002 - PyTorch's name
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """The output, or None where PyTorch's own rule must be used."""
    fixed = (running_mean, running_var, weight, bias)
    if training or running_mean is None or running_var is None:
        return None
    if any(part is not None and part.requires_grad for part in fixed):
        return None
    direction = parts(input)[1] if forward_ad._current_level >= 0 else None
    if direction is not None:
        primal = parts(input)[0]
        output = functional.batch_norm(primal, running_mean, running_var, weight, bias, False, momentum, eps)
        return dual(output, _scale(direction, running_var, weight, eps))
    # A checkpointed block runs again where this mode is not: PyTorch's own rule must be used both times.
    if not (torch.is_grad_enabled() and input.requires_grad) or runs_again():
        return None
    return cast("Tensor", _Affine.apply(input, running_mean, running_var, weight, bias, eps))


def _scale(vectors: Tensor, running_var: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """The linear part: the layer with mean 0 and without its bias."""
    zero = torch.zeros_like(running_var)
    return functional.batch_norm(vectors, zero, running_var, weight, None, False, 0.0, eps)


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - PyTorch's context
        input: Tensor,  # noqa: A002
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        ctx.fixed = (running_var, weight, eps)
        return functional.batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401
        return _Linear.apply(gradient, *ctx.fixed), None, None, None, None, None


class _Linear(torch.autograd.Function):
    """The linear part, its own transpose, differentiable as often as needed."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        vectors: Tensor,
        running_var: Tensor,
        weight: Tensor | None,
        eps: float,
    ) -> Tensor:
        ctx.fixed = (running_var, weight, eps)
        return _scale(vectors, running_var, weight, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401
        return _Linear.apply(gradient, *ctx.fixed), None, None, None
