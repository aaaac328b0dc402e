"""The target of an explanation network: the activations of one layer, and the scores of the classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.batching import Inputs, batches, count_examples, move
from sparse_debug_widgets.core.checks import InputError, check_finite, refuse, reject
from sparse_debug_widgets.core.hooks import (
    call_model,
    captured,
    find_module,
    model_untouched,
    placement,
)
from sparse_debug_widgets.core.outputs import is_lone, raw_logits, scores_of
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.sparse.features.labels import as_labels
from sparse_debug_widgets.sparse.layer.find_layer import trace_decision_layer

Array = npt.NDArray[Any]
_WHAT = "an explanation network"
_FEW = 4


@dataclass(frozen=True)
class Tap:
    """The place where activations and scores are read.

    Attributes:
        layer: Name of the layer.
        inputs: Whether its input is read (of the decision layer) or its output (of any other).
        head: Name of the layer whose output are the scores; "" for the model's answer.
    """

    layer: str
    inputs: bool
    head: str


@dataclass(frozen=True, eq=False)
class LayerActivations:
    """One pass over data.

    Attributes:
        tap: Where they come from.
        values: (N, p) or (N, p, h, w) float32.
        scores: (N, C) float32, before any softmax; one logit z is the two classes -z and z.
        labels: (N,) int64; -1 where the data have none.
    """

    tap: Tap
    values: Array
    scores: Array
    labels: Array

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        if self.values.ndim not in {2, 4}:
            must = "give one vector (B, p) or a stack of maps (B, p, h, w) per example"
            reject(f"layer {self.tap.layer!r}", _WHAT, must, f"shape (B, {_dimensions(self.values)})")
        check_finite(self.values, f"layer {self.tap.layer!r}", _WHAT)
        check_finite(self.scores, "the model's scores", _WHAT)


def _dimensions(values: Array) -> str:
    return ", ".join(map(str, values.shape[1:]))


def read_layer(
    model: nn.Module,
    data: object,
    layer: str | None = None,
    *,
    batch_size: int = 256,
    classes: tuple[str, ...] | None = None,
    progress: object = None,
) -> LayerActivations:
    """The activations of a layer and the class scores, example by example; the model is left untouched.

    Args:
        model: The live model.
        data: Dataset, DataLoader, (X, y) or X.
        layer: Name of a layer, whose output is read. None, or the name of the decision layer: what enters
            the decision layer.
        batch_size: Examples at a time.
        classes: Names that labels are counted by, see :func:`~sparse_debug_widgets.core.batching.batches`.
        progress: Callback, bool or None.

    Raises:
        InputError: No such layer; one that comes after the scores; activations that are neither vectors nor
            maps; a model that answers probabilities without a layer that gives scores.
        Cancelled: The progress callback asked for it.
    """
    report = reporter(progress)
    values, scores, labels = [], [], []
    done, total = 0, count_examples(data) or 0
    with torch.inference_mode(mode=False), model_untouched(model) as bare, torch.no_grad():
        device, dtype = placement(bare)
        tap: Tap | None = None
        for batch in batches(data, batch_size, classes=classes):
            inputs = move(batch.inputs, device, dtype)
            tap = tap or find_tap(bare, inputs, layer)
            report(Progress(done, total, f"activations of {tap.layer}"))
            heads = [tap.head] if tap.head else []
            with captured(bare, [tap.layer], inputs=tap.inputs) as seen, captured(bare, heads) as ended:
                answer = call_model(bare, inputs)
            values.append(_once(seen.calls(tap.layer), tap.layer, batch.size).float().cpu())
            found = ended.calls(tap.head) if heads else ()
            scores.append(_scores(found, tap.head, answer, batch.size).float().cpu())
            labels.append(_labels(batch.labels, batch.size))
            done += batch.size
        report(Progress(done, done, "activations"))
    if tap is None:
        reject("data", _WHAT, "hold at least one example", "none")
    return LayerActivations(tap, torch.cat(values).numpy(), torch.cat(scores).numpy(), np.concatenate(labels))


def find_tap(model: nn.Module, inputs: Inputs, layer: str | None) -> Tap:
    """Find where to read a layer of this name, on a forward pass of a few examples.

    Raises:
        InputError: See :func:`read_layer`.
    """
    few = (
        {name: tensor[:_FEW] for name, tensor in inputs.items()}
        if not isinstance(inputs, Tensor)
        else inputs[:_FEW]
    )
    if layer is not None:
        find_module(model, layer)
    try:
        head = trace_decision_layer(model, few).name
    except InputError:
        if layer is None:
            raise
        head = ""
    if layer is None or layer == head:
        return Tap(head, inputs=True, head=head)
    with captured(model, [layer]) as seen, _finishing_order(model, {layer, head or layer}) as order:
        answer = raw_logits(call_model(model, few))
    if layer not in order:
        refuse(f"Layer {layer!r} did not run in the forward pass. Name a layer that does.")
    if head and order.index(layer) > order.index(head):
        _too_late(layer, f"one that ends after {head!r} has given them")
    if not head and _is_answer(seen.calls(layer)[-1], answer):
        _too_late(layer, "the layer that gives the model's answer")
    if not head and _are_probabilities(answer):
        must = "answer scores before the softmax, or have a final nn.Linear that gives them"
        reject("the model", _WHAT, must, "probabilities", "Leave the softmax to the loss function.")
    return Tap(layer, inputs=False, head=head)


def _too_late(layer: str, got: str) -> NoReturn:
    must = "come before the class scores, which the network has to explain"
    reject(f"layer {layer!r}", _WHAT, must, got, "Name an earlier layer.")


def _is_answer(values: Tensor, answer: Tensor) -> bool:
    if values.numel() != answer.numel():
        return False
    flat, wanted = values.reshape(len(answer), -1).double(), answer.reshape(len(answer), -1).double()
    return any(torch.allclose(one, wanted, rtol=1e-4, atol=1e-6) for one in (flat, flat.softmax(1)))


def _are_probabilities(answer: Tensor) -> bool:
    if is_lone(answer):
        return bool(((answer >= 0) & (answer <= 1)).all())
    sums = answer.double().flatten(1).sum(1)
    return bool((answer >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


@contextmanager
def _finishing_order(model: nn.Module, names: set[str]) -> Iterator[list[str]]:
    """The names of these layers in the order in which they end."""
    order: list[str] = []

    def note(name: str) -> Any:  # noqa: ANN401 - a hook
        return lambda *_: order.append(name)

    handles = [find_module(model, name).register_forward_hook(note(name)) for name in names]
    try:
        yield order
    finally:
        for handle in handles:
            handle.remove()


def _once(calls: tuple[Tensor, ...], name: str, rows: int) -> Tensor:
    if len(calls) != 1:
        refuse(f"Layer {name!r} runs {len(calls)} times in a forward pass. Name a layer that runs once.")
    value = calls[0]
    if value.ndim == 0 or len(value) != rows:
        must = f"give one tensor with a row for each of {rows} examples"
        reject(f"layer {name!r}", _WHAT, must, f"shape {tuple(value.shape)}")
    return value


def _scores(calls: tuple[Tensor, ...], head: str, answer: object, rows: int) -> Tensor:
    """(B, C) what is explained: a class's logit, of one logit z the scores -z and z of two classes."""
    return scores_of(_once(calls, head, rows) if head else answer, rows=rows)


def _labels(labels: Tensor | None, rows: int) -> Array:
    if labels is None:
        return np.full(rows, -1, np.int64)
    found = as_labels(labels, None, rows)[0]
    return found if found.dtype.kind in "iu" else np.full(rows, -1, np.int64)
