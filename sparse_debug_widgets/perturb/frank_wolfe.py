"""Frank-Wolfe: sparse steps, no projection, and a gap that certifies.

``delta <- (1 - gamma) delta + gamma s`` with a vertex s of the ball and gamma = c / (c + k). The paper's
Algorithm 1 as printed has no radius, no minus sign, ignores its first step and never shrinks the old iterate;
METHODS section 2 holds.
"""

from __future__ import annotations

from sparse_debug_widgets.core.checks import check_int, check_real
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback
from sparse_debug_widgets.perturb.balls import Ball
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
    recorder = Recorder(objective, ball.room, keep_iterates=keep_iterates)
    delta = objective.start
    support = delta.count_nonzero(1)
    try:
        for k in range(steps):
            evaluation, gradient = objective.with_gradient(delta)
            step = ball.advance(delta, gradient, step_constant / (step_constant + k))
            recorder.add(delta, evaluation, support, gradient, step.gap)
            if progress is not None:
                progress(Progress(k + 1, steps + 1, f"step {k} of {steps}", recorder.piece()))
            delta, support = step.moved, step.support
        recorder.add(delta, objective.value(delta), support)
        if progress is not None:
            progress(Progress(steps + 1, steps + 1, f"step {steps} of {steps}", recorder.piece()))
    except Cancelled:
        return recorder.finish(finished=False)
    return recorder.finish(finished=True)
