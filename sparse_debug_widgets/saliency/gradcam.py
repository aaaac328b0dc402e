"""Grad-CAM: where the last maps of a convolutional network look for a class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.hooks import find_module
from sparse_debug_widgets.saliency.calls import Of, toward_class
from sparse_debug_widgets.saliency.checkpointing import KeptTensors
from sparse_debug_widgets.saliency.gradient import Found
from sparse_debug_widgets.saliency.probe import Probe, finite

# So many convolutions before the end the graph begins; without any, after this share of the layers.
_LAST = 3
_LATE = 0.7


class _LastMap:
    """The maps (R, K, h, w) of one layer, or of the last layer that has any.

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
        self._any_size = layer is not None

    def note(self, name: str, output: object) -> Tensor | None:
        """Look at what a layer returned; where the graph begins, replace it by a tensor with a gradient."""
        if name == self._opening:
            self._opening = ""
        # A layer that is used all over the network (one ReLU for all) comes by before that.
        if self._opening or not isinstance(output, Tensor):
            return None
        shape = output.shape
        if len(shape) != 4 or not (self._any_size or shape[2] * shape[3] > 1):
            return None
        if output.requires_grad:
            # Only a reference is kept. If what follows works in place on the maps, the tensor and its place
            # in the graph both become those after the operation, which is as good a layer to look at.
            self.value, self.name = output, name
            return None
        # A copy, so that what runs next may be in place.
        self.value, self.name = output.detach().requires_grad_(True).clone(), name
        return self.value


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


def gradcam(probe: Probe, *, layer: str | None = None, positive: bool = True, of: Of = "logit") -> Found:
    """Maps of a layer, weighted by their mean gradients, upsampled to the input (Selvaraju et al., 2017).

    Needs one forward pass and the backward pass from the logits to that layer only, also on frozen models.
    The map is spread evenly over the channels, so that their sum is the map.

    Args:
        probe: The live model and its inputs, images (B, channels, H, W).
        layer: Name of the layer; None: the last one whose output has a height and a width.
        positive: Keep evidence for the class only (the paper's ReLU).
        of: ``"logit"`` of the target class, or ``"loss"``, its cross-entropy; of the loss the map shows what
            lowers it, so that positive values speak for the class either way.

    Raises:
        InputError: Inputs that are no images, or no such layer.
    """
    if probe.inputs.layout != "image":
        got = f"shape {tuple(probe.points.shape)}"
        reject("inputs", "Grad-CAM", "be images (batch, channels, height, width)", got)
    probe.begin(probe.batch, "Grad-CAM")
    maps, used = [], ""
    for rows in probe.chunks(probe.batch):
        logits, last = _run(probe, rows, layer)
        if last.value is None:
            got = "no output (batch, channels, height, width)" + (f" of {layer!r}" if layer else "")
            reject("model", "Grad-CAM", "have a layer with maps", got, "Name one with layer=.")
        used = last.name
        target = probe.resolve(logits, rows)
        probe.remember(logits, target, rows)
        maps.append(
            _weighted(logits, last.value, toward_class(of) * probe.pull_weights(logits, target, of), used)
        )
    cam = torch.cat(maps)
    cam = cam.clamp_min(0) if positive else cam
    size, channels = probe.points.shape[2:], probe.points.shape[1]
    cam = functional.interpolate(cam, size=size, mode="bilinear", align_corners=False)
    return Found(finite(cam).expand_as(probe.points) / channels, {"layer": used})


def _weighted(logits: Tensor, maps: Tensor, weights: Tensor, name: str) -> Tensor:
    """(R, 1, h, w): sum over maps of mean gradient times map."""
    gradient = None
    if logits.requires_grad and maps.requires_grad:
        (gradient,) = torch.autograd.grad(logits, maps, weights, allow_unused=True)
    if gradient is None:
        reject(f"layer {name!r}", "Grad-CAM", "lie on the way from the inputs to the logits", "no gradient")
    alpha = gradient.mean((2, 3), keepdim=True)
    return (alpha * maps.detach()).sum(1, keepdim=True)


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
