"""Readers of a batch's deep features: before the decision layer, or pooled from a layer's tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import Inputs, check_call
from sparse_debug_widgets.core.checks import check_choice, reject
from sparse_debug_widgets.core.hooks import call_model, captured, find_module, weight_of
from sparse_debug_widgets.core.text import TextData, as_text_data, limit_of
from sparse_debug_widgets.sparse.layer.find_layer import FoundLayer, trace_decision_layer

POOLINGS = ("pooled", "cls", "mean", "last", "none")
_PER_TOKEN = ("last_hidden_state", "hidden_states", "logits")
_PER_EXAMPLE = ("pooler_output", "sentence_embedding", "text_embeds", "logits")

_HOW = {
    "pooled": "as its own pooler answers",
    "cls": "at the first token",
    "mean": "mean over the tokens",
    "last": "at the last token",
    "none": "as it is",
}

Dense = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


class FeatureReader(Protocol):
    """Reads the features of a batch from a live model."""

    @property
    def name(self) -> str:
        """Name of the layer; "" for the model itself."""

    @property
    def note(self) -> str:
        """A sentence that a reader of the result should know; may be empty."""

    @property
    def n_features(self) -> int:
        """Number of features p."""

    @property
    def n_outputs(self) -> int | None:
        """Rows of the model's own decision layer on these features, or None."""

    def read(self, model: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Features (B, p) of a batch that is on the model's device; the caller holds the model untouched."""

    def dense(self) -> Dense | None:
        """The model's own decision layer on these features in float64, or None."""


def open_reader(
    model: nn.Module, inputs: Inputs, *, layer: str | None = None, pooling: str | None = None, pad_id: int = 0
) -> FeatureReader:
    """Find out with a few examples where the features are, and how to read them.

    Args:
        model: The bare model, held untouched by the caller, without gradients.
        inputs: A few examples on the model's device.
        layer: Without pooling, the decision layer (found if None). With pooling, any submodule whose output
            is to be pooled; if None, the encoder inside a Hugging Face model, or else the model itself.
        pooling: None for the inputs of the decision layer. "pooled" for what the encoder's own pooler
            answers, "cls" for the first token, "mean" over the tokens, "last" for the last token, "none" for
            an output that is one vector per example already. Padding never counts.
        pad_id: Id of the padding token, for models whose input is ids alone, without an attention mask.

    Returns:
        The reader.

    Raises:
        InputError: No such layer or pooling, or an output that cannot be pooled so.
    """
    if pooling is None:
        return DecisionInputs(trace_decision_layer(model, inputs, layer))
    check_choice(pooling, POOLINGS, "pooling", "deep features")
    check_call(model, inputs)
    name = _encoder_name(model) if layer is None else str(layer)
    if name:
        find_module(model, name)
    probe = PooledOutput(name, pooling, pad_id, 0)
    return PooledOutput(name, pooling, pad_id, int(probe.read(model, inputs).shape[1]))


def reading_limit(model: object, tokenizer: object, max_length: int | None) -> int | None:
    """Find how many tokens a model can read: as told, else by its tokenizer, else by its positions.

    Tokenizers that were made by hand know no limit, and a sentence that is longer than the table of
    positions ends in an index error. Two positions are kept back: some models count from the padding index.
    """
    if max_length is not None or limit_of(tokenizer, None) is not None:
        return max_length
    positions = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return positions - 2 if isinstance(positions, int) and positions > 2 else None


def tokenized(model: object, data: object, tokenizer: object) -> TextData:
    """Give sentences a tokenizer, read as far as the model can.

    Args:
        model: The live model, if there is one.
        data: Sentences in any of their forms, see :func:`~sparse_debug_widgets.core.text.as_text_data`.
        tokenizer: As :class:`~sparse_debug_widgets.core.text.TextData` takes it.

    Raises:
        InputError: Data of no such form, or a tokenizer that is none.
    """
    return as_text_data(data, tokenizer, reading_limit(model, tokenizer, None))


@dataclass(frozen=True)
class DecisionInputs:
    """The inputs of the decision layer."""

    found: FoundLayer

    @property
    def note(self) -> str:
        """As the search for the layer says."""
        return self.found.note

    @property
    def name(self) -> str:
        """Name of the decision layer."""
        return self.found.name

    @property
    def n_features(self) -> int:
        """Width of the decision layer."""
        return int(self.found.module.in_features)

    @property
    def n_outputs(self) -> int | None:
        """Number of logits."""
        return int(self.found.module.out_features)

    def read(self, model: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Features (B, p): what goes into the layer."""
        with captured(model, [self.name], inputs=True) as seen:
            call_model(model, inputs)
        found = seen[self.name]
        # A map of 1 x 1 positions is one vector.
        return found.flatten(1) if found.numel() == len(found) * self.n_features else found

    def dense(self) -> Dense | None:
        """Weight and bias."""
        module = self.found.module
        weight = weight_of(module).to("cpu", torch.float64).numpy().copy()
        bias: torch.Tensor | None = getattr(module, "bias", None)
        return weight, np.zeros(len(weight)) if bias is None else bias.detach().double().cpu().numpy().copy()


@dataclass(frozen=True)
class PooledOutput:
    """The output of some layer, pooled over the tokens that are no padding.

    Attributes:
        name: Of the layer; "" for the model itself.
        pooling: One of `POOLINGS`.
        pad_id: Id of the padding token, where there is no attention mask.
        n_features: Width of the answer.
    """

    name: str
    pooling: str
    pad_id: int
    n_features: int

    @property
    def note(self) -> str:
        """A sentence about the origin of the features."""
        where = f"the output of {self.name!r}" if self.name else "the model's output"
        return f"{where}, {_HOW[self.pooling]}"

    @property
    def n_outputs(self) -> int | None:
        """None: there is no decision layer on these features."""
        return None

    def dense(self) -> Dense | None:
        """None: there is no decision layer on these features."""
        return None

    def read(self, model: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Features (B, p)."""
        with _outputs(model, self.name) as seen:
            call_model(model, inputs)
        where = f"layer {self.name!r}" if self.name else "the model"
        if len(seen) != 1:
            reject(where, f"pooling {self.pooling!r}", "run once in a forward pass", f"{len(seen)} calls")
        n = len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)
        if self.pooling in {"pooled", "none"}:
            position = 1 if self.pooling == "pooled" else 0
            vectors = _pick(seen[0], _PER_EXAMPLE, position, 2)
            if vectors is None:
                maps = _pick(seen[0], _PER_EXAMPLE, position, 4)
                vectors = maps.flatten(1) if maps is not None and maps.shape[2:] == (1, 1) else None
            if vectors is None or len(vectors) != n:
                advice = "Use pooling='cls', 'mean' or 'last' for an output with a vector for each token."
                must = "answer one vector per example"
                reject(where, f"pooling {self.pooling!r}", must, _describe(seen[0]), advice)
            return vectors.detach().clone()
        tokens = _pick(seen[0], _PER_TOKEN, 0, 3)
        mask = _mask(inputs, self.pad_id)
        if tokens is None or tokens.shape[:2] != mask.shape:
            must = f"answer one vector for each token, shape ({n}, {mask.shape[1]}, width)"
            advice = "Use pooling='none' for an output that is one vector per example, or name a layer=."
            reject(where, f"pooling {self.pooling!r}", must, _describe(seen[0]), advice)
        return _pool(tokens.detach(), mask, self.pooling)


def _encoder_name(model: nn.Module) -> str:
    """The encoder inside a Hugging Face model with a head, or the model itself."""
    prefix = getattr(model, "base_model_prefix", "")
    return prefix if isinstance(prefix, str) and isinstance(getattr(model, prefix, None), nn.Module) else ""


@contextmanager
def _outputs(model: nn.Module, name: str) -> Iterator[list[Any]]:
    """Capture a module's answer, whatever its form; the hook is always removed."""
    seen: list[Any] = []
    module = find_module(model, name) if name else model

    def note(_: nn.Module, __: object, output: object) -> None:
        seen.append(output)

    handle = module.register_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def _pick(output: object, names: tuple[str, ...], position: int, ndim: int) -> torch.Tensor | None:
    """The tensor of ``ndim`` axes in an output: itself, by name, or by its place in a tuple."""
    candidates: list[object] = [output]
    if isinstance(output, tuple | list) and not hasattr(output, "_fields"):
        candidates = [output[position]] if len(output) > position else []
    for name in names:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        candidates.append(found[-1] if isinstance(found, tuple | list) and found else found)
    return next((c for c in candidates if isinstance(c, torch.Tensor) and c.ndim == ndim), None)


def _describe(output: object) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {', '.join(map(str, output))}"
    return f"a {type(output).__name__}"


def _mask(inputs: Inputs, pad_id: int) -> torch.Tensor:
    """(B, T) bool: which tokens are read."""
    if isinstance(inputs, Mapping):
        if "attention_mask" in inputs:
            return inputs["attention_mask"].bool()
        ids = inputs.get("input_ids", next(iter(inputs.values())))
    else:
        ids = inputs
    if ids.ndim != 2 or ids.is_floating_point():
        must = "get token ids of shape (examples, tokens)"
        reject("the model", "pooling over tokens", must, f"{ids.dtype} of shape {tuple(ids.shape)}")
    mask = ids != pad_id
    mask[~mask.any(1), 0] = True  # a sentence without a token is read as one padding token
    return mask


def _pool(tokens: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Tokens (B, T, H) and mask (B, T) to vectors (B, H)."""
    if pooling == "mean":
        weights = mask.to(tokens.dtype).unsqueeze(-1)
        return (tokens * weights).sum(1) / weights.sum(1)
    positions = torch.arange(mask.shape[1], device=mask.device)
    if pooling == "cls":
        chosen = torch.where(mask, positions, mask.shape[1]).amin(1)
    else:
        chosen = torch.where(mask, positions, -1).amax(1)
    return tokens[torch.arange(len(tokens), device=tokens.device), chosen]
