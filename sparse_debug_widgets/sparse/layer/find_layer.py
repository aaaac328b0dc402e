"""Find the decision layer of a model: the linear layer whose output is what the model answers.

Found by watching a forward pass, not by reading names: the layer must really have run, once, on one vector
per example, and its output must be the model's logits (or what a final softmax or sigmoid was applied to).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn import functional

from sparse_debug_widgets.core.batching import Inputs, check_call, copied, move
from sparse_debug_widgets.core.checks import refuse, reject, shorten, suggest
from sparse_debug_widgets.core.hooks import call_model, model_untouched, placement, unwrap
from sparse_debug_widgets.core.outputs import raw_logits
from sparse_debug_widgets.sparse.layer.decision_layer import SparseDecisionLayer

_ADVICE = (
    "Name one with layer=, or give the model a final nn.Linear, for example by fitting one on its pooled "
    "features and passing those to DeepFeatures.from_arrays. For features of a text encoder pass pooling=."
)
_HEADS = {
    "softmax": lambda z: z.softmax(1),
    "log_softmax": lambda z: z.log_softmax(1),
    "sigmoid": torch.sigmoid,
    "logsigmoid": functional.logsigmoid,
}


@dataclass(frozen=True, eq=False)
class FoundLayer:
    """A decision layer.

    Attributes:
        name: Name in the (unwrapped) model.
        module: The layer.
        note: What a reader should know, for example that a softmax follows; may be empty.
    """

    name: str
    module: nn.Linear
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Call:
    name: str
    module: nn.Linear
    inputs: torch.Tensor
    output: torch.Tensor


def find_decision_layer(
    model: nn.Module, layer: str | None = None, example: Inputs | None = None
) -> tuple[str, nn.Linear]:
    """The final linear layer of a classifier.

    Args:
        model: The live model; it is left untouched.
        layer: Name of the layer, where it is known or should not be the one that is found.
        example: A few inputs as the model takes them, on any device. With them a forward pass is watched,
            which is certain; without them the answer is the linear layer that was registered last.

    Returns:
        Its name and the layer.

    Raises:
        InputError: No linear layer, none that gives the model's output, a name with a typo (the nearest are
            suggested), a layer that runs several times or on several vectors per example.

    References:
        ``docs/methods/deep_features.md``.
    """
    if example is not None:
        tensors: list[object] = [*example.values()] if isinstance(example, Mapping) else [example]
        if not tensors or not all(isinstance(one, torch.Tensor) and one.ndim for one in tensors):
            must = "be a tensor (batch, ...), or a mapping of tensors, as the model takes them"
            reject("example", "finding the decision layer", must, type(example).__name__)
        found = trace_decision_layer(model, example, layer)
        return found.name, found.module
    linears = _linear_layers(unwrap(model))
    if layer is not None:
        return layer, _named(unwrap(model), layer)
    if not linears:
        _reject_model(unwrap(model), "no linear layer at all")
    return list(linears.items())[-1]


def trace_decision_layer(model: nn.Module, inputs: Inputs, layer: str | None = None) -> FoundLayer:
    """Watch one forward pass and find the decision layer.

    Args:
        model: The live model; it is left untouched.
        inputs: A few examples; moved to the model's device and float dtype.
        layer: Name of the layer, or None to find it.

    Returns:
        The layer, with a note where the model's output is not exactly its output.

    Raises:
        InputError: As for :func:`find_decision_layer`.
    """
    with model_untouched(model) as bare, torch.no_grad():
        check_call(bare, inputs)
        linears = _linear_layers(bare)
        if layer is not None:
            linears = {layer: _named(bare, layer)}
        elif not linears:
            _reject_model(bare, "no linear layer at all")
        with _watched(linears) as calls:
            logits = raw_logits(call_model(bare, copied(move(inputs, *placement(bare)))))
    if layer is not None:
        return _check_named(layer, calls, logits)
    return _check_found(bare, calls, logits)


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def _named(model: nn.Module, layer: str) -> nn.Linear:
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    linears = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    module = modules.get(str(layer))
    if module is None:
        asked, advice = shorten(repr(layer), 60), suggest(str(layer), linears)
        refuse(f"This {type(model).__name__} has no layer {asked}. {advice}")
    if isinstance(module, SparseDecisionLayer):
        _reject_installed(layer)
    if not isinstance(module, nn.Linear):
        refuse(
            f"Layer {layer!r} is a {type(module).__name__}, and a decision layer must be an nn.Linear. "
            f"{suggest(layer, linears)}"
        )
    return module


@contextmanager
def _watched(linears: dict[str, nn.Linear]) -> Iterator[list[_Call]]:
    """Record all calls of these layers in the order in which they run."""
    calls: list[_Call] = []

    def watch(name: str, module: nn.Linear) -> Any:  # noqa: ANN401
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: torch.Tensor) -> None:
            inputs = args[0] if args else next(iter(kwargs.values()))
            calls.append(_Call(name, module, inputs.detach().clone(), output.detach().clone()))

        return hook

    handles = []
    try:
        for name, module in linears.items():
            hook = watch(name, module)
            handles.append(module.register_forward_hook(hook, with_kwargs=True))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _check_found(model: nn.Module, calls: list[_Call], logits: torch.Tensor) -> FoundLayer:
    for call in reversed(calls):
        head = _relation(call.output, logits)
        if head is not None:
            _check_call(call, calls, len(logits))
            note = f"the model applies {head} to the logits of {call.name!r}" if head else ""
            return FoundLayer(call.name, call.module, note)
    if any(isinstance(module, SparseDecisionLayer) for module in model.modules()):
        _reject_installed(None)
    if not calls:
        _reject_model(model, "linear layers that do not run as modules in a forward pass")
    last = calls[-1]
    return _reject_model(
        model,
        f"an output of shape {tuple(logits.shape)} that no linear layer gives (the last one that ran is "
        f"{last.name!r}, with an output of shape {tuple(last.output.shape)})",
    )


def _check_named(layer: str, calls: list[_Call], logits: torch.Tensor) -> FoundLayer:
    if not calls:
        refuse(f"Layer {layer!r} did not run in the forward pass. {_ADVICE}")
    call = calls[-1]
    _check_call(call, calls, len(logits))
    head = _relation(call.output, logits)
    if head is None:
        return FoundLayer(layer, call.module, f"the model's output is not the output of {layer!r}")
    note = f"the model applies {head} to the logits of {layer!r}" if head else ""
    return FoundLayer(layer, call.module, note)


def _check_call(call: _Call, calls: list[_Call], n_examples: int) -> None:
    name = f"layer {call.name!r}"
    times = sum(other.module is call.module for other in calls)
    if times > 1:
        refuse(
            f"Layer {call.name!r} runs {times} times in a forward pass; a decision layer must run once. "
            f"{_ADVICE}"
        )
    # A map of 1 x 1 positions is one vector too.
    vectors = call.inputs.ndim >= 2 and call.inputs.shape[-1] * n_examples == call.inputs.numel()
    if not vectors or len(call.inputs) != n_examples:
        must = f"get one vector per example, shape ({n_examples}, {call.module.in_features})"
        advice = (
            "It is applied to every token or position: pool before it, or name the linear layer that comes "
            "after the pooling with layer=."
        )
        reject(name, "deep features", must, f"shape {tuple(call.inputs.shape)}", advice)
    module = call.module
    dtype = module.weight.dtype
    plain = functional.linear(call.inputs.to(dtype), module.weight, module.bias).detach()
    if not _close(plain.double(), call.output.double(), torch.finfo(dtype).eps):
        refuse(
            f"Layer {call.name!r} does not answer inputs @ weight.T + bias, so that no sparse layer could "
            f"stand in for it: this {type(module).__name__} has a forward of its own, or a hook. {_ADVICE}"
        )


def _relation(output: torch.Tensor, logits: torch.Tensor) -> str | None:
    """Find how the output follows from a layer's: "" the same, the name of a head, None not at all."""
    if output.numel() != logits.numel() or output.shape[0] != logits.shape[0]:
        return None
    flat, wanted = output.flatten(1).double(), logits.reshape(len(logits), -1).double()
    eps = max((torch.finfo(t.dtype).eps for t in (output, logits) if t.is_floating_point()), default=0.0)
    if _close(flat, wanted, eps):
        return ""
    for name, head in _HEADS.items():
        # A softmax over one logit is 1 whatever the logit: it says nothing about the layer.
        if (flat.shape[1] > 1 or "softmax" not in name) and _close(head(flat), wanted, eps):
            return name
    return None


def _close(a: torch.Tensor, b: torch.Tensor, eps: float) -> bool:
    # A few hundred roundings of the precision that the layer works in. A model that answers NaN or infinite
    # logits keeps them: the features are refused later, with the place where they broke.
    finite = b[b.isfinite()].abs()
    largest = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=200 * eps, atol=200 * eps * largest, equal_nan=True)


def _reject_model(model: nn.Module, got: str) -> NoReturn:
    reject(type(model).__name__, "deep features", "end in an nn.Linear", got, _ADVICE)


def _reject_installed(layer: str | None) -> NoReturn:
    where = f"Layer {layer!r}" if layer else "The decision layer"
    refuse(f"{where} is a SparseDecisionLayer that is still installed. Call restore() on its handle first.")
