"""One call of an operation, and what a rule for it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

Pull: TypeAlias = "Callable[[Call, Tensor], Sequence[Tensor | None]]"


class Workspace:
    """Memory that the rules of one graph share: fresh pages for every weight cost as much as the arithmetic.

    Attributes:
        last: The graph is asked for the last time: what was computed for it may be overwritten.
    """

    def __init__(self) -> None:
        self.last = False
        self._buffers: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def like(self, tensor: Tensor, purpose: str) -> Tensor:
        """A contiguous tensor of that shape, with anything in it; one for each purpose."""
        key = (purpose, tensor.dtype, tensor.device)
        held = self._buffers.get(key)
        if held is None or held.numel() < tensor.numel():
            held = self._buffers[key] = torch.empty(tensor.numel(), dtype=tensor.dtype, device=tensor.device)
        return held[: tensor.numel()].view(tensor.shape)


@dataclass(eq=False)
class Call:
    """One call of an operation in a forward pass.

    Attributes:
        function: A function of PyTorch, or a module for which a rule is registered.
        rule: Its rule.
        args: Positional arguments; those that depend on the start of the graph are detached.
        kwargs: Keyword arguments, the same.
        inputs: The tensors among the arguments that mass can go to, detached, in order.
        places: Where they stand: position or keyword.
        sources: The inputs as part of the graph.
        versions: Of the sources when the call was made; operations in place raise them.
        workspace: Memory shared with the other calls of the graph.
        output: What came out, detached; of a linear layer without its bias.
        sign: (channels,) signs that a normalisation right after a linear operation multiplies with, or None.
        contrast: Whether the mass of the negated weights is subtracted (top layer of contrastive maps).
        memo: What a rule keeps from one unit to the next.
    """

    function: Any
    rule: Rule
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Tensor, ...]
    places: tuple[int | str, ...]
    sources: tuple[Tensor, ...]
    workspace: Workspace = field(default_factory=Workspace)
    versions: tuple[int, ...] = ()
    output: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32))
    sign: Tensor | None = None
    contrast: bool = False
    memo: dict[str, Any] = field(default_factory=dict)

    def fresh(self) -> bool:
        """Say whether the sources still stand where they stood: another node may be attached to them."""
        return bool(self.sources) and self.versions == tuple(x._version for x in self.sources)

    def again(self, *inputs: Tensor) -> Tensor:
        """The operation on other values of its inputs."""
        args, kwargs = list(self.args), dict(self.kwargs)
        for place, value in zip(self.places, inputs, strict=True):
            if isinstance(place, int):
                args[place] = value
            else:
                kwargs[place] = value
        found: Tensor = self.function(*args, **kwargs)
        return found


@dataclass(frozen=True)
class Rule:
    """The rule by which mass moves through some operations.

    Attributes:
        covers: Functions of PyTorch (``torch.add``, ``torch.Tensor.add_``, ...) and classes of modules.
        pull: ``pull(call, mass)`` returns the mass of each of ``call.inputs`` (None for nothing), given the
            mass of the output. It must be linear in the mass. None: a route, mass goes the way of the
            gradient, as for reshaping and picking.
        inputs: How many tensors may depend on what is explained; a product of two has no rule.
        whole: All mass goes on as it is, unless the shape changes.
        run: Runs the operation and notes what ``pull`` will need; None: it is called as it is.
        first: Only the first argument may be such a tensor (the numerator of a division).
        signed: The operation has weights, and ``pull`` subtracts the mass of the negated ones where
            ``call.contrast`` is set: contrastive maps may start there.
    """

    covers: tuple[Any, ...]
    pull: Pull | None
    inputs: int = 1
    first: bool = False
    signed: bool = False
    whole: bool = False
    run: Callable[[Call], Tensor] | None = None


def float_of(tensor: Tensor) -> Tensor:
    """At least single precision: shares of half precision numbers overflow."""
    return tensor if tensor.dtype in {torch.float32, torch.float64} else tensor.float()


def floor_of(dtype: torch.dtype) -> float:
    """Totals below count as nothing: quotients by them could overflow."""
    return torch.finfo(dtype).tiny * 1e8


def divisor(total: Tensor) -> Tensor:
    """A total to divide mass by, infinite where there is nothing to hand it to; works in place."""
    return torch.threshold_(total, floor_of(total.dtype), torch.inf)
