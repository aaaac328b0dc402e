"""Numerical parts of the balls: two kinds of water filling."""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.perturbation.arguments import Headroom

_FILL_ROUNDS = 12
_HALVINGS = 80


def water_fill(direction: Tensor, radius: Tensor, room: Headroom, most: float) -> Tensor:
    """``clip(t * direction, low, high)`` with the largest t <= ``most`` whose l2 norm is at most the radius.

    With a finite ``most`` of 1 this is the projection onto the l2 ball cut down to the room, with an
    infinite one its linear minimisation oracle for the gradient ``-direction``. t grows from the value
    without room: entries that have hit their limit give what they leave to the others. Every round stays
    feasible, and twelve were enough on all instances tried (the rest is below rounding).

    Args:
        direction: (B, d).
        radius: (B, 1) or (1, 1).
        room: Limits (B, d).
        most: Upper end of t.

    Returns:
        (B, d).
    """
    limit = room.toward(direction)
    size = direction.abs()
    scale = torch.zeros_like(radius)
    for _ in range(_FILL_ROUNDS):
        full = size * scale >= limit
        spent = torch.where(full, limit, 0).square().sum(1, keepdim=True)
        free = torch.where(full, 0, size).square().sum(1, keepdim=True)
        left = (radius.square() - spent).clamp_min(0)
        # Where nothing is free any more, everything has hit its limit and t does not matter.
        scale = torch.where(free > 0, (left / free.clamp_min(torch.finfo(free.dtype).tiny)).sqrt(), scale)
        scale = scale.clamp_max(most)
    return (size * scale).minimum(limit) * direction.sign()


def shrink_to_budget(delta: Tensor, cap: Tensor, weight: Tensor, budget: Tensor) -> Tensor:
    """The nearest point with ``|z_i| <= cap_i`` and ``sum_i weight_i |z_i| <= budget``.

    It is ``sign(v) * clip(|v| - theta * weight, 0, cap)``: theta by bisection in float64, then exactly, from
    the entries that are neither 0 nor at their cap.

    Args:
        delta: (B, d).
        cap: (B, d) or broadcastable.
        weight: (B, d) or broadcastable, positive.
        budget: (B, 1) or broadcastable.

    Returns:
        (B, d) in the dtype of ``delta``.
    """
    size = delta.abs().double()
    cap, weight = cap.double().expand_as(size), weight.double().expand_as(size)
    budget = budget.double()

    def spent(theta: Tensor) -> Tensor:
        kept: Tensor = (size - theta * weight).clamp_min(0).minimum(cap)
        return (weight * kept).sum(1, keepdim=True)

    low = torch.zeros_like(size[:, :1])
    inside = spent(low) <= budget
    high = (size / weight).amax(1, keepdim=True)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = spent(middle) <= budget
        high, low = torch.where(enough, middle, high), torch.where(enough, low, middle)
    rest = size - high * weight
    free = (rest > 0) & (rest < cap)
    at_cap = torch.where(rest >= cap, weight * cap, 0).sum(1, keepdim=True)
    slope = torch.where(free, weight.square(), 0).sum(1, keepdim=True)
    exact = (torch.where(free, weight * size, 0).sum(1, keepdim=True) + at_cap - budget) / slope.clamp_min(
        1e-300
    )
    theta = torch.where(slope > 0, exact.minimum(high).maximum(low), high)
    theta = torch.where(inside, 0, theta)
    shrunk: Tensor = (size - theta * weight).clamp_min(0).minimum(cap).to(delta.dtype)
    return shrunk * delta.sign()
