"""Heat maps of x-features: excitation backprop from each to the pixels, if a model allows it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.arithmetic import plain_arithmetic
from sparse_debug_widgets.core.checks import InputError, reject
from sparse_debug_widgets.core.hooks import find_module, model_untouched, placement, unwrap
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, reporter
from sparse_debug_widgets.interpret.xfeatures.srae.layer import Tap, find_tap
from sparse_debug_widgets.interpret.xfeatures.srae.methods import METHODS
from sparse_debug_widgets.interpret.xfeatures.srae.network import first_layer
from sparse_debug_widgets.interpret.xfeatures.srae.result import ClassExplanation
from sparse_debug_widgets.saliency.excitation.excitation import Excitation, excitation

Array = npt.NDArray[Any]
_WHAT = "x-features"


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Heat maps of some pictures.

    Attributes:
        units: (k, n, h, w) float32, of each x-feature.
        score: (k, h, w) float32, of the class score: the 1-heatmap.
        mass: (k, n) float32, share of the excitation that arrived.
    """

    units: Array
    score: Array
    mass: Array

    @classmethod
    def none(cls, k: int, n: int) -> HeatMaps:
        """Maps without a pixel, where there can be none; the mass is NaN."""
        empty = np.zeros((k, n, 0, 0), np.float32)
        return cls(empty, empty[:, 0], np.full((k, n), np.nan, np.float32))


@dataclass(frozen=True)
class Rehearsal:
    """The outcome of a dry run of the maps on one picture.

    Attributes:
        trouble: Why there can be no maps; empty if there can.
        seconds: What one picture took, of one unit and of the class score.
    """

    trouble: str
    seconds: float = 0.0


@plain_arithmetic()
def rehearse(model: nn.Module, pictures: Array, layer: str | None, *, contrastive: bool) -> Rehearsal:
    """Try the maps on one picture, before anything is trained.

    Args:
        model: The live model; it is left untouched.
        pictures: (m, channels, H, W), a few; maps are made of the first.
        layer: Whose output is to be explained; None for what enters the decision layer.
        contrastive: Maps of the contrastive kind.

    Raises:
        InputError: No such layer, or one that comes after the scores.
    """
    with torch.inference_mode(mode=False), model_untouched(model) as bare, torch.no_grad():
        device, dtype = placement(bare)
        tap = find_tap(bare, torch.from_numpy(pictures).to(device, dtype), layer)
    batch, began = pictures[:1], time.perf_counter()
    try:
        _maps_of_score(model, batch, tap, 0, contrastive=contrastive)
        excitation(model, batch, units=[0], layer=tap.layer, inputs=tap.inputs)
    except InputError as error:
        return Rehearsal(str(error))
    return Rehearsal("", time.perf_counter() - began)


@plain_arithmetic()
def heat_maps(
    model: nn.Module,
    images: Array,
    explanation: ClassExplanation,
    *,
    contrastive: bool = True,
    progress: object = None,
) -> HeatMaps:
    """Excitation backprop from each x-feature, and from the class score itself, to the pixels.

    Args:
        model: The live model; it is left untouched.
        images: (k, channels, H, W).
        explanation: Whose x-features.
        contrastive: Maps of the contrastive kind.
        progress: Callback, bool or None.

    Raises:
        InputError: Inputs that are no pictures; an operation without a rule.
    """
    report = reporter(progress)
    # It was fitted on the CPU; mass goes from it straight into the model.
    head = explanation.network().head().to(placement(model)[0])
    units: list[int] = list(range(len(explanation.weights)))
    on_top: nn.Module | None = head
    if METHODS[explanation.method].selects:
        # Features of the layer itself: a contrast is to the weights that made them, not to their selection.
        units, on_top = first_layer(head).weight.flatten(1).argmax(1).tolist(), None
    found = excitation(
        model,
        images,
        units=units,
        layer=explanation.layer,
        inputs=explanation.reads_input,
        head=on_top,
        contrastive=contrastive,
        progress=_part(report, 0, 80),
    )
    maps = found.maps
    if maps.ndim != 4:
        must = "be pictures (channels, H, W), on which heat maps can be shown"
        reject("the model's inputs", _WHAT, must, f"maps of shape {maps.shape[2:]}")
    tap = Tap(explanation.layer, explanation.reads_input, explanation.head)
    score = _maps_of_score(
        model,
        images,
        tap,
        explanation.class_index,
        contrastive=contrastive,
        progress=_part(report, 80, 100),
    )
    return HeatMaps(
        maps.astype(np.float32), score.maps[:, 0].astype(np.float32), found.mass.astype(np.float32)
    )


def _maps_of_score(
    model: nn.Module,
    images: Array,
    tap: Tap,
    class_index: int,
    *,
    contrastive: bool,
    progress: object = None,
) -> Excitation:
    """The 1-heatmap: excitation backprop from the score of the class."""
    asked: dict[str, Any] = {"units": class_index, "contrastive": contrastive, "progress": progress}
    layer = find_module(unwrap(model), tap.head) if tap.head else None
    if isinstance(layer, nn.Linear) and layer.out_features == 1:
        # One logit z. The score of class 0 is -z: its excitation goes by the negated weights.
        return excitation(model, images, layer=tap.head, inputs=True, head=_two_classes(layer), **asked)
    return excitation(model, images, layer=tap.head or None, **asked)


def _two_classes(layer: nn.Linear) -> nn.Module:
    """A decision layer of one logit z as one with a row for each class, -z and z."""
    weight = layer.weight.detach().cpu()
    made = nn.Linear(weight.shape[1], 2, bias=layer.bias is not None, device="meta", dtype=weight.dtype)
    made.to_empty(device="cpu")
    with torch.no_grad():
        made.weight.copy_(torch.cat([-weight, weight]))
        if layer.bias is not None:
            made.bias.copy_(torch.cat([-layer.bias.detach().cpu(), layer.bias.detach().cpu()]))
    return made


def _part(report: ProgressCallback, start: float, stop: float) -> ProgressCallback:
    """A callback for one part of the work, which is to fill the bar from start to stop percent."""

    def inner(progress: Progress) -> None:
        report(Progress(start + (stop - start) * progress.fraction, 100, progress.note))

    return inner
