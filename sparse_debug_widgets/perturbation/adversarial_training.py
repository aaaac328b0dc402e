"""Adversarial training: the model learns from the worst perturbation that an attack finds in a ball."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import check_int, check_real, reject
from sparse_debug_widgets.core.fingerprint import model_fingerprint
from sparse_debug_widgets.core.forms import names_for
from sparse_debug_widgets.core.hooks import modules_of, unwrap
from sparse_debug_widgets.core.occupied import occupied
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.pixels import UNIT, Box, model_box
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator, preserve_rng, torch_generator
from sparse_debug_widgets.perturbation.attack import Attack, labelled, robust_accuracy, strongest
from sparse_debug_widgets.perturbation.classifier import place_of
from sparse_debug_widgets.perturbation.training_state import History, load_state, save_state

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AdversarialTraining(Result):
    """The course of an adversarial training; the model itself was trained in place.

    Attributes:
        radii: (E,) radius at the end of each epoch, warm-up included.
        losses: (E,) mean training loss on the perturbed examples.
        accuracies: (E,) accuracy on the perturbed training examples.
        clean_accuracy: On the test set; NaN without one, or when cancelled.
        robust_accuracy: On the test set under the strongest attack with the full radius; likewise.
        norm: Of the ball.
        eps: Radius of the ball.
        epochs: Epochs asked for.
        cancelled: Whether fewer were done because somebody asked for it.
    """

    kind: ClassVar[str] = "adversarial_training"
    arrays: ClassVar[Mapping[str, str]] = {
        "radii": "E float",
        "losses": "E float",
        "accuracies": "E float",
    }

    radii: Floats
    losses: Floats
    accuracies: Floats
    clean_accuracy: float
    robust_accuracy: float
    norm: str
    eps: float
    epochs: int
    cancelled: bool

    def to_frame(self) -> pd.DataFrame:
        """One row for each epoch."""
        import pandas as pd

        columns = {"radius": self.radii, "loss": self.losses, "accuracy": self.accuracies}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(self.radii) + 1, name="epoch"))

    def plot(self) -> go.Figure:
        """Accuracy on perturbed training examples and the radius, by epoch."""
        from sparse_debug_widgets.core import figures

        series = {"accuracy under attack": self.accuracies, "radius / eps": self.radii / self.eps}
        title = f"{self.norm}, eps {self.eps:g}: {self.clean_accuracy:.1%} clean, "
        title += f"{self.robust_accuracy:.1%} robust"
        return figures.lines(np.arange(1, len(self.radii) + 1), series, title=title, x_title="epoch")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of an adversarial training, as its checkpoints keep them.

    Attributes:
        norm: ``"l2"``, ``"linf"``, ``"l1"``, ``"l1q"`` or any other ball that the attack knows.
        eps: Radius at the end of the warm-up.
        epochs: Passes over the data.
        warmup: Share of all steps over which the radius grows linearly: large radii from scratch collapse.
        batch_size: Examples in a step.
        learning_rate: Adam's at the start; falls linearly to zero.
        seed: Of the order of the examples, the attack's starts and dropout.
    """

    norm: str = "l2"
    eps: float = 1.0
    epochs: int = 10
    warmup: float = 0.2
    batch_size: int = 128
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        name = "adversarial training"
        check_real(self.eps, "eps", name, low=0, open_low=True)
        check_int(self.epochs, "epochs", name)
        check_real(self.warmup, "warmup", name, low=0, high=1)
        check_int(self.batch_size, "batch_size", name)
        check_real(self.learning_rate, "learning_rate", name, low=0, open_low=True)
        check_int(self.seed, "seed", name, low=0)

    def radius(self, step: int, total: int) -> float:
        """Radius at one of all steps."""
        grown = (step + 1) / (self.warmup * total) if self.warmup > 0 else 1.0
        return self.eps * min(1.0, grown)


