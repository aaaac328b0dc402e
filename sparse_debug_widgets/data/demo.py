"""The demo: a trained model with its data, made from shipped weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.data.weights_io import load_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Demo:
    """A model, its data and what is known about both.

    Attributes:
        name: as `load_demo` takes it.
        description: in one sentence.
        model: in evaluation mode, weights loaded.
        train: data set of (float32 picture (channels, H, W) in [0, 1], class index), or of (sentence, class
            index) with the tokenizer that the model reads them with.
        test: the same, with the same flaw if there is one.
        clean_test: the same without the flaw, or None.
        class_names: one per class.
        truth: what is known about the data; its form is the demo's own; None if there is nothing.
        card: the model card: data, script, seed, accuracy, licence.
        numbers: the card's numbers by name.
    """

    name: str
    description: str
    model: nn.Module = field(repr=False)
    train: Dataset[tuple[Tensor, int]] | TextData
    test: Dataset[tuple[Tensor, int]] | TextData
    clean_test: Dataset[tuple[Tensor, int]] | TextData | None
    class_names: tuple[str, ...]
    truth: Any = field(repr=False)
    card: str = field(repr=False)
    numbers: Mapping[str, float] = field(repr=False)

    def __post_init__(self) -> None:
        """Name the classes of the data sets as torchvision's do, so that whatever reads them shows names."""
        for part in (self.train, self.test, self.clean_test):
            if part is not None and not hasattr(part, "classes"):
                part.classes = self.class_names  # type: ignore[attr-defined]


def demo_from_weights(
    name: str,
    description: str,
    make_model: Callable[[], nn.Module],
    *,
    train: Dataset[tuple[Tensor, int]] | TextData,
    test: Dataset[tuple[Tensor, int]] | TextData,
    clean_test: Dataset[tuple[Tensor, int]] | TextData | None,
    class_names: tuple[str, ...],
    truth: Any,  # noqa: ANN401 (its form is the demo's own)
) -> Demo:
    """Put the shipped weights into a new model and describe it by its card."""
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and overwritten
        model = make_model()
    numbers, card = load_weights(model, name)
    return Demo(
        name=name,
        description=description,
        model=model.eval(),
        train=train,
        test=test,
        clean_test=clean_test,
        class_names=class_names,
        truth=truth,
        card=card,
        numbers=numbers,
    )
