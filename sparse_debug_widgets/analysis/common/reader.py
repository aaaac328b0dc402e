"""Deep features of new inputs, standardised as a path has them, read from the live model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import move
from sparse_debug_widgets.core.checks import check_finite, check_int, reject
from sparse_debug_widgets.core.forms import as_tensor
from sparse_debug_widgets.core.hooks import model_untouched, placement
from sparse_debug_widgets.core.text import TextData, encode, for_model, pad_id_of
from sparse_debug_widgets.saliency.probe.calls import memory_guard
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.reading import FeatureReader, open_reader, tokenized
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

Array = npt.NDArray[Any]
_FEW = 2


class DeepReader:
    """A function from inputs to standardised features; made by :func:`deep_reader`.

    Attributes:
        count: Inputs that were sent through the model.
        cut: Places of the last call's sentences that are longer than the model reads.
        on_chunk: Called with the number of inputs after each chunk; may raise Cancelled.
    """

    def __init__(
        self,
        model: nn.Module,
        reader: FeatureReader,
        path: RegularizationPath,
        text: TextData | None,
        size: int,
    ) -> None:
        self._model, self._reader, self._text, self._size = model, reader, text, size
        self._mean, self._scale = np.asarray(path.mean), np.asarray(path.scale)
        self._dead = ~np.asarray(path.alive)
        self._device, self._dtype = placement(model)
        self.count = 0
        self.cut: list[int] = []
        self.on_chunk: Callable[[int], None] = lambda _: None

    def __call__(self, inputs: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 (sentences, or an array)
        """Standardised features (n, p) of n sentences, pictures (n, C, H, W) or rows (n, d)."""
        found = [np.zeros((0, len(self._mean)))]
        self.cut = []
        for start in range(0, len(inputs), self._size):
            part = inputs[start : start + self._size]
            with memory_guard(self._size):
                raw = self._reader.read(self._model, self._given(part, start)).double().cpu().numpy()
            check_finite(raw, "deep features", "this analysis")
            found.append((raw - self._mean) / self._scale)
            self.count += len(part)
            self.on_chunk(len(part))
        z = np.concatenate(found)
        z[:, self._dead] = 0.0
        return z

    def _given(self, part: Any, start: int) -> Any:  # noqa: ANN401 (likewise)
        if self._text is None:
            return move(torch.as_tensor(part), self._device, self._dtype)
        encoded, cut = encode(list(part), self._text.tokenizer, self._text.max_length)
        self.cut += [start + row for row in cut]
        return move(encoded, self._device, self._dtype)


@contextmanager
def deep_reader(
    model: nn.Module,
    path: RegularizationPath,
    example: object,
    *,
    features: DeepFeatures | None = None,
    tokenizer: object = None,
    batch_size: int = 256,
) -> Iterator[DeepReader]:
    """Open a model for questions about new inputs; on exit, also by exception, it is as it was.

    Args:
        model: The live model.
        path: A path of this model: its layer, mean and scale.
        example: At least one input: sentences (with a tokenizer, or as
            :class:`~sparse_debug_widgets.core.text.TextData`), pictures (n, C, H, W), or rows (n, d).
        features: What the path was fitted to, which remember how tokens were pooled.
        tokenizer: As for ``extract_features``; None where the sentences carry one.
        batch_size: Inputs in one forward pass.

    Raises:
        InputError: Inputs, tokenizer or model that do not fit.
    """
    check_int(batch_size, "batch_size", "a pass through the model")
    text = _text(model, example, tokenizer)
    pooling = None if features is None else features.provenance.params.get("pooling")
    with model_untouched(model) as bare, torch.no_grad():
        text = for_model(bare, text)
        device, dtype = placement(bare)
        if text is None:
            few: Any = move(as_tensor(example)[:_FEW], device, dtype)
        else:
            few = move(encode(list(text.sentences[:_FEW]), text.tokenizer, text.max_length)[0], device, dtype)
        pad_id = 0 if text is None else pad_id_of(text.tokenizer)
        reader = open_reader(bare, few, layer=path.layer or None, pooling=pooling, pad_id=pad_id)
        if reader.n_features != path.n_features:
            must = f"see the {path.n_features} features of the path"
            advice = "Pass the model that the path was computed from."
            got = f"{reader.n_features} features"
            reject(f"layer {reader.name!r} of the model", "this path", must, got, advice)
        yield DeepReader(bare, reader, path, text, batch_size)


def _text(model: nn.Module, example: object, tokenizer: object) -> TextData | None:
    if isinstance(example, TextData):
        return tokenized(model, example, tokenizer)
    sentences = isinstance(example, Sequence) and bool(example) and isinstance(example[0], str)
    return tokenized(model, list(example), tokenizer) if sentences else None  # type: ignore[call-overload]
