"""Operations that PyTorch differentiates once only, written with operations that it differentiates twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from sparse_debug_widgets.saliency.probe.checkpointing import KeptTensors


class TwiceDifferentiable(KeptTensors):
    """Function mode under which a graph can be differentiated twice.

    The backward pass of a hard sigmoid (MobileNetV3, GhostNet) has no derivative; that of the clamp that it
    is has one. Everything is kept, since a checkpointed block would run again without the mode.
    """

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Run a function, or what stands for it."""
        return super().call(_INSTEAD.get(func, func), args, kwargs)


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: A002 - PyTorch's name
    value = functional.hardtanh(input + 3, 0.0, 6.0) / 6
    return input.copy_(value) if inplace else value


_INSTEAD: dict[Callable[..., Any], Callable[..., Any]] = {functional.hardsigmoid: _hardsigmoid}
