"""The deep features of a live model, ready to be asked for: chunk by chunk, with or without a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.batching import Inputs, move
from sparse_debug_widgets.core.checks import check_int, reject
from sparse_debug_widgets.core.hooks import Captured, call_model, captured, model_untouched, placement
from sparse_debug_widgets.core.image_order import ImageOrder
from sparse_debug_widgets.saliency.probe.calls import memory_guard
from sparse_debug_widgets.saliency.probe.probe import default_chunk_size
from sparse_debug_widgets.sparse.layer.find_layer import trace_decision_layer

_EXAMPLE_ROWS = 2


class LiveFeatures:
    """See the module; made by :func:`live_features`."""

    def __init__(
        self, model: nn.Module, layer: str, n_features: int, seen: Captured, example: Inputs
    ) -> None:
        self.model = model
        self.layer = layer
        self.n_features = n_features
        self._seen = seen
        self.device, self.dtype = placement(model)
        few = next(iter(example.values())) if isinstance(example, Mapping) else example
        self._order, self._taken = ImageOrder(model, few.to(self.device)), False

    def __call__(self, inputs: Inputs, *, owned: bool = False) -> Tensor:
        """Deep features (B, p), raw units, part of a graph where the inputs want gradients.

        Args:
            inputs: What the model is given.
            owned: Nobody needs the inputs afterwards: a model that works in place may overwrite them.

        Raises:
            InputError: The layer did not see one finite vector per example, or memory does not suffice.
        """
        rows = len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)
        with memory_guard(rows):
            found = self._run(move(inputs, self.device, self.dtype), owned=owned)
        if found.shape != (rows, self.n_features):
            must = f"get one vector per example, shape ({rows}, {self.n_features})"
            reject(f"layer {self.layer!r}", "deep features", must, f"shape {tuple(found.shape)}")
        if not bool(torch.isfinite(found).all()):
            must = "have finite deep features"
            reject("the model", "their interpretation", must, "NaN or infinity for these inputs")
        return found

    def _run(self, inputs: Inputs, *, owned: bool) -> Tensor:
        if isinstance(inputs, Mapping):
            return self._ask(inputs)

        def given(order: torch.memory_format) -> Tensor:
            # Until an order was taken once there may be a second call, which needs the inputs as they were.
            free = owned and self._taken and inputs.is_contiguous(memory_format=order)
            return inputs if free else inputs.clone(memory_format=order)

        found = self._order.run(len(inputs), lambda order: self._ask(given(order)))
        self._taken = True
        return found

    def _ask(self, inputs: Inputs) -> Tensor:
        self._seen.clear()
        call_model(self.model, inputs)
        found = self._seen[self.layer]
        self._seen.clear()
        # A map of 1 x 1 positions is one vector.
        return found.flatten(1) if found.numel() == len(found) * self.n_features else found


@contextmanager
def live_features(
    model: nn.Module, example: Inputs, layer: str | None = None, *, n_features: int | None = None
) -> Iterator[LiveFeatures]:
    """Open a model for questions about its deep features; on exit, also by exception, it is as it was.

    Args:
        model: The live model; it may be frozen, in training mode, or return a tuple or a mapping of logits.
        example: A few inputs, to find the decision layer with.
        layer: Its name, if known.
        n_features: How many features it must see.

    Yields:
        A function from inputs to deep features.

    Raises:
        InputError: No decision layer, or one that sees another number of features.
    """
    with torch.inference_mode(mode=False), model_untouched(model) as bare:
        for parameter in bare.parameters():
            if parameter.requires_grad:
                parameter.requires_grad_(False)
        few = (
            {name: tensor[:_EXAMPLE_ROWS] for name, tensor in example.items()}
            if isinstance(example, Mapping)
            else example[:_EXAMPLE_ROWS]
        )
        found = trace_decision_layer(bare, few, layer or None)
        seen = found.module.in_features
        if n_features is not None and seen != n_features:
            must = f"see the {n_features} features that were taken from it"
            advice = "Pass the model that the features were extracted from."
            reject(f"layer {found.name!r} of the model", "these features", must, f"{seen} features", advice)
        # One hook for all passes. The layer gets a copy, so that it may work in place.
        with captured(bare, [found.name], inputs=True, detach=False) as record:
            yield LiveFeatures(bare, found.name, seen, record, few)


def chunk_rows(chunk_size: int | None, inputs: Tensor) -> int:
    """Rows in one pass: what the user says, else by the size of one input."""
    if chunk_size is not None:
        return check_int(chunk_size, "chunk_size", "a pass through the model")
    return default_chunk_size(inputs)
