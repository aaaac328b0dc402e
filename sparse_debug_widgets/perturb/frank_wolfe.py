"""Frank-Wolfe: sparse steps, no projection, and a gap that certifies.

``delta <- (1 - gamma) delta + gamma s`` with a vertex s of the ball and gamma = c / (c + k). The paper's
Algorithm 1 as printed has no radius, no minus sign, ignores its first step and never shrinks the old iterate;
METHODS section 2 holds.
"""

from __future__ import annotations

from torch import Tensor

from sparse_debug_widgets.core.checks import check_int, check_real
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback
from sparse_debug_widgets.perturb.balls import Ball, Vertex
from sparse_debug_widgets.perturb.classifier import Objective
from sparse_debug_widgets.perturb.trace import Recorder, Run


def frank_wolfe(
    objective: Objective,
    ball: Ball,
    *,
    steps: int = 30,
    step_constant: float = 2.0,
    keep_iterates: bool = False,
    progress: ProgressCallback | None = None,
) -> Run:
    """Minimise an objective over a ball, from zero.

    Costs ``steps`` forward and backward passes and one forward pass. An example whose gradient is zero stays
    where it is.

    Args:
        objective: Loss and gradient of a batch of perturbations.
        ball: Any ball; with room, every iterate keeps the pixel range exactly.
        steps: K.
        step_constant: c >= 1 of gamma_k = c / (c + k); 1 makes the iterate the mean of all vertices, 2 is the
            textbook's step.
        keep_iterates: Keep all K + 1 iterates.
        progress: Called after each evaluation; :class:`Cancelled` ends the run with the best so far.

    Returns:
        K + 1 evaluations; the gap ``<g, delta - s>`` for all but the last.

    Raises:
        InputError: A setting out of range, or a model whose output is no finite logits.
    """
    check_int(steps, "steps", "frank_wolfe")
    check_real(step_constant, "step_constant", "frank_wolfe", low=1)
    recorder = Recorder(objective, keep_iterates=keep_iterates)
    delta = objective.start
    try:
        for k in range(steps):
            evaluation, gradient = objective.with_gradient(delta)
            vertex = ball.vertex(gradient)
            recorder.add(delta, evaluation, gradient, (gradient * delta).sum(1) + vertex.decrease)
            if progress is not None:
                progress(Progress(k + 1, steps + 1, f"step {k} of {steps}", recorder.piece()))
            _move(delta, vertex, step_constant / (step_constant + k), ball)
        recorder.add(delta, objective.value(delta))
        if progress is not None:
            progress(Progress(steps + 1, steps + 1, f"step {steps} of {steps}", recorder.piece()))
    except Cancelled:
        return recorder.finish(finished=False)
    return recorder.finish(finished=True)


def _move(delta: Tensor, vertex: Vertex, gamma: float, ball: Ball) -> None:
    """``delta <- (1 - gamma) delta + gamma s`` in place, except where the gradient is zero."""
    # A zero gradient has no direction: any point minimises <0, s>, also the one we are at.
    weight = (vertex.decrease > 0).to(delta.dtype).mul_(gamma).unsqueeze(1)
    if vertex.indices is None:
        delta.lerp_(vertex.values, weight)
    else:
        delta.mul_(1 - weight).scatter_add_(1, vertex.indices, vertex.values * weight)
    if ball.room is not None:
        # Convex in exact arithmetic; rounding may leave the range by one unit in the last place.
        ball.room.clamp_(delta)
