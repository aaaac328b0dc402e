"""From the name of a norm to its ball."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_choice, reject
from sparse_debug_widgets.perturb.arguments import Room
from sparse_debug_widgets.perturb.balls import Ball, L2Ball, LInfBall
from sparse_debug_widgets.perturb.sparse_balls import L1Ball, L1QBall, SpendingL1QBall, count_of

NORMS = ("l1q", "l1", "l2", "linf")
BOX_MODES = ("vertex", "spend", "clamp")


def make_ball(
    norm: str,
    eps: Sequence[float],
    like: Tensor,
    room: Room | None,
    q: Sequence[float],
    box_mode: str = "vertex",
) -> Ball:
    """The ball of that name for a batch.

    Args:
        norm: ``"l1q"``, ``"l1"``, ``"l2"`` or ``"linf"``.
        eps: Radius of each example.
        like: (B, d) perturbations: their dtype, device and dimensions count.
        room: What the pixel range leaves, or None.
        q: Share of the coordinates that a step may touch, for each example; ``"l1q"`` only.
        box_mode: ``"vertex"``: steps stay within the range and in number of coordinates; ``"spend"``: they
            spend all of eps, on more coordinates where pixels saturate (l1q only); ``"clamp"``: the range is
            ignored until the end.

    Raises:
        InputError: An unknown name, or a mode that the ball does not have.
    """
    check_choice(norm, NORMS, "norm", "the balls")
    check_choice(box_mode, BOX_MODES, "box_mode", "the balls")
    radius = torch.tensor(eps, dtype=like.dtype, device=like.device)
    within = None if box_mode == "clamp" else room
    if box_mode == "spend" and (norm != "l1q" or room is None):
        reject(
            "box_mode='spend'",
            f"norm={norm!r}",
            "come with norm 'l1q' and a box",
            f"box {'given' if room is not None else None}",
        )
    if norm == "l2":
        return L2Ball(radius, within)
    if norm == "linf":
        return LInfBall(radius, within)
    if norm == "l1":
        return L1Ball(radius, within)
    counts = [count_of(share, like.shape[1]) for share in q]
    kind = SpendingL1QBall if box_mode == "spend" else L1QBall
    return kind(radius, counts, within)
