"""Attacks as a training or an evaluation uses them: examples and labels in, perturbed examples out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import check_int, check_real, reject
from sparse_debug_widgets.core.forms import names_for
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.pixels import UNIT, Box, model_box
from sparse_debug_widgets.core.progress import reporter
from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.perturbation.arguments import check_inputs, check_room
from sparse_debug_widgets.perturbation.balls import Ball
from sparse_debug_widgets.perturbation.classifier import Objective, cross_entropy, differentiable, place_of
from sparse_debug_widgets.perturbation.frank_wolfe import frank_wolfe
from sparse_debug_widgets.perturbation.norms import make_ball
from sparse_debug_widgets.perturbation.pgd import pgd, random_point


class Attack(Protocol):
    """Raises the loss of labels within a ball.

    Attributes:
        name: For provenance.
    """

    @property
    def name(self) -> str:
        """For provenance."""

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        norm: str,
        eps: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Perturbed inputs (B, ...), within ``eps`` of the inputs in ``norm``; the model stays as it is."""


class BallAttack(ABC):
    """An attack that searches a ball for the largest loss; what the two here have in common.

    Checkpoints know an attack by its text: the settings stand in the subclasses, whose order must stay.

    Attributes:
        steps: Of a search.
        q: Share of the coordinates that a step may touch; ``"l1q"`` only.
        box: Pixel range, or None.
    """

    steps: int
    q: float
    box: Box | None

    def __post_init__(self) -> None:
        check_int(self.steps, "steps", type(self).__name__)

    @abstractmethod
    def search(self, objective: Objective, ball: Ball, generator: torch.Generator) -> Tensor:
        """The worst perturbation (B, d) that it finds; the objective asks for ascent."""

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        norm: str,
        eps: float,
        generator: torch.Generator,
    ) -> Tensor:
        """See :class:`Attack`."""
        with differentiable(model) as bare:
            objective = Objective(bare, inputs, labels, ascent=True)
            size, room = len(inputs), check_room(inputs, self.box)
            ball = make_ball(norm, [eps] * size, objective.start, room, [self.q] * size)
            found = self.search(objective, ball, generator).view_as(inputs)
            # Random starts are single-precision numbers, also for models in half precision.
            return (inputs + found).to(inputs.dtype)


@dataclass(frozen=True, kw_only=True)
class PGDAttack(BallAttack):
    """Projected gradient ascent from random starts; the worst iterate counts. See :func:`pgd`.

    Attributes:
        step_size: In units of the radius; None: falls linearly from 1 to 1 / steps.
        starts: Random starts, of ``steps`` each; the worst of them counts.
    """

    steps: int = 7
    step_size: float | None = None
    starts: int = 1
    q: float = 0.01
    box: Box | None = (0.0, 1.0)
    name: str = "pgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int(self.starts, "starts", "PGDAttack")

    def search(self, objective: Objective, ball: Ball, generator: torch.Generator) -> Tensor:
        """See :class:`BallAttack`."""
        worst = objective.start
        loss = torch.full((len(worst),), -torch.inf, dtype=torch.float32, device=worst.device)
        for _ in range(self.starts):
            start = random_point(ball, (worst.shape[0], worst.shape[1]), generator)
            run = pgd(objective, ball, steps=self.steps, step_size=self.step_size, start=start)
            reached = run.losses.nan_to_num(-torch.inf).amax(1)
            worst = torch.where((reached > loss)[:, None], run.delta, worst)
            loss = torch.maximum(reached, loss)
        return worst


@dataclass(frozen=True, kw_only=True)
class FrankWolfeAttack(BallAttack):
    """Frank-Wolfe ascent, from zero; with ``"l1q"`` its perturbations are sparse. Nothing in it is random."""

    steps: int = 10
    q: float = 0.05
    box: Box | None = (0.0, 1.0)
    name: str = "frank_wolfe"

    def search(self, objective: Objective, ball: Ball, generator: torch.Generator) -> Tensor:
        """See :class:`BallAttack`."""
        del generator
        return frank_wolfe(objective, ball, steps=self.steps).delta


@dataclass(frozen=True, kw_only=True)
class WorstOf:
    """Several attacks on every example; the worst counts: misclassified ones first, then the largest loss.

    No attack is the strongest on every network and in every ball. See :func:`strongest`.

    Attributes:
        attacks: In this order.
    """

    attacks: tuple[Attack, ...]

    def __post_init__(self) -> None:
        if not self.attacks:
            reject("attacks", "WorstOf", "be at least one attack", "none")

    @property
    def name(self) -> str:
        """For provenance."""
        return "worst_of:" + "+".join(attack.name for attack in self.attacks)

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        norm: str,
        eps: float,
        generator: torch.Generator,
    ) -> Tensor:
        """See :class:`Attack`."""
        worst = inputs
        loss = torch.full((len(inputs),), -torch.inf, dtype=torch.float32, device=inputs.device)
        fooled = torch.zeros_like(labels, dtype=torch.bool)
        for attack in self.attacks:
            found = attack(model, inputs, labels, norm, eps, generator)
            with differentiable(model) as bare, torch.no_grad():
                logits = logits_of(bare(found), rows=len(found))
            wrong = logits.argmax(1) != labels
            reached = cross_entropy(logits, labels)[0].to(loss.dtype).nan_to_num(-torch.inf)
            better = (wrong & ~fooled) | ((wrong == fooled) & (reached > loss))
            worst = torch.where(better.view(-1, *(1,) * (inputs.ndim - 1)), found, worst)
            loss, fooled = torch.where(better, reached, loss), fooled | wrong
        return worst