def adversarial_training(  # noqa: PLR0913 - the front of the room
    model: nn.Module,
    data: object,
    *,
    norm: str = "l2",
    eps: float = 1.0,
    epochs: int = 10,
    attack: Attack | None = None,
    box: Box | None = UNIT,
    normalize: object = None,
    warmup: float = 0.2,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    test: object = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: object = None,
) -> AdversarialTraining:
    """Train a model, in place, on the perturbations that hurt it most (Madry et al. 2018).

    The attack sees the model in evaluation mode, the training step in training mode. The data are read once
    and kept in memory. With the same seed a training that was interrupted and resumed from its checkpoint is
    bitwise the one that was not.

    Args:
        model: Any classifier. On an error it gets its old weights back; a cancelled training keeps the new.
        data: Whatever :mod:`core.batching` takes, with labels.
        norm: Ball: ``"l2"``, ``"linf"``, ``"l1"`` or ``"l1q"``.
        eps: Its radius.
        epochs: Passes over the data.
        attack: What perturbs; None: the :func:`strongest`, seven steps of Frank-Wolfe and seven of PGD from
            a random start. ``PGDAttack(steps=7)`` alone takes half the time, and is nearly as strong in l2.
        box: Pixel range, or None.
        normalize: How the inputs were normalised, if they were: (mean, std), a transform or torchvision
            weights (:func:`~sparse_debug_widgets.core.pixels.normalization`). Then ``box`` is the range
            of the pixels before that; data sets that carry their transforms need not say it.
        warmup: Share of all steps over which the radius grows from 0 to eps.
        batch_size: Examples in a step.
        learning_rate: Adam's at the start; falls linearly to zero.
        seed: Of everything random; the global generators are left alone.
        test: Held-out data for the accuracies of the result, or None.
        checkpoint: File that is written after every epoch and, where it exists, resumed from; or None.
        progress: Callback, bool or None; called after every step, with the epoch's (radius, loss, accuracy)
            as a piece at its end. Cancelling returns what there is, marked.

    Returns:
        The history, and clean and robust accuracy (the default of :func:`robust_accuracy`) on ``test``.

    Raises:
        InputError: A setting out of range, data without labels, labels outside the classes, or a checkpoint
            of another training.

    References:
        Madry and others, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018;
        ``docs/methods/perturbations.md``.
    """
    started = time.monotonic()
    recipe = Recipe(
        norm=norm,
        eps=eps,
        epochs=epochs,
        warmup=warmup,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    box = model_box(box, normalize, data)
    attacker = strongest(7, box=box) if attack is None else attack
    report = reporter(progress)
    trainer = _Trainer(unwrap(model), recipe, attacker, data)
    clean = robust = float("nan")
    cancelled = False
    with preserve_rng(), torch.inference_mode(mode=False), torch.enable_grad(), _given_back(trainer.model):
        try:
            trainer.run(None if checkpoint is None else Path(checkpoint), report)
            if test is not None:
                clean = robust_accuracy(model, test, norm=norm, eps=0.0, seed=seed)
                robust = robust_accuracy(model, test, norm=norm, eps=eps, box=box, seed=seed, progress=report)
        except Cancelled:
            cancelled = True
    history = np.array(trainer.history, dtype=np.float64).reshape(-1, 3)
    return AdversarialTraining(
        provenance=Provenance(
            method=f"adversarial_training:{attacker.name}",
            params=dataclasses.asdict(recipe),
            seed=seed,
            seconds=time.monotonic() - started,
            fingerprint=model_fingerprint(model),
        ),
        radii=history[:, 0],
        losses=history[:, 1],
        accuracies=history[:, 2],
        clean_accuracy=clean,
        robust_accuracy=robust,
        norm=norm,
        eps=float(eps),
        epochs=epochs,
        cancelled=cancelled,
    )


class _Trainer:
    """One training: the data in memory, Adam, and the epochs so far."""

    def __init__(self, model: nn.Module, recipe: Recipe, attack: Attack, data: object) -> None:
        self.model = model
        self.recipe = recipe
        self.attack = attack
        self.device, dtype = place_of(model)
        if dtype == torch.float16:
            advice = "Train it in single precision: model.float(); bfloat16 works too."
            reject("model", "adversarial training", "not be in float16, too coarse for Adam", dtype, advice)
        names = names_for(model, data)
        pairs = [labelled(batch.inputs, batch.labels) for batch in batches(data, classes=names)]
        self.inputs = torch.cat([inputs for inputs, _ in pairs]).to(dtype)
        self.labels = torch.cat([labels for _, labels in pairs])
        self.history: History = []
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trainable:
            reject(
                "model", "adversarial training", "have parameters that ask for a gradient", "a frozen model"
            )
        self.optimizer = torch.optim.Adam(trainable, lr=recipe.learning_rate)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.inputs) // self.recipe.batch_size)

    def settings(self) -> dict[str, object]:
        """Return what a checkpoint must agree with."""
        return dataclasses.asdict(self.recipe) | {"attack": repr(self.attack), "examples": len(self.inputs)}

    def run(self, checkpoint: Path | None, report: ProgressCallback) -> None:
        """All epochs that are left."""
        if checkpoint is not None and checkpoint.is_file():
            self.history = load_state(checkpoint, self.model, self.optimizer, self.settings())
        for epoch in range(len(self.history), self.recipe.epochs):
            row = self._epoch(epoch, report)
            self.history.append(row)
            if checkpoint is not None:
                save_state(checkpoint, self.model, self.optimizer, self.history, self.settings())
            done = (epoch + 1) * self.steps_per_epoch
            note = f"epoch {epoch + 1}: radius {row[0]:.3g}, loss {row[1]:.3g}, accuracy {row[2]:.1%}"
            report(Progress(done, self.recipe.epochs * self.steps_per_epoch, note, piece=row))

    def _epoch(self, epoch: int, report: ProgressCallback) -> tuple[float, float, float]:
        """One pass over the data; its random streams depend on the seed and its number only."""
        size, seed = self.recipe.batch_size, self.recipe.seed
        order = torch.from_numpy(generator(seed, "order", epoch).permutation(len(self.inputs)))
        starts = torch_generator(seed, "attack", epoch, device=self.device)
        # Dropout draws from the global generator, which is restored afterwards.
        torch.manual_seed(torch_generator(seed, "dropout", epoch).initial_seed())
        total = self.recipe.epochs * self.steps_per_epoch
        loss = right = 0.0
        radius = self.recipe.eps
        for i, rows in enumerate(torch.split(order, size)):
            step = epoch * self.steps_per_epoch + i
            radius = self.recipe.radius(step, total)
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * (1 - step / total)
            inputs, labels = self.inputs[rows].to(self.device), self.labels[rows].to(self.device)
            with occupied(modules_of(self.model)):
                batch_loss, batch_right = self._step(inputs, labels, radius, starts)
            loss, right = loss + batch_loss * len(rows), right + batch_right
            report(Progress(step + 1, total, f"epoch {epoch + 1} of {self.recipe.epochs}"))
        return radius, loss / len(order), right / len(order)

    def _step(
        self, inputs: Tensor, labels: Tensor, radius: float, starts: torch.Generator
    ) -> tuple[float, float]:
        self.model.eval()
        perturbed = self.attack(self.model, inputs, labels, self.recipe.norm, radius, starts)
        self.model.train()
        logits = logits_of(self.model(perturbed.detach()), rows=len(inputs))
        loss = functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach()), float((logits.argmax(1) == labels).sum())


@contextmanager
def _given_back(model: nn.Module) -> Iterator[None]:
    """Training flags and gradients as they were; after an error the weights too."""
    flags = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    try:
        yield
    except BaseException:
        model.load_state_dict(weights)
        raise
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in flags:
            module.training = training
