"""Balls to perturb in: the common base, l2 and l-infinity; :mod:`perturb.sparse_balls` has the others.

A ball is a convex set around zero with the operations that the methods need. With ``room`` it is the set
cut down to what the pixel range leaves, so that the range holds exactly and not by clipping afterwards.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.perturbation.arguments import Headroom
from sparse_debug_widgets.perturbation.water import water_fill


class Vertex(NamedTuple):
    """A minimiser s of <g, s> over a ball.

    Attributes:
        indices: (B, m) coordinates that may differ from zero, or None where the vertex is dense.
        values: (B, m) at these coordinates, or (B, d).
        decrease: (B,) -<g, s>, not negative.
    """

    indices: Tensor | None
    values: Tensor
    decrease: Tensor


class Step(NamedTuple):
    """A Frank-Wolfe step.

    Attributes:
        moved: (B, d), the new iterate.
        gap: (B,) ``<g, delta - s>`` at the old iterate.
        support: (B,) entries of the new iterate that are not zero.
    """

    moved: Tensor
    gap: Tensor
    support: Tensor


class Ball(ABC):
    """A convex set around zero; each example of a batch may have its own.

    Args:
        radius: Positive, (B,) or one number.
        room: What the pixel range leaves, or None.

    Raises:
        InputError: A radius that is not positive and finite.
    """

    name: ClassVar[str]

    def __init__(self, radius: Tensor | float, room: Headroom | None = None) -> None:
        given = torch.as_tensor(radius, dtype=torch.float32 if isinstance(radius, float | int) else None)
        if given.ndim > 1 or not bool((given > 0).all() & torch.isfinite(given).all()):
            reject(
                "radius", f"the {self.name} ball", "be positive and finite, one number or (batch,)", radius
            )
        self.radius = given if given.is_floating_point() else given.float()
        self.room = room
        # (B, 1) or (1, 1): scales rows.
        self._row = self.radius.reshape(-1, 1)

    @abstractmethod
    def vertex(self, gradient: Tensor) -> Vertex:
        """A minimiser of <gradient, s> over the ball, gradient (B, d); zero where the gradient is zero."""

    @abstractmethod
    def project(self, delta: Tensor) -> Tensor:
        """The nearest point of the ball to each row of delta (B, d)."""

    @abstractmethod
    def norm(self, delta: Tensor) -> Tensor:
        """(B,) the gauge of the ball times its radius: at most the radius exactly where delta is inside."""

    def resized(self, radius: Tensor | float) -> Self:
        """The ball of the same kind with another radius and without room."""
        return type(self)(radius)

    def stride(self, n_dimensions: int) -> Ball:
        """The ball whose vertices, shortened, are steps of projected descent: as large, without room.

        Args:
            n_dimensions: d.
        """
        del n_dimensions
        return self.resized(self.radius)

    def movable(self, delta: Tensor, gradient: Tensor) -> Tensor:
        """The gradient (B, d) without the coordinates of delta that cannot go where it leads.

        A step of projected descent that is spent on a pixel at the end of its range is undone by the
        projection, so that a sparse step could choose the same pixel for ever.
        """
        return gradient if self.room is None else movable(delta, gradient, self.room)

    def lmo(self, gradient: Tensor) -> Tensor:
        """The linear minimisation oracle: :meth:`vertex` as a dense tensor (B, d)."""
        indices, values, _ = self.vertex(gradient)
        return values if indices is None else torch.zeros_like(gradient).scatter_(1, indices, values)

    def advance(self, delta: Tensor, gradient: Tensor, gamma: float) -> Step:
        """One Frank-Wolfe step ``(1 - gamma) delta + gamma s``; a row without a gradient stays where it is.

        Args:
            delta: (B, d) in the ball.
            gradient: (B, d) at delta.
            gamma: Weight of the vertex s, in [0, 1].

        Returns:
            The new iterate, and what is known about it and the old one.
        """
        indices, values, decrease = self.vertex(gradient)
        gap = (gradient * delta).sum(1) + decrease
        # A zero gradient has no direction: any point minimises <0, s>, also the one we are at.
        weight = (decrease > 0).to(delta.dtype).mul_(gamma).unsqueeze(1)
        if indices is None:
            moved = torch.lerp(delta, values, weight)
        else:
            moved = (delta * (1 - weight)).scatter_add_(1, indices, values * weight)
        return Step(moved, gap, moved.count_nonzero(1))

    def dual_norm(self, gradient: Tensor) -> Tensor:
        """(B,) the largest <gradient, s> over all s with ``norm(s) <= 1``: the support function, scaled."""
        return self.vertex(-gradient).decrease.div(self.radius)


def movable(delta: Tensor, gradient: Tensor, limits: Headroom) -> Tensor:
    """The gradient where delta has not reached the limit that its descent leads to; 0 elsewhere."""
    left = torch.where(gradient > 0, delta - limits.low, limits.high - delta)
    return torch.where(left > 0, gradient, 0)


def _excess(delta: Tensor, room: Headroom | None) -> Tensor:
    """(B,) the factor by which delta fills the room in its worst coordinate; 0 without room."""
    return delta.new_zeros(len(delta)) if room is None else filling(delta, room).amax(1)


def filling(delta: Tensor, room: Headroom) -> Tensor:
    """(B, d) share of the room in its direction that each coordinate uses; infinite where there is none."""
    return torch.where(delta == 0, 0, delta.abs() / room.toward(delta))


class L2Ball(Ball):
    """``||delta||_2 <= radius``."""

    name = "l2"

    def vertex(self, gradient: Tensor) -> Vertex:
        """``-radius g / ||g||_2``; with room, -g scaled up and cut until the radius is spent."""
        # Only the direction counts. Squares of what a sure model sends back would be zero, so that each row
        # is brought to a largest entry of 1 first.
        largest = gradient.abs().amax(1, keepdim=True)
        direction = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
        if self.room is not None:
            values = water_fill(-direction, self._row, self.room, math.inf)
            return Vertex(None, values, -(gradient * values).sum(1))
        length = direction.norm(dim=1, keepdim=True)
        values = direction * (-self._row / torch.where(length > 0, length, 1))
        return Vertex(None, values, self.radius * (length * largest).squeeze(1))

    def project(self, delta: Tensor) -> Tensor:
        """Scaled to the radius; with room, scaled and cut so that the point is the nearest of both sets."""
        if self.room is not None:
            return water_fill(delta, self._row, self.room, 1.0)
        length = delta.norm(dim=1, keepdim=True)
        shrink: Tensor = (self._row / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1)
        return delta * shrink

    def norm(self, delta: Tensor) -> Tensor:
        """The l2 norm; with room, the gauge of what both sets have in common, times the radius."""
        return torch.maximum(delta.norm(dim=1), self.radius * _excess(delta, self.room))


class LInfBall(Ball):
    """``||delta||_inf <= radius``."""

    name = "linf"

    def __init__(self, radius: Tensor | float, room: Headroom | None = None) -> None:
        super().__init__(radius, room)
        self._limits = None if room is None else room.within(self._row)

    def vertex(self, gradient: Tensor) -> Vertex:
        """``-radius sign(g)``, cut at the room."""
        if self._limits is None:
            return Vertex(None, gradient.sign().mul_(-self._row), self.radius * gradient.abs().sum(1))
        limit = self._limits.toward(-gradient)
        return Vertex(None, -gradient.sign() * limit, (gradient.abs() * limit).sum(1))

    def project(self, delta: Tensor) -> Tensor:
        """Cut at the radius and at the room."""
        if self._limits is None:
            return torch.clamp(delta, -self._row, self._row)
        return self._limits.clamp(delta)

    def norm(self, delta: Tensor) -> Tensor:
        """The largest entry; with room, the gauge of what both sets have in common, times the radius."""
        return torch.maximum(delta.abs().amax(1), self.radius * _excess(delta, self.room))
