"""Data without labels: the model's own answers take their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sparse_debug_widgets.core.batching import batches, move
from sparse_debug_widgets.core.checks import refuse
from sparse_debug_widgets.core.forms import as_data, known_labels
from sparse_debug_widgets.core.hooks import call_model, model_untouched, placement
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.core.text import TextData, as_text_data, for_model


def has_labels(data: object) -> bool:
    """Tell data with labels from those without, by their first example."""
    if isinstance(data, TextData):
        return data.labels is not None
    if known_labels(data) is not None:
        return True
    return next(batches(data, 1)).labels is not None


def as_debugged(data: object, tokenizer: object, max_length: int | None) -> Any:  # noqa: ANN401 (data)
    """Data in the form that everything else here takes: sentences with their tokenizer, or data as they are.

    Raises:
        InputError: Data of no known form.
    """
    texts = tokenizer is not None or max_length is not None
    return as_text_data(data, tokenizer, max_length) if texts else as_data(data)


def with_answers(model: nn.Module, data: Any, batch_size: int, progress: ProgressCallback) -> Any:  # noqa: ANN401
    """The data with the classes that the model predicts as their labels.

    Args:
        model: The live model.
        data: Data as :func:`as_debugged` returns them.
        batch_size: Examples in one forward pass.
        progress: Called once a minibatch; may raise Cancelled.

    Raises:
        InputError: Inputs of several tensors, which cannot be kept beside their answers.
    """
    answers: list[torch.Tensor] = []
    inputs: list[torch.Tensor] = []
    with model_untouched(model) as bare, torch.no_grad():
        place = placement(bare)
        read = for_model(bare, data)
        for batch in batches(read, batch_size, progress=progress, note="answers of the model"):
            logits = logits_of(call_model(bare, move(batch.inputs, *place)), rows=batch.size)
            answers.append(logits.argmax(1).cpu())
            if isinstance(data, TextData):
                continue
            if not isinstance(batch.inputs, torch.Tensor):
                refuse("These data have no labels and several inputs each. Pass them with labels.")
            inputs.append(batch.inputs.cpu())
    labels = torch.cat(answers)
    if isinstance(data, TextData):
        return TextData(data.sentences, np.asarray(labels), data.tokenizer, max_length=data.max_length)
    return torch.cat(inputs), labels