def strongest(steps: int = 40, *, q: float = 0.01, box: Box | None = (0.0, 1.0)) -> WorstOf:
    """The strongest attack there is here, in every norm: Frank-Wolfe, and PGD from a random start.

    Frank-Wolfe wins in sparse balls that a few pixels fill, PGD on robust networks in l1 and l2.

    Args:
        steps: Of each of the two.
        q: Share of the coordinates that a step may touch; ``"l1q"`` only.
        box: Pixel range, or None.

    Raises:
        InputError: A setting out of range.
    """
    return WorstOf(
        attacks=(FrankWolfeAttack(steps=steps, q=q, box=box), PGDAttack(steps=steps, q=q, box=box))
    )


def robust_accuracy(  # noqa: PLR0913 - settings of an attack
    model: nn.Module,
    data: object,
    *,
    norm: str = "l2",
    eps: float = 1.0,
    attack: Attack | None = None,
    box: Box | None = UNIT,
    normalize: object = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: object = None,
) -> float:
    """Share of examples that are classified correctly before and after an attack.

    Args:
        model: Any classifier; stays as it is.
        data: Whatever :mod:`core.batching` takes, with labels.
        norm: Ball of the attack.
        eps: Its radius; 0 gives the plain accuracy.
        attack: What perturbs; None: the :func:`strongest`, 40 steps of Frank-Wolfe and 40 of PGD from a
            random start.
        box: Pixel range, or None.
        normalize: How the inputs were normalised, if they were: (mean, std), a transform or torchvision
            weights (:func:`~sparse_debug_widgets.core.pixels.normalization`). Then ``box`` is the range
            of the pixels before that; data sets that carry their transforms need not say it.
        batch_size: Examples at a time.
        seed: Of the random starts.
        progress: Callback, bool or None.

    Returns:
        Accuracy in [0, 1].

    Raises:
        InputError: A negative radius, or data without labels.
        Cancelled: The progress callback asked for it.

    References:
        Madry and others, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018;
        ``docs/methods/perturbations.md``.
    """
    check_real(eps, "eps", "robust_accuracy", low=0)
    attacker = attack or strongest(box=model_box(box, normalize, data))
    attacks = attacker.attacks if isinstance(attacker, WorstOf) else (attacker,)
    device, dtype = place_of(unwrap(model))
    generator = torch_generator(seed, "robust accuracy", device=device)
    right = total = 0
    names = names_for(model, data)
    for batch in batches(
        data, batch_size, progress=reporter(progress), note="robust accuracy", classes=names
    ):
        inputs, labels = labelled(batch.inputs, batch.labels)
        inputs, labels = inputs.to(device, dtype), labels.to(device)
        with differentiable(model) as bare, torch.no_grad():
            hit = logits_of(bare(inputs), rows=len(inputs)).argmax(1) == labels
        for one in attacks if eps > 0 else ():
            # Examples that are wrong already need no attack, and those that one fools no other one.
            rows = hit.nonzero().squeeze(1)
            if not len(rows):
                break
            perturbed = one(model, inputs[rows], labels[rows], norm, eps, generator)
            with differentiable(model) as bare, torch.no_grad():
                hit[rows] = logits_of(bare(perturbed), rows=len(rows)).argmax(1) == labels[rows]
        right += int(hit.sum())
        total += len(labels)
    return right / total


def labelled(inputs: object, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """One batch as floating inputs and class indices.

    Raises:
        InputError: No labels, or labels that are no class indices.
    """
    # Binary cross-entropy wants its labels as floats, often in a column of their own.
    flat = labels.squeeze(1) if labels is not None and labels.ndim == 2 and labels.shape[1] == 1 else labels
    whole = flat is not None and (not flat.is_floating_point() or bool((flat == flat.round()).all()))
    if flat is None or flat.ndim != 1 or not whole or (flat.numel() and int(flat.min()) < 0):
        got = "no labels" if labels is None else f"labels of shape {tuple(labels.shape)}, {labels.dtype}"
        reject("data", "an attack", "have class indices as labels", got)
    return check_inputs(inputs), flat.long()


AttackFactory = Callable[[], Attack]
