"""What a method writes down at each step, and the best iterate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.perturb.classifier import Evaluation, Objective


@dataclass(frozen=True)
class Run:
    """What a method leaves behind for one batch; K' steps were evaluated, the start included.

    Attributes:
        delta: (B, d), the iterate with the best loss.
        best_step: (B,) its number; 0 is the unperturbed input.
        losses: (B, K') cross-entropy of the target.
        gaps: (B, K') Frank-Wolfe gap; NaN where none was computed.
        supports: (B, K') entries that are not zero.
        logits: (B, K', C).
        gradient_size: (B,) largest entry of the first gradient.
        iterates: (B, K', d), or None if they were not kept.
        finished: Whether it came to its end.
    """

    delta: Tensor
    best_step: Tensor
    losses: Tensor
    gaps: Tensor
    supports: Tensor
    logits: Tensor
    gradient_size: Tensor
    iterates: Tensor | None
    finished: bool


class StepPiece(NamedTuple):
    """What is known after a step, as a progress callback gets it.

    Attributes:
        step: Which step; 0 is the unperturbed input.
        losses: (B,) cross-entropy of the targets.
        confidences: (B,) probability of the targets.
        supports: (B,) coordinates that are not zero.
        first: Number of the first of these examples among all.
    """

    step: int
    losses: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.float64]
    supports: npt.NDArray[np.int64]
    first: int = 0


class Recorder:
    """Collects evaluations without waiting for the device; everything is put together at the end.

    Args:
        objective: What is minimised; says which of two losses is better.
        keep_iterates: Keep a copy of every iterate.
    """

    def __init__(self, objective: Objective, *, keep_iterates: bool = False) -> None:
        self._objective = objective
        self._keep = keep_iterates
        self._evaluations: list[Evaluation] = []
        self._gaps: list[Tensor] = []
        self._supports: list[Tensor] = []
        self._iterates: list[Tensor] = []
        self._gradient_size: Tensor | None = None
        self._best: Tensor | None = None
        self._best_loss: Tensor | None = None
        self._best_step: Tensor | None = None

    def add(
        self,
        delta: Tensor,
        evaluation: Evaluation,
        gradient: Tensor | None = None,
        gap: Tensor | None = None,
    ) -> None:
        """Note the evaluation of an iterate (B, d), before the iterate is changed in place."""
        step = len(self._evaluations)
        loss = evaluation.loss
        if self._best is None or self._best_loss is None or self._best_step is None:
            self._best, self._best_loss = delta.clone(), loss
            self._best_step = torch.zeros_like(loss, dtype=torch.int64)
            self._gradient_size = torch.ones_like(loss) if gradient is None else gradient.abs().amax(1)
        else:
            better = self._objective.better(loss, self._best_loss)
            # One copy instead of a selection where all examples agree, as they mostly do.
            if bool(better.all()):
                self._best.copy_(delta)
            elif bool(better.any()):
                self._best[better] = delta[better]
            self._best_loss = torch.where(better, loss, self._best_loss)
            self._best_step = torch.where(better, step, self._best_step)
        self._evaluations.append(evaluation)
        self._gaps.append(torch.full_like(loss, torch.nan) if gap is None else gap)
        self._supports.append(delta.count_nonzero(1))
        if self._keep:
            self._iterates.append(delta.clone())

    def piece(self) -> StepPiece:
        """The newest evaluation on the host, for a progress callback."""
        evaluation, target = self._evaluations[-1], cast("Tensor", self._objective.target)
        probabilities = evaluation.logits.double().softmax(1)
        return StepPiece(
            step=len(self._evaluations) - 1,
            losses=evaluation.loss.double().cpu().numpy(),
            confidences=probabilities.gather(1, target[:, None])[:, 0].cpu().numpy(),
            supports=self._supports[-1].cpu().numpy(),
        )

    def finish(self, *, finished: bool) -> Run:
        """Everything so far; at least one evaluation has been added."""
        best, step, size = cast("Tensor", self._best), cast("Tensor", self._best_step), self._gradient_size
        return Run(
            delta=best,
            best_step=step,
            losses=torch.stack([e.loss for e in self._evaluations], 1),
            gaps=torch.stack(self._gaps, 1),
            supports=torch.stack(self._supports, 1),
            logits=torch.stack([e.logits for e in self._evaluations], 1),
            gradient_size=cast("Tensor", size),
            iterates=torch.stack(self._iterates, 1) if self._keep else None,
            finished=finished,
        )
