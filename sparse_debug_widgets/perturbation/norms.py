"""From the name of a norm to its ball, and what happens at the pixel range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_choice, reject
from sparse_debug_widgets.core.meaning import Meaning
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.perturbation.arguments import Headroom
from sparse_debug_widgets.perturbation.balls import Ball, L2Ball, LInfBall
from sparse_debug_widgets.perturbation.sparse_balls import L1Ball, L1QBall, SpendingL1QBall, count_of


@dataclass(frozen=True)
class BoxMode:
    """A way to keep to the pixel range.

    Attributes:
        cut: Steps ignore the range; what was found is cut in the end.
        spends: Steps spend all of the radius, on more coordinates where some saturate (sparse balls only).
        words: What it does, for lists of runs; empty: as usual.
        meaning: What the "?" beside its name tells.
    """

    cut: bool = False
    spends: bool = False
    words: str = ""
    meaning: Meaning | None = None


BOX_MODES: Registry[BoxMode] = Registry(
    "box mode",
    {
        "vertex": BoxMode(
            meaning=Meaning(
                "No step leaves what a pixel can show, or changes more pixels than it may: where pixels are "
                "black or white already, less than ε is used.",
                "x + δ in the pixel range, and every step in the ball",
            )
        ),
        "spend": BoxMode(
            spends=True,
            words="spend at the pixel range",
            meaning=Meaning(
                "All of ε is used: where pixels are black or white already, the step goes on to the next "
                "ones and changes more pixels.",
                "‖s‖₁ = ε and x + s in the pixel range, on as many values as that takes",
            ),
        ),
        "clamp": BoxMode(
            cut=True,
            words="clamp at the pixel range",
            meaning=Meaning(
                "Steps do not look at what a pixel can show; what goes beyond black or white is cut off in "
                "the end.",
                "x′ = min(max(x + δ, lowest), highest)",
            ),
        ),
    },
)


@dataclass(frozen=True)
class Ask:
    """A ball that is wanted.

    Attributes:
        radius: (B,) of each example.
        room: What the pixel range leaves, or None.
        counts: How many coordinates a step of each example may touch.
        spends: Spend all of the radius.
    """

    radius: Tensor
    room: Headroom | None
    counts: list[int]
    spends: bool = False


@dataclass(frozen=True)
class Norm:
    """A norm that bounds perturbations.

    Attributes:
        order: p of the l-p norm that its radius is measured in.
        ball: Makes the ball.
        sparse: ``q`` says how many coordinates a step may touch.
        words: What a radius means, for a person: ``{eps}`` stands for it, ``{each}`` for the change of every
            coordinate if all change alike.
        meaning: What the "?" beside its name tells.
    """

    order: float
    ball: Callable[[Ask], Ball]
    sparse: bool = False
    words: str = ""
    meaning: Meaning | None = None

    def radius(self, l2: float, dims: int) -> float:
        """The radius at which all coordinates, changed alike, change as much as in an l2 ball."""
        return float(l2 * dims ** (1 / self.order - 0.5))

    def length(self, flat: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(n,) norms of the rows of (n, d)."""
        return np.asarray(np.linalg.norm(flat, self.order, axis=1), np.float64)


NORMS: Registry[Norm] = Registry(
    "norm",
    {
        "l1q": Norm(
            1,
            lambda ask: (SpendingL1QBall if ask.spends else L1QBall)(ask.radius, ask.counts, ask.room),
            sparse=True,
            meaning=Meaning(
                "All changes together are at most ε, and none is larger than its share of it, so that a step "
                "must spread over the share q of the pixels: sparse, but not a few glaring dots.",
                "‖δ‖₁ ≤ ε and ‖δ‖∞ ≤ ε / m,   m = ⌈q d⌉",
            ),
        ),
        "l1": Norm(
            1,
            lambda ask: L1Ball(ask.radius, ask.room),
            words="All changes together are at most {eps}.",
            meaning=Meaning(
                "All changes together are at most ε, and a single pixel may take all of it: the fewest "
                "pixels, each changed much.",
                "‖δ‖₁ = Σ |δᵢ| ≤ ε",
            ),
        ),
        "l2": Norm(
            2,
            lambda ask: L2Ball(ask.radius, ask.room),
            words="The root of the sum of squares is at most {eps}: {each} a value, if all change alike.",
            meaning=Meaning(
                "The length of the change is at most ε: it spreads over the whole picture, and pixels that "
                "matter more change more.",
                "‖δ‖₂ = √(Σ δᵢ²) ≤ ε",
            ),
        ),
        "linf": Norm(
            math.inf,
            lambda ask: LInfBall(ask.radius, ask.room),
            words="Every value may change by {eps}.",
            meaning=Meaning(
                "No pixel changes by more than ε, and all of them may: the change is everywhere and small.",
                "‖δ‖∞ = max |δᵢ| ≤ ε",
            ),
        ),
    },
)


def make_ball(
    norm: str,
    eps: Sequence[float],
    like: Tensor,
    room: Headroom | None,
    q: Sequence[float],
    box_mode: str = "vertex",
) -> Ball:
    """The ball of that name for a batch.

    Args:
        norm: A name in :data:`NORMS`.
        eps: Radius of each example.
        like: (B, d) perturbations: their dtype, device and dimensions count.
        room: What the pixel range leaves, or None.
        q: Share of the coordinates that a step may touch, for each example; sparse balls only.
        box_mode: A name in :data:`BOX_MODES`: ``"vertex"``: steps stay within the range and in number of
            coordinates; ``"spend"``: they spend all of eps, on more coordinates where pixels saturate (l1q
            only); ``"clamp"``: the range is ignored until the end.

    Raises:
        InputError: An unknown name, or a mode that the ball does not have.
    """
    check_choice(norm, NORMS, "norm", "the balls")
    check_choice(box_mode, BOX_MODES, "box_mode", "the balls")
    kind, mode = NORMS[norm], BOX_MODES[box_mode]
    if mode.spends and (not kind.sparse or room is None):
        sparse = " or ".join(repr(name) for name, entry in NORMS.items() if entry.sparse)
        reject(
            f"box_mode={box_mode!r}",
            f"norm={norm!r}",
            f"come with norm {sparse} and a box",
            f"box {'given' if room is not None else None}",
        )
    radius = torch.tensor(eps, dtype=like.dtype, device=like.device)
    counts = [count_of(share, like.shape[1]) for share in q] if kind.sparse else []
    return kind.ball(Ask(radius, None if mode.cut else room, counts, mode.spends))
