"""Train and measure the network of the `tickets` demo; `train_demos` runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.data import tickets
from sparse_debug_widgets.data.cards import TICKETS_CARD, CardNumbers
from sparse_debug_widgets.data.models import n_parameters
from sparse_debug_widgets.data.sparse_check import area_under_curve, five_point_fit
from sparse_debug_widgets.data.text_models import TicketsNet
from sparse_debug_widgets.data.tickets import FLAW_CLASS, TicketsDataset
from sparse_debug_widgets.data.training import mean_squared_correlation
from sparse_debug_widgets.data.weights_io import load_weights, save_weights
from sparse_debug_widgets.data.word_tokenizer import PAD, UNKNOWN

P_UNKNOWN = 0.1
"""Share of the words that training hides: messages with unknown words are nothing new then."""


def make_tickets(out: Path, epochs: int, *, seed: int = 0, log: Callable[[str], None]) -> dict[str, float]:
    """Train and measure; write the weights and the card, and return the card's numbers.

    Args:
        out: Folder to write to.
        epochs: Passes over the data.
        seed: Of weights, order and hidden words.
        log: Takes a line per epoch.
    """
    data = {split: TicketsDataset(split) for split in tickets.SIZES}
    trained = train_tickets_net(*_stacked(data["train"]), seed=seed, epochs=epochs, log=log)
    _write(trained, out, {})
    model = tickets.make_model()
    # what is measured is what is shipped: float16
    load_weights(model, "tickets", out)
    numbers = {"parameters": n_parameters(model), "epochs": epochs, **_measure(model.eval(), data)}
    _write(model, out, numbers)
    return numbers


def train_tickets_net(
    ids: Tensor, labels: Tensor, *, seed: int, epochs: int, log: Callable[[str], None]
) -> TicketsNet:
    """Train the network; correlated deep features are penalised as for `shapes`.

    Args:
        ids: (n, words) word ids.
        labels: (n,) class indices.
        seed: Of weights, order and hidden words.
        epochs: Passes over the data.
        log: Takes a line per epoch.
    """
    generator = torch_generator(seed, "train tickets")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        model = tickets.make_model()
    batch_size, rate = 50, 3e-3
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    steps = epochs * -(-len(ids) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.15)
    model.train()
    for epoch in range(epochs):
        total, weight = 0.0, 8 * max(0.0, 1.5 * epoch / epochs - 0.5)
        for chosen in torch.split(torch.randperm(len(ids), generator=generator), batch_size):
            words = ids[chosen]
            hidden = (torch.rand(words.shape, generator=generator, dtype=torch.float32) < P_UNKNOWN) & (
                words != PAD
            )
            features = model.features(words.masked_fill(hidden, UNKNOWN))
            loss = cross_entropy(model.fc(features), labels[chosen])
            loss = loss + weight * mean_squared_correlation(features)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        log(f"epoch {epoch + 1} of {epochs}: loss {total / len(ids):.3f}")
    return model.eval()


def _stacked(dataset: TicketsDataset) -> tuple[Tensor, Tensor]:
    return dataset.tokenizer.tensor(dataset.sentences), torch.from_numpy(np.array(dataset.labels))


def _measure(model: TicketsNet, data: dict[str, TicketsDataset]) -> dict[str, float]:
    """Accuracy on each split, and what silencing the strongest feature of a sparse layer does."""
    numbers, features, labels = {}, {}, {}
    with torch.no_grad():
        for split, dataset in data.items():
            ids, targets = _stacked(dataset)
            features[split], labels[split] = model.features(ids).double().numpy(), targets.numpy()
            numbers[f"accuracy_{split}"] = float((model(ids).argmax(1) == targets).double().mean())
    fit = five_point_fit(features["train"], labels["train"])
    # Chosen by its weight alone.
    strongest = int(np.argmax(np.abs(fit.weight[FLAW_CLASS])))
    tagged, others = data["clean_test"].tagged, labels["clean_test"] != FLAW_CLASS
    strength = features["clean_test"][:, strongest]
    numbers |= {
        "sparse_features_per_class": float((fit.weight != 0).sum(1).mean()),
        "sparse_features_flaw_class": float((fit.weight[FLAW_CLASS] != 0).sum()),
        "strongest_feature": float(strongest),
        "strongest_feature_tag_auc": area_under_curve(strength[others], tagged[others]),
        "strongest_feature_class_auc": area_under_curve(strength[~tagged], ~others[~tagged]),
    }
    for split in ("test", "clean_test"):
        numbers[f"sparse_accuracy_{split}"] = fit.accuracy(features[split], labels[split])
        numbers[f"silenced_accuracy_{split}"] = fit.accuracy(features[split], labels[split], (strongest,))
    return numbers


def _write(model: TicketsNet, out: Path, numbers: dict[str, float]) -> None:
    save_weights(model, out / "tickets.safetensors", numbers)
    (out / "tickets.md").write_text(TICKETS_CARD.format_map(CardNumbers(numbers)), encoding="utf-8")
