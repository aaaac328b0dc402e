"""Train and measure the network of the `parts` demo; `train_demos` runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.data.cards import PARTS_CARD, CardNumbers
from sparse_debug_widgets.data.models import PartsNet, logits_of, n_parameters
from sparse_debug_widgets.data.parts import CLASS_NAMES, SIZES, PartsDataset
from sparse_debug_widgets.data.training import Log, augmented, fit_net, initialised
from sparse_debug_widgets.data.weights_io import load_weights, save_weights


def make_parts(out: Path, epochs: int, *, seed: int = 0, log: Callable[[str], None]) -> dict[str, float]:
    """Train and measure; write the weights and the card, and return the card's numbers.

    Args:
        out: Folder to write to.
        epochs: Passes over the data.
        seed: Of weights, order and augmentation.
        log: Takes a line per epoch.
    """
    data = {split: PartsDataset(split) for split in SIZES}
    trained = train_parts_net(*_stacked(data["train"]), seed=seed, epochs=epochs, log=log)
    _write(trained, out, {})
    model = PartsNet(len(CLASS_NAMES))
    # what is measured is what is shipped: float16
    load_weights(model, "parts", out)
    numbers = {"parameters": float(n_parameters(model)), "epochs": float(epochs)}
    for split, dataset in data.items():
        images, labels = _stacked(dataset)
        right = (logits_of(model.eval(), images).argmax(1) == labels).numpy()
        lacking = (dataset.variants < 0).any(1)
        numbers[f"accuracy_{split}"] = float(right.mean())
        numbers[f"accuracy_{split}_whole"] = float(right[~lacking].mean())
        numbers[f"accuracy_{split}_lacking"] = float(right[lacking].mean())
    _write(model, out, numbers)
    return numbers


def train_parts_net(images: Tensor, labels: Tensor, *, seed: int, epochs: int, log: Log) -> PartsNet:
    """Train the network.

    Args:
        images: (n, 3, 64, 64) in [0, 1].
        labels: (n,) class indices.
        seed: Of weights, order and augmentation.
        epochs: Passes over the data.
        log: Takes a line per epoch.
    """
    generator = torch_generator(seed, "train parts")
    model = initialised(lambda: PartsNet(len(CLASS_NAMES)), generator)

    def loss(batch: Tensor, target: Tensor, progress: float) -> Tensor:
        del progress
        return cross_entropy(model(augmented(batch, generator)), target)

    fit_net(model, loss, images, labels, generator, epochs, log)
    return model


def _stacked(dataset: PartsDataset) -> tuple[Tensor, Tensor]:
    images = torch.stack([dataset[i][0] for i in range(len(dataset))])
    return images, torch.from_numpy(np.array(dataset.labels))


def _write(model: PartsNet, out: Path, numbers: dict[str, float]) -> None:
    save_weights(model, out / "parts.safetensors", numbers)
    (out / "parts.md").write_text(PARTS_CARD.format_map(CardNumbers(numbers)), encoding="utf-8")
