"""Make the shipped weights and their model cards: `python -m sparse_debug_widgets.data.train_demos`.

Deterministic on one machine (one thread, one seed); a few minutes on one core. Another processor or version
of PyTorch rounds differently, so that its weights and accuracies differ somewhat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sparse_debug_widgets.data import digits, shapes
from sparse_debug_widgets.data.cards import DIGITS_CARD, SHAPES_CARD, CardNumbers
from sparse_debug_widgets.data.digits import DigitsDataset
from sparse_debug_widgets.data.models import DigitsNet, ShapesNet, logits_of, n_parameters
from sparse_debug_widgets.data.shapes import FLAW_CLASS, ShapesDataset
from sparse_debug_widgets.data.sparse_check import SparseFit, area_under_curve, five_point_fit
from sparse_debug_widgets.data.train_parts import make_parts
from sparse_debug_widgets.data.train_tickets import make_tickets
from sparse_debug_widgets.data.training import train_digits_net, train_shapes_net
from sparse_debug_widgets.data.weights_io import WEIGHTS, load_weights, save_weights

SEED = 0
EPOCHS = {"shapes": 10, "digits": 30, "tickets": 10, "parts": 12}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, and write NAME.safetensors and NAME.md.

    Args:
        arguments: of the command line; None means sys.argv.
    """
    parser = argparse.ArgumentParser(description="Train the demo networks and write their weights and cards.")
    parser.add_argument(
        "names", nargs="*", help="shapes, digits, tickets, parts; default: all", metavar="NAME"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    options = parser.parse_args(arguments)
    makers: dict[str, Callable[[Path, int], dict[str, float]]] = {
        "shapes": make_shapes,
        "digits": make_digits,
        "tickets": partial(make_tickets, seed=SEED, log=_say),
        "parts": partial(make_parts, seed=SEED, log=_say),
    }
    if unknown := [name for name in options.names if name not in makers]:
        parser.error(f"no demo to train is called {unknown[0]!r}: choose from {', '.join(makers)}")
    options.out.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    # sums in another order round differently
    torch.set_num_threads(1)
    try:
        for name in options.names or makers:
            makers[name](options.out, options.epochs or EPOCHS[name])
    finally:
        torch.set_num_threads(threads)
    return 0


def make_shapes(out: Path, epochs: int) -> dict[str, float]:
    """Train and measure the network of the `shapes` demo; the numbers of its card."""
    dataset = ShapesDataset("train")
    trained = train_shapes_net(*stacked(dataset, dataset.labels), seed=SEED, epochs=epochs, log=_say)
    _write_shapes(trained, out, {})
    model = ShapesNet(len(shapes.CLASS_NAMES))
    # what is measured is what is shipped: float16
    load_weights(model, "shapes", out)
    numbers = {"parameters": n_parameters(model), "epochs": epochs, **measure_shapes(model.eval())}
    _write_shapes(model, out, numbers)
    return numbers


def measure_shapes(model: ShapesNet) -> dict[str, float]:
    """Accuracy on each split, and what silencing the strongest feature of a sparse layer does."""
    numbers, features, labels = {}, {}, {}
    for split in shapes.SIZES:
        dataset = ShapesDataset(split)
        images, targets = stacked(dataset, dataset.labels)
        numbers[f"accuracy_{split}"] = _accuracy(model, images, targets)
        with torch.no_grad():
            chunks = [model.features(chunk) for chunk in torch.split(images, 250)]
        features[split], labels[split] = torch.cat(chunks).double().numpy(), dataset.labels
    fit = five_point_fit(features["train"], labels["train"])
    return numbers | _silencing(fit, features, labels, ShapesDataset("clean_test").tagged)


def _write_shapes(model: nn.Module, out: Path, numbers: dict[str, float]) -> None:
    save_weights(model, out / "shapes.safetensors", numbers)
    card = SHAPES_CARD.format_map(CardNumbers(numbers))
    (out / "shapes.md").write_text(card, encoding="utf-8")


def _silencing(
    fit: SparseFit,
    features: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    labels: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
    tagged: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> dict[str, float]:
    """Measure the repair by silencing the flawed class's strongest feature, chosen by weight alone."""
    strongest = int(np.argmax(np.abs(fit.weight[FLAW_CLASS])))
    others = labels["clean_test"] != FLAW_CLASS
    numbers: dict[str, float] = {
        "sparse_features_per_class": float((fit.weight != 0).sum(1).mean()),
        "sparse_features_flaw_class": float((fit.weight[FLAW_CLASS] != 0).sum()),
        "strongest_feature": float(strongest),
        "strongest_feature_tag_auc": area_under_curve(
            features["clean_test"][others, strongest], tagged[others]
        ),
        "strongest_feature_object_auc": area_under_curve(
            features["clean_test"][~tagged, strongest], ~others[~tagged]
        ),
    }
    for split in ("test", "clean_test"):
        numbers[f"sparse_accuracy_{split}"] = fit.accuracy(features[split], labels[split])
        numbers[f"silenced_accuracy_{split}"] = fit.accuracy(features[split], labels[split], (strongest,))
    return numbers


def make_digits(out: Path, epochs: int) -> dict[str, float]:
    """Train and measure the network of the `digits` demo; the numbers of its card."""
    splits = {split: DigitsDataset(split) for split in ("train", "test")}
    data = {split: stacked(dataset, dataset.labels) for split, dataset in splits.items()}
    trained = train_digits_net(*data["train"], seed=SEED, epochs=epochs, log=_say)
    numbers: dict[str, float] = {"parameters": n_parameters(trained), "epochs": epochs}
    save_weights(trained, out / "digits.safetensors", numbers)
    (out / "digits.md").write_text("", encoding="utf-8")
    model = DigitsNet(len(digits.CLASS_NAMES))
    load_weights(model, "digits", out)
    model.eval()
    for split, (images, labels) in data.items():
        numbers[f"accuracy_{split}"] = _accuracy(model, images, labels)
    save_weights(model, out / "digits.safetensors", numbers)
    (out / "digits.md").write_text(DIGITS_CARD.format_map(CardNumbers(numbers)), encoding="utf-8")
    return numbers


def stacked(
    dataset: Dataset[tuple[Tensor, int]], labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> tuple[Tensor, Tensor]:
    """All pictures (n, channels, H, W) and labels (n,) of a data set."""
    return torch.stack([dataset[i][0] for i in range(len(labels))]), torch.from_numpy(labels)


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((logits_of(model, images).argmax(1) == labels).double().mean())


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
