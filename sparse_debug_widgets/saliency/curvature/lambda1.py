"""Choosing lambda_1: units of ||g||_inf, exact quantiles, and the paper's unsupervised rule.

Delta is 0 exactly when lambda_1 >= ||g||_inf, for CAFO and for CASO, so that lambda_1 is searched as a share
of ||g||_inf and no search for "all zero" is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

DECADES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
LOW, HIGH = 0.75, 1.0
_HALVINGS = 20


def sup_norm(gradient: Tensor) -> Tensor:
    """||g||_inf (B,) of gradients (B, d)."""
    return gradient.abs().amax(1)


def zero_share(delta: Tensor, shape: torch.Size) -> Tensor:
    """Sparsity ratio: share of pixels that are zero in all channels; of entries where there are no pixels.

    Args:
        delta: (..., B, d).
        shape: Shape of the inputs (B, ...).
    """
    zero = delta == 0
    if len(shape) == 4:
        zero = zero.view(*delta.shape[:-1], shape[1], -1).all(-2)
    return zero.float().mean(-1)


def quantile_lambda1(gradient: Tensor, sparsity: float, shape: torch.Size) -> Tensor:
    """The smallest lambda_1 (B,) at which CAFO's sparsity ratio is at least ``sparsity``: a quantile of |g|.

    Args:
        gradient: (B, d).
        sparsity: Wanted share of zeros, in [0, 1].
        shape: Shape of the inputs; for images a pixel counts when all its channels are zero.
    """
    size = gradient.abs()
    if len(shape) == 4:
        size = size.view(len(size), shape[1], -1).amax(1)
    # Exact in integers where the share is one of d: 0.7 * 10 is above 7 in floating point.
    count = math.ceil(sparsity * size.shape[1] - 1e-9)
    if count == 0:
        return torch.zeros_like(size[:, 0])
    return size.kthvalue(count, dim=1).values


def automatic(
    solve: Callable[[Tensor], Tensor],
    surrogate: Callable[[Tensor], Tensor],
    units: Tensor,
    shape: torch.Size,
) -> Tensor:
    """The paper's unsupervised choice (section 4.1), per example, in units of ||g||_inf.

    lambda_1 from 1e-5 by factors of 10 until all is zero; among solutions with a sparsity ratio in [0.75, 1)
    the one with the highest loss; if there is none, halve back from the first that zeroed all. "Loss" is not
    defined in the paper: it is the quadratic surrogate without the penalties here.

    Args:
        solve: lambda_1 (K, B) -> solutions (K, B, d).
        surrogate: Solutions (K, B, d) -> losses (K, B).
        units: (B,) ||g||_inf.
        shape: Shape of the inputs.

    Returns:
        (B,) lambda_1.
    """
    grid = torch.tensor(DECADES, dtype=units.dtype, device=units.device)
    deltas = solve(grid[:, None] * units)
    share = zero_share(deltas, shape)
    good = (share >= LOW) & (share < HIGH)
    losses = torch.where(good, surrogate(deltas), -torch.inf)
    ratio = grid[losses.argmax(0)]
    found = good.any(0) | (units == 0)
    zeroed = torch.ones_like(units)
    # The first decade at which an example is all zero: 1 at the latest.
    for k in reversed(range(len(DECADES))):
        zeroed = torch.where(share[k] == 1, grid[k], zeroed)
    for halving in range(1, _HALVINGS + 1):
        if bool(found.all()):
            break
        tried = zeroed * 0.5**halving
        share = zero_share(solve((tried * units)[None]), shape)[0]
        ratio = torch.where(found, ratio, tried)
        found = found | (share < HIGH)
    return ratio * units


def surrogate_loss(gradient: Tensor, deltas: Tensor, curved: Tensor | None) -> Tensor:
    """``g^T D + 1/2 D^T H D`` (K, B), without the penalties.

    Args:
        gradient: (B, d).
        deltas: (K, B, d).
        curved: H D (K, B, d); None: the first-order loss.
    """
    loss = (gradient * deltas).sum(2)
    return loss if curved is None else loss + (deltas * curved).sum(2) / 2
