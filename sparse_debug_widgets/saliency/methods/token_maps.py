"""The maps of a network: channels first, channels last, or tokens that form a grid.

Transformers have no map in the last output with four dimensions: that is the patch embedding, the keys of a
head, or a matrix of attention. Their maps are the tokens of the main path, after class tokens and registers,
and of these the last ones that the logits still look at: after the last attention a classifier that reads
its class token looks at no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sparse_debug_widgets.saliency.probe.probe import Probe

# More linear layers than a classifier's own after the last convolution: they mix tokens.
_LINEAR = 4
# Class tokens and registers before the grid.
_MAX_PREFIX = 10
# Layers from the end that are tried before all others.
_FEW = 12
# In the name of a layer or of its class: what is inside has heads, queries and keys.
_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_TOKENS = re.compile(r"attention|attn|transformer|mixer", re.IGNORECASE)


@dataclass(frozen=True)
class Grid:
    """A way to read the output of a layer as maps.

    Attributes:
        height: Of the maps.
        width: Of the maps.
        layout: (R, K, h, w), (R, h, w, K), or (R, prefix + h w, K).
        prefix: Tokens before the grid.
    """

    height: int
    width: int
    layout: Literal["channels first", "channels last", "tokens"] = "channels first"
    prefix: int = 0

    def maps(self, output: Tensor) -> Tensor:
        """The maps (R, K, h, w) in an output."""
        if self.layout == "channels first":
            return output
        if self.layout == "channels last":
            return output.permute(0, 3, 1, 2)
        tokens = output[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], self.height, self.width)


@dataclass(eq=False)
class _Seen:
    """The output of a layer in the survey."""

    name: str
    output: Tensor
    grid: Grid


def may_have_tokens(model: nn.Module) -> bool:
    """Say whether the maps of a model may be tokens, as far as its layers tell."""
    linear = 0
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention) or _TOKENS.search(type(module).__name__):
            return True
        linear = 0 if isinstance(module, nn.Conv2d) else linear + isinstance(module, nn.Linear)
    return linear >= _LINEAR


def main_tensor(output: object) -> Tensor | None:
    """The tensor in what a layer returned: itself, or the first of a tuple."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def read_grid(shape: tuple[int, ...], size: tuple[int, int], known: list[tuple[int, int]]) -> Grid | None:
    """Find how an output is a grid over a picture, or None.

    Args:
        shape: Of the output, with the batch.
        size: (H, W) of the picture.
        known: (h, w) of maps before it, the latest last: what tokens were made of.
    """
    if len(shape) == 4:
        first, last = (shape[2], shape[3]), (shape[1], shape[2])
        if _fits(first, size) and not (last in known and first not in known):
            return Grid(*first)
        return Grid(*last, "channels last") if _fits(last, size) else None
    # (B, K, 1) are pooled maps.
    if len(shape) != 3 or shape[2] <= 1:
        return None
    for height, width in _made_of(known):
        if 0 <= shape[1] - height * width <= _MAX_PREFIX:
            return Grid(height, width, "tokens", shape[1] - height * width)
    for prefix in range(0 if known else min(_MAX_PREFIX + 1, shape[1] - 1)):
        places = shape[1] - prefix
        height = round((places * size[0] / size[1]) ** 0.5)
        if height and places % height == 0 and _fits((height, places // height), size, slack=1.1):
            return Grid(height, places // height, "tokens", prefix)
    return None


def _made_of(known: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Grids that tokens may have: those of the maps that they were made of, or coarser by a power of two."""
    for factor in (1, 2, 4, 8, 16):
        for height, width in reversed(known):
            coarser = -(-height // factor), -(-width // factor)
            if coarser != (1, 1):
                yield coarser


def _fits(grid: tuple[int, int], size: tuple[int, int], slack: float = 1.5) -> bool:
    """Say whether a grid has about the proportions of the picture, and is no larger."""
    if grid[0] * grid[1] <= 1 or grid[0] > size[0] or grid[1] > size[1]:
        return False
    skew = (size[0] / grid[0]) / (size[1] / grid[1])
    return 1 / slack <= skew <= slack


def last_maps(probe: Probe) -> str | None:
    """Name of the last layer with maps that the logits look at, by one pass with all layers watched.

    None where no layer has any.
    """
    seen, logits = _survey(probe, gradient=True)
    target = logits.detach().argmax(1, keepdim=True)
    score = logits.gather(1, target).sum()
    inside: set[str] = set()
    for name, module in probe.model.named_modules():
        parent, _, own = name.rpartition(".")
        if name and (parent in inside or _ATTENTION.search(own) or _ATTENTION.search(type(module).__name__)):
            inside.add(name)
    # Where everything is inside of something that is called so, the name means nothing.
    chosen = [one for one in seen if one.name not in inside] or seen
    # Of a layer that is used more than once the last call.
    last = {one.name: one for one in chosen if one.output.requires_grad}
    ordered = sorted(last.values(), key=chosen.index, reverse=True)
    connected: str | None = None
    # Mostly it is one of the last; one pass for all the rest costs less than one for each.
    for group in (ordered[:_FEW], ordered[_FEW:]):
        outputs = [one.output for one in group]
        slopes: Sequence[Tensor | None] = ()
        if outputs:
            slopes = torch.autograd.grad(score, outputs, retain_graph=True, allow_unused=True)
        for one, slope in zip(group, slopes, strict=True):
            # Where the logits do not depend on it there is none.
            if slope is None:
                continue
            if bool(one.grid.maps(slope).any()):
                return one.name
            connected = connected or one.name
    # All slopes are 0 where the last layer's weights are, as some models have them before training.
    return connected


def grid_of(probe: Probe, layer: str, shape: tuple[int, ...]) -> Grid | None:
    """Find how the output of a named layer is a grid, or None."""
    size = (int(probe.points.shape[2]), int(probe.points.shape[3]))
    if not may_have_tokens(probe.model):
        # Maps of a convolution may have any proportions.
        return Grid(shape[2], shape[3]) if len(shape) == 4 else read_grid(shape, size, [])
    seen, _ = _survey(probe, gradient=False)
    found = next((one.grid for one in reversed(seen) if one.name == layer), None)
    tokens = {one.output.shape[1] for one in seen if one.grid.layout == "tokens"}
    # Heads by tokens by tokens, or by dimensions of a head.
    return None if len(shape) == 4 and shape[2] in tokens else found


def _survey(probe: Probe, *, gradient: bool) -> tuple[list[_Seen], Tensor]:
    """Layers whose output is a grid, in the order in which they end, and logits (2, C).

    Of the first example, twice: what is cut into windows has another batch.
    """
    size = (int(probe.points.shape[2]), int(probe.points.shape[3]))
    seen: list[_Seen] = []
    known: list[tuple[int, int]] = []

    def note(name: str, output: object) -> None:
        value = main_tensor(output)
        if not name or value is None or value.ndim not in {3, 4} or len(value) != 2:
            return
        grid = read_grid(tuple(value.shape), size, known)
        if grid is not None and grid.height * grid.width > 1:
            seen.append(_Seen(name, value, grid))
            if value.ndim == 4 and (not known or known[-1] != (grid.height, grid.width)):
                known.append((grid.height, grid.width))

    points = probe.points[[0, 0]].detach().requires_grad_(gradient)
    owners = probe.owners[[0, 0]]
    with _watched(probe.model, note), torch.set_grad_enabled(gradient):
        logits = probe.run(points, owners)
    return seen, logits


@contextmanager
def _watched(model: nn.Module, note: Any) -> Iterator[None]:  # noqa: ANN401 - a function
    def hook_of(name: str) -> Any:  # noqa: ANN401 - a hook
        return lambda _, __, output: note(name, output)

    handles = [module.register_forward_hook(hook_of(name)) for name, module in model.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
