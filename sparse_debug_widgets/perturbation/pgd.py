"""Projected gradient descent: steepest steps in the ball's own geometry, each projected back."""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_int, check_real
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback
from sparse_debug_widgets.perturbation.balls import Ball, L2Ball
from sparse_debug_widgets.perturbation.classifier import Objective
from sparse_debug_widgets.perturbation.trace import BatchRun, Recorder


def pgd(
    objective: Objective,
    ball: Ball,
    *,
    steps: int = 30,
    step_size: float | None = None,
    start: Tensor | None = None,
    warmup: float = 0.0,
    keep_iterates: bool = False,
    progress: ProgressCallback | None = None,
) -> BatchRun:
    """Minimise an objective over a ball by projected steepest descent.

    A step is the vertex of the ball with radius ``step_size`` for the gradient: ``-g / ||g||_2`` for l2,
    ``-sign(g)`` for l-infinity, the m largest coordinates for l1-q and one in a hundred, or more, for l1.
    Coordinates at the end of their range are left out of it: see :meth:`Ball.movable`.

    Args:
        objective: Loss and gradient of a batch of perturbations.
        ball: Any ball; with room, every iterate keeps the pixel range exactly.
        steps: K.
        step_size: In units of the radius; None: falls linearly from 1 to ``1 / K``. Long steps at first and
            short ones at last leave a lower loss than K steps of the same length.
        start: (B, d) where to begin, projected onto the ball; None: at zero. See :func:`random_point`.
        warmup: Share of the steps over which the radius grows linearly to its full size.
        keep_iterates: Keep all K + 1 iterates.
        progress: Called after each evaluation; :class:`Cancelled` ends the run with the best so far.

    Returns:
        K + 1 evaluations, without gaps.

    Raises:
        InputError: A setting out of range, or a model whose output is no finite logits.
    """
    check_int(steps, "steps", "pgd")
    check_real(warmup, "warmup", "pgd", low=0, high=1)
    if step_size is not None:
        check_real(step_size, "step_size", "pgd", low=0, open_low=True)
    recorder = Recorder(objective, ball.room, keep_iterates=keep_iterates)
    delta = objective.start if start is None else ball.project(start)
    stride = ball.stride(delta.shape[1])
    try:
        for k in range(steps):
            evaluation, gradient = objective.with_gradient(delta)
            recorder.add(delta, evaluation, delta.count_nonzero(1), gradient)
            if progress is not None:
                progress(Progress(k + 1, steps + 1, f"step {k} of {steps}", recorder.piece()))
            length = 1 - k / steps if step_size is None else step_size
            delta = ball.project(delta + length * stride.lmo(ball.movable(delta, gradient)))
            share = (k + 1) / (warmup * steps) if warmup > 0 else 1.0
            if share < 1:
                # The balls are star-shaped around zero: the scaled point is within the smaller ball.
                delta = (
                    delta * (share * ball.radius / ball.norm(delta).clamp_min(1e-30)).clamp_max(1)[:, None]
                )
        recorder.add(delta, objective.value(delta), delta.count_nonzero(1))
        if progress is not None:
            progress(Progress(steps + 1, steps + 1, f"step {steps} of {steps}", recorder.piece()))
    except Cancelled:
        return recorder.finish(finished=False)
    return recorder.finish(finished=True)


def random_point(ball: Ball, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Points to start from: uniform in the l2 ball, uniform in the cube and then projected for other balls.

    Args:
        ball: Any ball.
        shape: (B, d).
        generator: On the device of the ball.

    Returns:
        (B, d) in the ball.
    """
    radius = ball.radius.reshape(-1, 1)
    device = generator.device
    if isinstance(ball, L2Ball):
        direction = torch.randn(shape, generator=generator, device=device, dtype=torch.float32)
        share = torch.rand((shape[0], 1), generator=generator, device=device, dtype=torch.float32)
        share = share ** (1 / shape[1])
        return ball.project(direction / direction.norm(dim=1, keepdim=True) * share * radius)
    cube = torch.rand(shape, generator=generator, device=device, dtype=torch.float32) * 2 - 1
    return ball.project(cube * radius)
