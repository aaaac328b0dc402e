"""Grad-CAM: where the last maps of a network look for a class, be they those of a convolution or tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.core.hooks import find_module
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps
from sparse_debug_widgets.saliency.methods.token_maps import (
    Grid,
    grid_of,
    last_maps,
    main_tensor,
    may_have_tokens,
)
from sparse_debug_widgets.saliency.probe.calls import Of, toward_class
from sparse_debug_widgets.saliency.probe.checkpointing import KeptTensors
from sparse_debug_widgets.saliency.probe.probe import Probe, finite

# So many convolutions before the end the graph begins; without any, after this share of the layers.
_LAST = 3
_LATE = 0.7


class _LastMap:
    """The output of one named layer, or the maps (R, K, h, w) of the last layer that has any.

    The input needs no gradient, so that nothing is recorded before the graph begins: at the named layer, or
    at the first map from the third last convolution on. (Layers are mostly registered in the order in which
    they run. If none of the last ones has maps, all are looked at, and the graph begins with the first map.)
    """

    def __init__(self, model: nn.Module, layer: str | None, *, late: bool) -> None:
        self.value: Tensor | None = None
        self.name = ""
        named = list(model.named_modules()) if layer is None else [(layer, find_module(model, layer))]
        self.watched = named
        self._opening = ""
        if late and layer is None:
            self.watched, self._opening = _last(named)
        self._named = layer is not None

    def note(self, name: str, output: object) -> object:
        """Look at what a layer returned; where the graph begins, replace it by a tensor with a gradient."""
        if name == self._opening:
            self._opening = ""
        found = main_tensor(output) if self._named else output
        # A layer that is used all over the network (one ReLU for all) comes by before that.
        if self._opening or not isinstance(found, Tensor) or not found.is_floating_point():
            return None
        shape = found.shape
        if not self._named and (len(shape) != 4 or shape[2] * shape[3] <= 1):
            return None
        if found.requires_grad:
            # Only a reference is kept. If what follows works in place on the maps, the tensor and its place
            # in the graph both become those after the operation, which is as good a layer to look at.
            self.value, self.name = found, name
            return None
        # A copy, so that what runs next may be in place.
        self.value, self.name = found.detach().requires_grad_(True).clone(), name
        if isinstance(output, Tensor):
            return self.value
        # The other parts of a tuple or list stay as they are.
        return (self.value, *cast("Sequence[object]", output)[1:])


def _last(named: list[tuple[str, nn.Module]]) -> tuple[list[tuple[str, nn.Module]], str]:
    """The layers from the third last convolution on, those that it is a part of, and its name."""
    convolutions = [k for k, (_, module) in enumerate(named) if isinstance(module, nn.Conv2d)]
    if not convolutions:
        return named[int(_LATE * len(named)) :], ""
    first = convolutions[-_LAST:][0]
    path = named[first][0]
    # A block may end with a function (an addition, a ReLU): its output is that of the block.
    around = [(name, module) for name, module in named[1:first] if path.startswith(f"{name}.")]
    return around + named[first:], path


def gradcam(probe: Probe, *, layer: str | None = None, positive: bool = True, of: Of = "logit") -> FoundMaps:
    """Maps of a layer, weighted by their mean gradients, upsampled to the input (Selvaraju et al., 2017).

    Needs one forward pass and the backward pass from the logits to that layer only, also on frozen models.
    The map is spread evenly over the channels, so that their sum is the map. Of transformers the maps are the
    tokens (without class tokens and registers) of the last layer in which the logits still look at them; one
    more pass finds it.

    Args:
        probe: The live model and its inputs, images (B, channels, H, W).
        layer: Name of the layer: its output are maps, channels first or last, or tokens that form a grid.
            None: the last one that has maps.
        positive: Keep evidence for the class only (the paper's ReLU).
        of: ``"logit"`` of the target class, or ``"loss"``, its cross-entropy; of the loss the map shows what
            lowers it, so that positive values speak for the class either way.

    Raises:
        InputError: Inputs that are no images, no such layer, or one without maps.
    """
    if probe.inputs.layout != "image":
        got = f"shape {tuple(probe.points.shape)}"
        advice = "For anything else choose another method, such as 'gradient' or 'integrated_gradients'."
        reject("inputs", "Grad-CAM", "be images (batch, channels, height, width)", got, advice)
    probe.begin(probe.batch, "Grad-CAM")
    maps, used, grid = [], layer, None
    if layer is None and may_have_tokens(probe.model):
        used = last_maps(probe)
        if used is None:
            _no_maps("no layer with maps, or tokens that form a grid, that the logits depend on")
    for rows in probe.chunks(probe.batch):
        logits, last = _run(probe, rows, used)
        if last.value is None:
            _no_maps(
                f"no tensor from {used!r}: it gives something else, or does not run"
                if used
                else "no output with maps"
            )
        used = last.name
        if grid is None:
            grid = _grid(probe, used, last.value, rows)
        target = probe.resolve(logits, rows)
        probe.remember(logits, target, rows)
        weights = toward_class(of) * probe.pull_weights(logits, target, of)
        maps.append(_weighted(logits, last.value, grid, weights, used))
    cam = torch.cat(maps)
    cam = cam.clamp_min(0) if positive else cam
    size, channels = probe.points.shape[2:], probe.points.shape[1]
    cam = functional.interpolate(cam, size=size, mode="bilinear", align_corners=False)
    return FoundMaps(finite(cam).expand_as(probe.points) / channels, {"layer": used})


def _no_maps(got: str) -> NoReturn:
    reject("model", "Grad-CAM", "have a layer with maps", got, "Name one with layer=.")


def _grid(probe: Probe, name: str, output: Tensor, rows: slice) -> Grid:
    """Find how the output of a layer is a grid over the picture."""
    shape = tuple(output.shape)
    grid = grid_of(probe, name, shape) if len(output) == rows.stop - rows.start else None
    if grid is None:
        must = "answer maps, channels first or last, or tokens of a grid in the picture's proportions"
        got = f"shape {shape} for {rows.stop - rows.start} pictures of {tuple(probe.points.shape[1:])}"
        advice = (
            "Windows, heads and queries are no maps: name the block around them, or a normalisation before."
        )
        reject(f"layer {name!r}", "Grad-CAM", must, got, advice)
    return grid


def _weighted(logits: Tensor, output: Tensor, grid: Grid, weights: Tensor, name: str) -> Tensor:
    """(R, 1, h, w): sum over maps of mean gradient times map."""
    gradient = None
    if logits.requires_grad and output.requires_grad:
        (gradient,) = torch.autograd.grad(logits, output, weights, allow_unused=True)
    if gradient is None:
        refuse(
            f"The logits do not depend on layer {name!r}, so that Grad-CAM has no gradient. Name another "
            "layer."
        )
    slopes = grid.maps(gradient)
    if grid.prefix and not bool(slopes.any()) and bool(gradient.any()):
        must = "have tokens of the picture that the logits depend on"
        advice = "Name one before the last attention: the normalisation at the beginning of the last block."
        reject(f"layer {name!r}", "Grad-CAM", must, "a class token that they read alone", advice)
    alpha = slopes.mean((2, 3), keepdim=True)
    return (alpha * grid.maps(output.detach())).sum(1, keepdim=True)


def _run(probe: Probe, rows: slice, layer: str | None) -> tuple[Tensor, _LastMap]:
    """Logits of some examples, with a graph from the maps on.

    The few tensors after the maps are kept, also where a part of the model would run again: the graph begins
    at a hook, which is gone then.
    """
    points, owners = probe.points[rows], probe.owners[rows]
    with _watched(_LastMap(probe.model, layer, late=True)) as last, torch.enable_grad(), KeptTensors():
        logits = probe.run(points, owners)
    if last.value is None and layer is None:
        with _watched(_LastMap(probe.model, layer, late=False)) as last, torch.enable_grad(), KeptTensors():
            logits = probe.run(points, owners)
    return logits, last


@contextmanager
def _watched(last: _LastMap) -> Iterator[_LastMap]:
    def hook_of(name: str) -> Any:  # noqa: ANN401 - a hook
        return lambda _, __, output: last.note(name, output)

    handles = [module.register_forward_hook(hook_of(name)) for name, module in last.watched]
    try:
        yield last
    finally:
        for handle in handles:
            handle.remove()
