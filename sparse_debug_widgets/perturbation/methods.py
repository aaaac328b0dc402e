"""The registry of methods. To add one: write its file, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sparse_debug_widgets.core.checks import check_known
from sparse_debug_widgets.core.meaning import Meaning
from sparse_debug_widgets.core.params import Parameter, Range, read_parameters
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.perturbation.balls import Ball
from sparse_debug_widgets.perturbation.classifier import Objective
from sparse_debug_widgets.perturbation.frank_wolfe import frank_wolfe
from sparse_debug_widgets.perturbation.pgd import pgd, random_point
from sparse_debug_widgets.perturbation.trace import BatchRun

_COMMON = ("steps", "keep_iterates", "seed", "progress")


@dataclass(frozen=True)
class Method:
    """A way to search a ball, with what panels and code ask about it.

    Attributes:
        run: ``run(objective, ball, *, steps, keep_iterates, seed, progress, ...) -> Run``; what else it takes
            are options of its own.
        random: The seed may decide what it finds.
        meaning: What the "?" beside its name tells.
    """

    run: Callable[..., BatchRun]
    random: bool = False
    meaning: Meaning | None = None

    def __call__(self, objective: Objective, ball: Ball, **settings: Any) -> BatchRun:  # noqa: ANN401 - see run
        """Search the ball."""
        return self.run(objective, ball, **settings)

    @property
    def options(self) -> tuple[Parameter, ...]:
        """The options that it has beyond the common ones."""
        return tuple(p for p in read_parameters(self.run) if p.name not in _COMMON)


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
) -> BatchRun:
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
) -> BatchRun:
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


METHODS: Registry[Method] = Registry(
    "method",
    {
        "frank_wolfe": Method(
            _frank_wolfe,
            meaning=Meaning(
                "Every step goes part of the way to the one corner of what is allowed that lowers the loss "
                "most; a corner changes few pixels, and so do few steps.",
                "s = the point of the ball that minimises ∇loss(x + δ)ᵀ s;   δ ← (1 − γ) δ + γ s,   "
                "γ = c / (c + k) in step k",
            ),
        ),
        "pgd": Method(
            _pgd,
            random=True,
            meaning=Meaning(
                "Every step follows the slope of the loss downwards, and what has left the allowed region is "
                "put back to its nearest point.",
                "δ ← P(δ + s),   s the step of the ball's own shape along −∇loss(x + δ), "
                "P the nearest point of the ball",
            ),
        ),
    },
)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a method does not have.

    Raises:
        InputError: The nearest of its options are suggested.
    """
    check_known(options, [option.name for option in METHODS[name].options], f"method {name!r}")
