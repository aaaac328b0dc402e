"""The inputs of a saliency map: images, feature vectors, or the embeddings of tokens.

Everything after this file works on one floating tensor ``points`` (batch, ...). For text that tensor is the
output of the embedding layer, and a hook puts it back in its place when the model runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.core.hooks import call_model, find_module
from sparse_debug_widgets.saliency.probe.tensors import all_finite

_WHAT = "a saliency map"
_TOKENS = "input_ids"


@dataclass(frozen=True)
class Inputs:
    """Inputs in the form that methods work on.

    Attributes:
        points: (B, ...) floating, on the model's device, in its precision: what is differentiated.
        given: (B, ...) what the user passed: pixels, or token numbers.
        call: Runs the model on points (rows, ...) whose example numbers are the second argument.
        layout: ``"image"`` (B, channels, H, W), ``"tokens"`` (B, tokens, dimensions) or ``"features"``.
    """

    points: Tensor
    given: Tensor
    call: Callable[[Tensor, Tensor], Any]
    layout: str


@dataclass
class _Swap:
    """A forward hook that replaces what an embedding layer returns."""

    shape: torch.Size
    value: Tensor | None = None
    used: int = field(default=0)

    def __call__(self, _: nn.Module, __: tuple[Any, ...], output: object) -> Tensor | None:
        if self.value is None or not isinstance(output, Tensor) or output.shape[1:] != self.shape[1:]:
            return None
        self.used += 1
        return self.value


def read_inputs(model: nn.Module, x: object, embedding: str | None) -> Inputs:
    """Check what the user passed and find out how to run the model on it.

    Args:
        model: The live model, in evaluation mode.
        x: (B, ...) tensor or array, floating; or token numbers (B, T); or a mapping of keyword arguments
            with one of these among them.
        embedding: Name of the embedding layer, for tokens; None: the one that is given the token numbers.

    Raises:
        InputError: Not such a thing; empty; integer pixels; NaN.
    """
    extras: dict[str, Tensor] = {}
    name = ""
    if isinstance(x, Mapping):
        name, extras = _main_entry(x)
        x = extras.pop(name)
    given = _as_tensor(x)
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    device = given.device if parameter is None else parameter.device
    given = given.to(device)
    extras = {key: value.to(device) for key, value in extras.items()}

    def run(values: Tensor, owners: Tensor) -> Any:  # noqa: ANN401 - whatever the model returns
        if not name:
            return call_model(model, values)
        return call_model(model, {name: values, **{key: value[owners] for key, value in extras.items()}})

    if given.is_floating_point():
        points = given.to(parameter.dtype) if parameter is not None else given
        if points.dtype != given.dtype and not all_finite(points):
            got = f"values up to {float(given.abs().max()):g} for a model in {points.dtype}"
            reject("inputs", _WHAT, "stay finite in the model's precision", got)
        return Inputs(points, given, run, "image" if given.ndim == 4 else "features")
    return _token_inputs(model, given, run, embedding)


def _main_entry(x: Mapping[Any, Any]) -> tuple[str, dict[str, Tensor]]:
    """The key that is explained, and all entries as tensors."""
    entries = {str(key): value for key, value in x.items() if key not in {"labels", "label"}}
    bad = [key for key, value in entries.items() if not isinstance(value, Tensor | np.ndarray)]
    floating = [
        key for key, value in entries.items() if key not in bad and _as_tensor_raw(value).is_floating_point()
    ]
    if bad or (_TOKENS not in entries and len(floating) != 1):
        must = f"hold tensors, among them {_TOKENS!r} or exactly one floating tensor"
        reject("inputs", _WHAT, must, f"a mapping with the keys {', '.join(map(repr, entries)) or '(none)'}")
    main = _TOKENS if _TOKENS in entries else floating[0]
    return main, {key: _as_tensor_raw(value) for key, value in entries.items()}


def _as_tensor_raw(x: object) -> Tensor:
    return x.detach() if isinstance(x, Tensor) else torch.from_numpy(np.array(x))


def _as_tensor(x: object) -> Tensor:
    if not isinstance(x, Tensor | np.ndarray) or (isinstance(x, np.ndarray) and x.dtype.kind not in "biuf"):
        reject("inputs", _WHAT, "be a tensor or an array (batch, ...)", type(x).__name__)
    tensor = _as_tensor_raw(x)
    if tensor.ndim < 2 or tensor.numel() == 0:
        must = "be a batch (batch, ...) of at least one example"
        reject(
            "inputs", _WHAT, must, f"shape {tuple(tensor.shape)}", "One image becomes a batch by image[None]."
        )
    if tensor.is_complex():
        reject("inputs", _WHAT, "be real numbers", str(tensor.dtype))
    if not tensor.is_floating_point() and tensor.ndim != 2:
        reject("inputs", _WHAT, "be floating point", str(tensor.dtype), "Divide integer pixels by 255 first.")
    # A tensor made in inference mode could not be part of a graph.
    tensor = tensor.clone() if tensor.is_inference() else tensor
    if tensor.is_floating_point() and not all_finite(tensor):
        count = int((~torch.isfinite(tensor)).sum())
        reject("inputs", _WHAT, "have finite entries only", f"{count} entries that are NaN or infinite")
    return tensor


def _token_inputs(
    model: nn.Module, ids: Tensor, run: Callable[[Tensor, Tensor], Any], embedding: str | None
) -> Inputs:
    owners = torch.arange(len(ids), device=ids.device)
    name = _find_embedding(model, ids, lambda: run(ids, owners)) if embedding is None else embedding
    layer = find_module(model, name)
    with torch.no_grad():
        points = layer(ids)
    if not isinstance(points, Tensor) or points.ndim != 3 or points.shape[:2] != ids.shape:
        got = f"shape {tuple(points.shape)}" if isinstance(points, Tensor) else type(points).__name__
        must = "give a tensor (batch, tokens, dimensions)"
        reject(f"embedding layer {name!r}", "token saliency", must, got, "Name another with embedding=.")

    def call(values: Tensor, rows: Tensor) -> Any:  # noqa: ANN401
        swap = _Swap(points.shape, values)
        handle = layer.register_forward_hook(swap)
        try:
            output = run(ids[rows], rows)
        finally:
            handle.remove()
        if swap.used == 0:
            refuse(f"Embedding layer {name!r} did not run in the forward pass. Name another with embedding=.")
        return output

    return Inputs(points.detach().clone(), ids, call, "tokens")


def _find_embedding(model: nn.Module, ids: Tensor, forward: Callable[[], Any]) -> str:
    """Name of the embedding layer that is given the token numbers."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Embedding)}
    found: list[str] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            if args and isinstance(args[0], Tensor) and torch.equal(args[0], ids):
                found.append(name)

        return hook

    handles = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    try:
        if layers:
            with torch.no_grad():
                forward()
    finally:
        for handle in handles:
            handle.remove()
    if len(set(found)) == 1:
        return found[0]
    if not layers:
        got = f"{ids.dtype} inputs for a model without an embedding layer"
        reject("inputs", _WHAT, "be floating point", got, "Divide integer pixels by 255 first.")
    must = "have one embedding layer that is given the token numbers"
    listed = ", ".join(map(repr, layers))
    return reject("model", _WHAT, must, f"{len(set(found))} of {listed}", "Name it with embedding=.")
