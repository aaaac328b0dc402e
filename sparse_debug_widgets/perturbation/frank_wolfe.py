"""Frank-Wolfe: sparse steps, no projection, and a gap that certifies.

``delta <- (1 - gamma) delta + gamma s`` with a vertex s of the ball and gamma = c / (c + k). The paper's
Algorithm 1 as printed has no radius, no minus sign, ignores its first step and never shrinks the old iterate;
``docs/methods/perturbations.md`` has what holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_int, check_real, reject
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback
from sparse_debug_widgets.perturbation.balls import Ball
from sparse_debug_widgets.perturbation.classifier import Objective
from sparse_debug_widgets.perturbation.trace import BatchRun, Recorder


def frank_wolfe(
    objective: Objective,
    ball: Ball,
    *,
    steps: int = 30,
    step_constant: float = 2.0,
    max_support: int | Sequence[int] | None = None,
    keep_iterates: bool = False,
    progress: ProgressCallback | None = None,
) -> BatchRun:
    """Minimise an objective over a ball, from zero.

    Costs ``steps`` forward and backward passes and one forward pass. An example whose gradient is zero stays
    where it is.

    Args:
        objective: Loss and gradient of a batch of perturbations.
        ball: Any ball; with room, every iterate keeps the pixel range exactly.
        steps: K.
        step_constant: c >= 1 of gamma_k = c / (c + k); 1 makes the iterate the mean of all vertices, 2 is the
            textbook's step.
        max_support: At most so many coordinates may differ in the end, for all examples or for each. The
            first half of the steps finds them (the largest of the iterate), the second makes the best of
            them; gaps of the second half are about these coordinates only.
        keep_iterates: Keep all K + 1 iterates.
        progress: Called after each evaluation; :class:`Cancelled` ends the run with the best so far.

    Returns:
        K + 1 evaluations; the gap ``<g, delta - s>`` for all but the last.

    Raises:
        InputError: A setting out of range, or a model whose output is no finite logits.
    """
    check_int(steps, "steps", "frank_wolfe")
    check_real(step_constant, "step_constant", "frank_wolfe", low=1)
    most = None if max_support is None else _check_support(max_support, objective)
    half = steps if most is None else (steps + 1) // 2
    mask: Tensor | None = None
    recorder = Recorder(objective, ball.room, keep_iterates=keep_iterates)
    delta = objective.start
    support = delta.count_nonzero(1)
    try:
        for k in range(steps):
            evaluation, gradient = objective.with_gradient(delta)
            # The second half begins anew, from what is left of the iterate.
            age = k if k < half else k - half + 1
            if mask is not None:
                gradient = gradient * mask
            step = ball.advance(delta, gradient, step_constant / (step_constant + age))
            recorder.add(
                delta, evaluation, support, gradient, step.gap, None if most is None else support <= most
            )
            if progress is not None:
                progress(Progress(k + 1, steps + 1, f"step {k} of {steps}", recorder.piece()))
            delta, support = step.moved, step.support
            if most is not None and k + 1 == half:
                mask = _largest(delta, most)
                # Smaller entries stay in the ball and in the box.
                delta = delta * mask
                support = delta.count_nonzero(1)
        allowed = None if most is None else support <= most
        recorder.add(delta, objective.value(delta), support, allowed=allowed)
        if progress is not None:
            progress(Progress(steps + 1, steps + 1, f"step {steps} of {steps}", recorder.piece()))
    except Cancelled:
        return recorder.finish(finished=False)
    return recorder.finish(finished=True)


def _check_support(max_support: int | Sequence[int], objective: Objective) -> Tensor:
    """(B,) how many coordinates may differ."""
    size = objective.batch_size
    given = [max_support] * size if isinstance(max_support, int) else list(max_support)
    if len(given) != size:
        must = f"be one number, or one for each of the {size} examples"
        reject("max_support", "frank_wolfe", must, f"{len(given)} numbers")
    numbers = [check_int(number, "max_support", "frank_wolfe") for number in given]
    return torch.tensor(numbers, device=objective.start.device)


def _largest(delta: Tensor, most: Tensor) -> Tensor:
    """(B, d) 1 at the ``most`` largest entries of each row, 0 elsewhere."""
    k = min(int(most.max()), delta.shape[1])
    indices = delta.abs().topk(k, dim=1).indices
    within = (torch.arange(k, device=delta.device) < most[:, None]).to(delta.dtype)
    return torch.zeros_like(delta).scatter_(1, indices, within)
