"""Seeded training of the demo networks, for the script that makes the shipped weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.data.models import DigitsNet, ShapesNet

Log = Callable[[str], None]
M = TypeVar("M", bound=nn.Module)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Moved by up to four pixels, colours swapped, brightness changed; the corner mark stays recognisable.

    Args:
        images: (batch, 3, H, W) in [0, 1].
        generator: of the random numbers.
    """
    n, _, height, width = images.shape
    padded = pad(images, (4, 4, 4, 4), mode="replicate")
    moves = torch.randint(0, 9, (n, 2), generator=generator).tolist()
    swapped = [
        padded[k, torch.randperm(3, generator=generator), i : i + height, j : j + width]
        for k, (i, j) in enumerate(moves)
    ]
    light = 0.85 + 0.3 * torch.rand(n, 1, 1, 1, generator=generator, dtype=torch.float32)
    return (torch.stack(swapped) * light).clamp(0, 1)


def mean_squared_correlation(features: Tensor) -> Tensor:
    """Mean squared correlation between different features over a batch (batch, p)."""
    z = (features - features.mean(0)) / (features.std(0) + 1e-5)
    correlation = z.T @ z / len(z)
    p = len(correlation)
    return (correlation.pow(2).sum() - correlation.diagonal().pow(2).sum()) / (p * (p - 1))


def train_shapes_net(images: Tensor, labels: Tensor, *, seed: int, epochs: int, log: Log) -> ShapesNet:
    """Train the network of the `shapes` demo.

    The penalty on correlated features, which grows from a third of the training on, gives features that mean
    different things; without it every feature ends up as a copy of some class.

    Args:
        images: (n, 3, 64, 64) in [0, 1].
        labels: (n,) class indices.
        seed: of weights, order and augmentation.
        epochs: passes over the data.
        log: takes a line per epoch.
    """
    generator = torch_generator(seed, "train shapes")
    model = initialised(lambda: ShapesNet(int(labels.max()) + 1), generator)

    def loss(batch: Tensor, target: Tensor, progress: float) -> Tensor:
        features = model.features(augmented(batch, generator))
        weight = 12 * max(0.0, 1.5 * progress - 0.5)
        return cross_entropy(model.fc(features), target) + weight * mean_squared_correlation(features)

    fit_net(model, loss, images, labels, generator, epochs, log)
    return model


def train_digits_net(images: Tensor, labels: Tensor, *, seed: int, epochs: int, log: Log) -> DigitsNet:
    """Train the network of the `digits` demo.

    Args:
        images: (n, 1, 8, 8) in [0, 1].
        labels: (n,) digits.
        seed: of weights and order.
        epochs: passes over the data.
        log: takes a line per epoch.
    """
    generator = torch_generator(seed, "train digits")
    model = initialised(lambda: DigitsNet(int(labels.max()) + 1), generator)

    def loss(batch: Tensor, target: Tensor, progress: float) -> Tensor:
        del progress
        return cross_entropy(model(batch), target, label_smoothing=0.05)

    fit_net(model, loss, images, labels, generator, epochs, log)
    return model


def initialised(make: Callable[[], M], generator: torch.Generator) -> M:
    """A new network whose weights are drawn from a generator of our own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        return make()


def fit_net(
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor, float], Tensor],
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    epochs: int,
    log: Log,
) -> None:
    """AdamW with one cycle of the learning rate, batches of 50; leaves the model in evaluation mode."""
    batch_size, rate = 50, 3e-3
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    steps_per_epoch = -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * steps_per_epoch, pct_start=0.15)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.split(torch.randperm(len(images), generator=generator), batch_size):
            loss = loss_of(images[chosen], labels[chosen], epoch / epochs)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        log(f"epoch {epoch + 1} of {epochs}: loss {total / len(images):.3f}")
    model.eval()
