"""Gradient ascent on features of a live model: many pictures at once, each with a goal of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.interpret.deep.live import LiveFeatures
from sparse_debug_widgets.interpret.visualize.colours import Colours
from sparse_debug_widgets.interpret.visualize.image_parameters import (
    PARAMETERS,
    ImageParameters,
    Pixels,
    PlainPixels,
)
from sparse_debug_widgets.interpret.visualize.transforms import Jiggle

_TRACED = 64
_SPREADS = (0.3, 1.0, 3.0)
_POOL = 16


class Goal(NamedTuple):
    """The goal of one picture: ``sign * feature`` as large as it gets."""

    feature: int
    sign: int


class Settings(NamedTuple):
    """The settings of the ascent.

    Attributes:
        parameters: Name out of ``PARAMETERS``.
        shape: (channels, H, W).
        colours: Of the data.
        n_steps: Steps.
        rate: Adam's learning rate, or for plain pixels the length of a step as a share of the range.
        jiggle: Strength of the random moves.
        seed: Of everything random.
        real: (m, channels, H, W) some pictures of the data, of that shape.
        typical: (p,) mean raw activation of each feature.
    """

    parameters: str
    shape: tuple[int, int, int]
    colours: Colours
    n_steps: int
    rate: float
    jiggle: float
    seed: int
    real: Tensor
    typical: Tensor


class Climbed(NamedTuple):
    """Pictures (n, channels, H, W), raw activations (n,) of them, and on the way (n, T)."""

    pictures: Tensor
    activations: Tensor
    trace: Tensor


def climb(
    live: LiveFeatures, goals: Sequence[Goal], settings: Settings, tick: Callable[[float], None]
) -> Climbed:
    """Climb with one picture per goal, in one batch: each step is one forward and one backward pass.

    Args:
        live: The model.
        goals: n of them.
        settings: How.
        tick: Called with the number of pictures after each step; may raise ``Cancelled``.

    Raises:
        InputError: The features have no gradient with respect to the picture.
    """
    columns = torch.tensor([goal.feature for goal in goals], dtype=torch.int64, device=live.device)
    signs = torch.tensor([goal.sign for goal in goals], dtype=torch.float32, device=live.device)
    parameters = _awake_start(live, goals, settings, columns, signs)
    moves = torch_generator(settings.seed, "visualize", "moves")
    jiggle = Jiggle(moves, settings.n_steps, settings.shape[1:], settings.jiggle, live.device)
    leaf = parameters.values.requires_grad_(True)
    adam = None if isinstance(parameters, PlainPixels) else _Adam(leaf, settings.rate)
    # The gradient of the sum of all goals, without selecting them in the graph.
    wanted = torch.zeros(len(goals), live.n_features, device=live.device, dtype=live.dtype)
    wanted.scatter_(1, columns[:, None], signs[:, None].to(live.dtype))
    every = max(1, settings.n_steps // _TRACED)
    trace = []
    for step in range(settings.n_steps):
        with torch.enable_grad():
            answers = live(jiggle(parameters.pictures(), step))
            gradient = _gradient(answers, leaf, wanted)
        if adam is None:
            _plain_step(leaf, gradient, settings, step)
        else:
            adam.climb(gradient)
        if step % every == 0:
            trace.append(_own(answers.detach(), columns))
        tick(len(goals))
    with torch.no_grad():
        final = parameters.pictures()
        reached = _own(live(final), columns)
    return Climbed(final.detach(), reached, torch.stack([*trace, reached], 1))


def _own(answers: Tensor, columns: Tensor) -> Tensor:
    """Each picture's own feature (n,) out of all (n, p)."""
    return answers.gather(1, columns[:, None])[:, 0]


def _gradient(answers: Tensor, leaf: Tensor, wanted: Tensor) -> Tensor:
    if not answers.requires_grad:
        must = "depend on the picture by operations that have a derivative"
        got = "features without a gradient (a forward under no_grad, detach or NumPy?)"
        reject("the model", "feature visualisation", must, got)
    return torch.autograd.grad(answers, leaf, wanted.to(answers.dtype))[0]


class _Adam:
    """Adam upwards, in a third of the time that ``torch.optim`` spends around so few numbers."""

    def __init__(self, leaf: Tensor, rate: float) -> None:
        self._leaf, self._rate, self._step = leaf, rate, 0
        self._mean, self._square = torch.zeros_like(leaf), torch.zeros_like(leaf)

    def climb(self, gradient: Tensor) -> None:
        """One step along a gradient."""
        self._step += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        size = self._square.sqrt().mul_((1 - 0.999**self._step) ** -0.5).add_(1e-8)
        # The leaf's numbers change behind the back of the graph, which is done with.
        self._leaf.detach().addcdiv_(self._mean, size, value=self._rate / (1 - 0.9**self._step))


def _plain_step(leaf: Tensor, gradient: Tensor, settings: Settings, step: int) -> None:
    """A step of fixed length along the gradient, shorter towards the end, within the range of the data."""
    low, high = (torch.as_tensor(end, dtype=leaf.dtype, device=leaf.device) for end in settings.colours[2:])
    length = settings.rate * (high - low) * leaf[0].numel() ** 0.5 * (1 - step / settings.n_steps)
    norms = gradient.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    with torch.no_grad():
        leaf += length * gradient / norms
        leaf.clamp_(low, high)


def _awake_start(
    live: LiveFeatures, goals: Sequence[Goal], settings: Settings, columns: Tensor, signs: Tensor
) -> ImageParameters:
    """The faintest start at which a feature answers as it does to an average example.

    A faint grey is usual, but a rectified feature that rests there has no gradient, or hardly any. Then
    stronger noise is tried, and where noise never wakes it, the real picture that does so most.
    """
    kind, rows = PARAMETERS[settings.parameters], torch.arange(len(goals), device=live.device)
    own = kind(settings.shape, settings.colours, _streams(goals, settings, "start"), 0.01, live.device)
    pool = []
    for spread in _SPREADS:
        stream = torch_generator(settings.seed, "visualize", f"pool {spread}")
        pool.append(kind(settings.shape, settings.colours, [stream] * _POOL, spread, live.device))
    answers = [live(own.pictures())[rows, columns][:, None]]
    answers += [live(one.pictures())[:, columns].T for one in pool]
    signed = signs[:, None] * torch.cat(answers, 1)
    # Downwards every feature that is awake at all has a gradient; strong noise would saturate single pixels.
    enough = signed.amin(1) + 1e-6
    if kind is not Pixels:
        enough = torch.where(signs > 0, settings.typical.to(live.device)[columns], -torch.inf)
    reached = signed >= enough[:, None]
    first = torch.where(reached.any(1), reached.int().argmax(1), signed.argmax(1))
    asleep = (signs > 0) & (signed.amax(1) <= signed.amin(1) + 1e-6)
    numbers = torch.cat([one.values for one in pool])
    own.values = torch.where(
        (first == 0).view(-1, *[1] * (own.values.ndim - 1)), own.values, numbers[(first - 1).clamp_min(0)]
    )
    if bool(asleep.any()):
        real = settings.real.to(live.device)
        best = live(real)[:, columns[asleep]].argmax(0)
        own.values[asleep] = own.numbers_of(real[best])
    return own


def _streams(goals: Sequence[Goal], settings: Settings, what: str) -> list[torch.Generator]:
    return [torch_generator(settings.seed, "visualize", what, goal.feature, goal.sign) for goal in goals]
