"""The trace of a method: what it writes down at each step, and the best iterate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.perturbation.arguments import Headroom
from sparse_debug_widgets.perturbation.classifier import Evaluation, Objective


@dataclass(frozen=True)
class BatchRun:
    """The trace of one batch; K' steps were evaluated, the start included.

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
    """The news after a step, as a progress callback gets them.

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
        room: What the pixel range leaves, or None.
        keep_iterates: Keep every iterate.
    """

    def __init__(
        self, objective: Objective, room: Headroom | None = None, *, keep_iterates: bool = False
    ) -> None:
        self._objective = objective
        self._room = room
        self._keep = keep_iterates
        self._evaluations: list[Evaluation] = []
        self._gaps: list[Tensor | None] = []
        self._supports: list[Tensor] = []
        self._iterates: list[Tensor] = []
        self._allowed: list[Tensor | None] = []
        self._gradient_size: Tensor | None = None
        self._best: Tensor | None = None
        self._best_loss: Tensor | None = None
        self._numbers: list[float] = []

    def add(
        self,
        delta: Tensor,
        evaluation: Evaluation,
        support: Tensor,
        gradient: Tensor | None = None,
        gap: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> None:
        """Note the evaluation of an iterate (B, d), which must not be changed in place afterwards.

        Args:
            delta: The iterate.
            evaluation: What the model says there.
            support: (B,) entries that are not zero.
            gradient: (B, d) at the iterate, or None.
            gap: (B,) or None.
            allowed: (B,) whether the iterate may become the best one; None: it may.
        """
        loss = evaluation.loss
        if gradient is not None and self._gradient_size is None:
            self._gradient_size = gradient.abs().amax(1)
        self._keep_best(delta, loss, allowed)
        self._evaluations.append(evaluation)
        self._gaps.append(gap)
        self._supports.append(support)
        if self._keep:
            self._iterates.append(delta)

    def _keep_best(self, delta: Tensor, loss: Tensor, allowed: Tensor | None) -> None:
        if self._best is None or self._best_loss is None:
            self._best, self._best_loss = delta, loss
            self._numbers = loss.tolist() if loss.is_cpu else []
            self._allowed.append(None)
            return
        self._allowed.append(allowed)
        if loss.is_cpu and allowed is None:
            # Plain numbers: on a small network each tensor operation shows. Another device is not waited for.
            numbers = loss.tolist()
            wins = [self._objective.better(new, old) for new, old in zip(numbers, self._numbers, strict=True)]
            if all(wins):
                self._best, self._best_loss, self._numbers = delta, loss, numbers
            if all(wins) or not any(wins):
                return
        better = self._objective.better(loss, self._best_loss)
        if allowed is not None:
            better &= allowed
        self._best = torch.where(better[:, None], delta, self._best)
        self._best_loss = torch.where(better, loss, self._best_loss)
        if loss.is_cpu:
            self._numbers = self._best_loss.tolist()

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

    def finish(self, *, finished: bool) -> BatchRun:
        """Everything so far; at least one evaluation has been added."""
        best, loss, size = (cast("Tensor", t) for t in (self._best, self._best_loss, self._gradient_size))
        losses = torch.stack([evaluation.loss for evaluation in self._evaluations], 1)
        # The first of equal ones, as _keep_best has it.
        reached = losses == loss[:, None]
        if any(rows is not None for rows in self._allowed):
            anything = torch.ones_like(reached[:, 0])
            reached &= torch.stack([anything if rows is None else rows for rows in self._allowed], 1)
        unknown = torch.full((len(loss),), torch.nan, dtype=torch.float64, device=loss.device)
        gaps = [unknown if gap is None else gap for gap in self._gaps]
        iterates = torch.stack(self._iterates, 1) if self._keep else None
        if self._room is not None:
            # In exact arithmetic iterates are in the range; rounding may leave it by one last place.
            best = self._room.clamp(best)
            if iterates is not None:
                iterates = self._room.clamp(iterates.transpose(0, 1)).transpose(0, 1)
        return BatchRun(
            delta=best,
            best_step=reached.int().argmax(1),
            losses=losses,
            gaps=torch.stack(gaps, 1),
            supports=torch.stack(self._supports, 1),
            logits=torch.stack([e.logits for e in self._evaluations], 1),
            gradient_size=size,
            iterates=iterates,
            finished=finished,
        )
