"""The registry of methods. To add one: write its file, and one line here.

A method takes an objective and a ball, the keyword arguments of :class:`Method`, and options of its own, and
returns a :class:`~sparse_debug_widgets.perturb.trace.Run`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from sparse_debug_widgets.core.checks import check_known
from sparse_debug_widgets.core.params import Range
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.perturb.balls import Ball
from sparse_debug_widgets.perturb.classifier import Objective
from sparse_debug_widgets.perturb.frank_wolfe import frank_wolfe
from sparse_debug_widgets.perturb.pgd import pgd, random_point
from sparse_debug_widgets.perturb.trace import Run

Method = Callable[..., Run]
_COMMON = ("steps", "keep_iterates", "seed", "progress")


def _frank_wolfe(
    objective: Objective,
    ball: Ball,
    *,
    steps: int,
    keep_iterates: bool,
    seed: int,
    progress: ProgressCallback | None,
    step_constant: Annotated[float, Range(1, 1000)] = 2.0,
    max_support: Annotated[int, Range(1)] | Sequence[int] | None = None,
) -> Run:
    """Frank-Wolfe from zero; nothing in it is random.

    Args:
        objective: Loss and gradient.
        ball: Where to stay.
        steps: K.
        keep_iterates: Keep them all.
        seed: Not used.
        progress: Called after each step.
        step_constant: c of the step c / (c + k): 2 is the textbook's, 1 takes the mean of all vertices.
        max_support: At most so many pixels may differ in the end.
    """
    del seed
    return frank_wolfe(
        objective,
        ball,
        steps=steps,
        step_constant=step_constant,
        max_support=max_support,
        keep_iterates=keep_iterates,
        progress=progress,
    )


def _pgd(  # noqa: PLR0913 - the common arguments and its own
    objective: Objective,
    ball: Ball,
    *,
    steps: int,
    keep_iterates: bool,
    seed: int,
    progress: ProgressCallback | None,
    step_size: Annotated[float, Range(0, 1000, open_low=True)] | None = None,
    random_start: bool = False,
    warmup: Annotated[float, Range(0, 1)] = 0.0,
) -> Run:
    """Projected gradient descent, from zero or from a random point of the ball.

    Args:
        objective: Loss and gradient.
        ball: Where to stay.
        steps: K.
        keep_iterates: Keep them all.
        seed: Of the random start.
        progress: Called after each step.
        step_size: Length of a step in units of the radius; none: falls from 1 to 1 / steps.
        random_start: Begin at a random point of the ball.
        warmup: Share of the steps over which the radius grows.
    """
    start = None
    if random_start:
        zero = objective.start
        # One draw for all examples: what happens to one does not depend on its place in the batch.
        generator = torch_generator(seed, "pgd", device=zero.device)
        start = random_point(ball, (1, zero.shape[1]), generator)
    return pgd(
        objective,
        ball,
        steps=steps,
        step_size=step_size,
        start=start,
        warmup=warmup,
        keep_iterates=keep_iterates,
        progress=progress,
    )


METHODS: Registry[Method] = Registry("method", {"frank_wolfe": _frank_wolfe, "pgd": _pgd})


def own_options(name: str) -> tuple[str, ...]:
    """Names of the options that a method has beyond the common ones."""
    parameters = inspect.signature(METHODS[name]).parameters
    return tuple(key for key in list(parameters)[2:] if key not in _COMMON)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a method does not have.

    Raises:
        InputError: The nearest of its options are suggested.
    """
    known = own_options(name)
    check_known(options, known, f"method {name!r}")
