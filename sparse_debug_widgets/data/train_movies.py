"""Fit the decision layer of the `minilm-movies` demo: `python -m sparse_debug_widgets.data.train_movies`.

Needs the optional extra and the sentences, see `movies.py`. Logistic regression on the standardised features
of some thousand training sentences, written in the features' own units.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.data import movies
from sparse_debug_widgets.data.cards import MOVIES_CARD, CardNumbers
from sparse_debug_widgets.data.weights_io import WEIGHTS, load_weights, save_weights

SIZES = {"train": 2000, "test": 600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, and write the weights and the card.

    Args:
        arguments: Of the command line; None means sys.argv.
    """
    parser = argparse.ArgumentParser(description="Fit the decision layer of the minilm-movies demo.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    options = parser.parse_args(arguments)
    sentences, labels = movies.read_sentences(movies.find_archive())
    encoder, tokenizer, width = movies.encoder_and_tokenizer()
    splits = {name: movies.split_of(sentences, labels, name, tokenizer) for name in SIZES}
    fit_movies(movies.SentenceClassifier(encoder, width).eval(), splits, options.out)
    return 0


def fit_movies(model: movies.SentenceClassifier, splits: dict[str, TextData], out: Path) -> dict[str, float]:
    """Fit the decision layer of a model and write it.

    Args:
        model: Its encoder is kept as it is; its decision layer is overwritten.
        splits: "train" and "test"; the first sentences of each are used, as many as `SIZES` says.
        out: Folder to write to.

    Returns:
        The card's numbers.
    """
    features, labels = {}, {}
    for name, data in splits.items():
        few = TextData(
            data.sentences[: SIZES[name]],
            None if data.labels is None else data.labels[: SIZES[name]],
            data.tokenizer,
            max_length=data.max_length,
        )
        features[name], labels[name] = _features(model, few), np.asarray(few.labels)
    center, scale = features["train"].mean(0), features["train"].std(0)
    alive = scale > 1e-6 * np.abs(features["train"]).max()
    scale = np.where(alive, scale, 1.0)
    regression = LogisticRegression(C=0.01, max_iter=1000)
    regression.fit((features["train"] - center) / scale * alive, labels["train"])
    slope = regression.coef_[0] / scale * alive
    offset = float(regression.intercept_[0] - slope @ center)
    with torch.no_grad():
        model.fc.weight.copy_(torch.from_numpy(np.stack([-slope / 2, slope / 2])))
        model.fc.bias.copy_(torch.tensor([-offset / 2, offset / 2], dtype=torch.float32))
    _write(model, out, {})
    # what is measured is what is shipped: float16
    load_weights(model.fc, "minilm-movies", out)
    weight, bias = model.fc.weight.detach().double().numpy(), model.fc.bias.detach().double().numpy()
    numbers: dict[str, float] = {f"n_{name}": float(len(labels[name])) for name in SIZES}
    for name, values in features.items():
        right = (values @ weight.T + bias).argmax(1) == labels[name]
        numbers[f"accuracy_{name}"] = float(right.mean())
    _write(model, out, numbers)
    return numbers


def _features(model: movies.SentenceClassifier, data: TextData) -> NDArray[np.float64]:
    rows: list[torch.Tensor] = []
    handle = model.fc.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].double()))
    try:
        with torch.no_grad():
            for batch in batches(data, 64):
                if isinstance(batch.inputs, dict):
                    model(**batch.inputs)
    finally:
        handle.remove()
    return np.asarray(torch.cat(rows).numpy())


def _write(model: movies.SentenceClassifier, out: Path, numbers: dict[str, float]) -> None:
    save_weights(model.fc, out / "minilm-movies.safetensors", numbers)
    card = MOVIES_CARD.format_map(CardNumbers(numbers))
    (out / "minilm-movies.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
