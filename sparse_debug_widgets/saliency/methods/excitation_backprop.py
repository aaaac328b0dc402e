"""The saliency method: excitation backprop from a class's logit."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.saliency.excitation.graph import WHAT, Way, send_down
from sparse_debug_widgets.saliency.excitation.units import starts_at_classes
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps
from sparse_debug_widgets.saliency.probe.probe import Probe


def excitation_backprop(
    probe: Probe,
    *,
    contrastive: bool = False,
    to: str | None = None,
    skip: Literal["split", "ignore"] = "split",
) -> FoundMaps:
    """Trace a class's excitation: a mass of 1 moves down to the pixels (Zhang et al., 2016).

    Pixels of 0 excite nothing: best for pixels in [0, 1]. The mass that arrives is reported. For units of
    any layer, see ``excitation``.

    Args:
        probe: The live model and its inputs.
        contrastive: Subtract the mass of the opposite class, with the weights of the last layer negated.
        to: Name of the layer whose maps are enlarged to the size of the input; None: the pixels themselves.
        skip: ``"split"`` mass at residual additions, or ``"ignore"`` the shortcuts.

    Raises:
        InputError: An operation without a rule; it is named, with how to register one.
    """
    parts, _ = send_down(
        probe,
        Way(to=to, skip=skip),
        lambda graph, rows: starts_at_classes(
            graph.start, probe.resolve(graph.start, rows), contrastive=contrastive
        ),
    )
    values = parts[:, 0]
    if to is not None:
        values = _enlarged(values, probe, to)
    arrived = values.flatten(1).clamp_min(0) if not contrastive else _by_place(values, probe).clamp_min(0)
    return FoundMaps(values, {"mass": tuple(float(m) for m in arrived.double().sum(1))})


def _by_place(values: Tensor, probe: Probe) -> Tensor:
    """(B, places): summed over channels or dimensions, where there are any."""
    axis = {"image": 1, "tokens": 2}.get(probe.inputs.layout)
    return (values if axis is None else values.sum(axis)).flatten(1)


def _enlarged(values: Tensor, probe: Probe, to: str) -> Tensor:
    """Maps (B, K, h, w) as maps of the input with the same total, spread evenly over the channels."""
    if probe.inputs.layout != "image" or values.ndim != 4:
        got = f"a layer with outputs {tuple(values.shape)} for inputs {tuple(probe.points.shape)}"
        reject(f"to={to!r}", WHAT, "have maps, as the inputs have", got)
    small = values.sum(1, keepdim=True)
    size, channels = probe.points.shape[2:], probe.points.shape[1]
    large = functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
    before, after = small.sum((2, 3), keepdim=True), large.sum((2, 3), keepdim=True)
    scale = (before / after.where(after != 0, 1)).where(after != 0, 0)
    return (large * scale).expand_as(probe.points) / channels
