"""The balls whose vertices are sparse: l1, l1-q, and l1-q within the pixel range in two ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import check_real, reject
from sparse_debug_widgets.perturbation.arguments import Headroom
from sparse_debug_widgets.perturbation.balls import Ball, Step, Vertex, filling, movable
from sparse_debug_widgets.perturbation.water import shrink_to_budget

STRIDE_SHARE = 0.01
"""Share of the coordinates that a step of projected descent in the l1 ball changes, at least. With one
coordinate a step, forty steps change at most forty."""


def count_of(q: float, n_dimensions: int) -> int:
    """Count the coordinates that a step may touch, m = ceil(q d): at least 1.

    Raises:
        InputError: q outside (0, 1].
    """
    share = check_real(q, "q", "the l1-q ball", low=0, high=1, open_low=True)
    # The guard keeps q = 1/d and q = 3/d at 1 and 3 in spite of rounding.
    return max(1, math.ceil(round(share * n_dimensions, 6)))


def l1_radius_around_l2(radius: float, n_dimensions: int) -> float:
    """The l1 radius ``eps_2 sqrt(d)`` of the paper's section 3.2: the l1 ball that circumscribes an l2 ball.

    Its faces touch the l2 ball, its corners do not (the paper says they do): a corner lies at l2 distance
    ``eps_2 sqrt(d)``. For 224 x 224 colour images sqrt(d) is 224 sqrt(3).

    Raises:
        InputError: A radius that is not positive.
    """
    return check_real(radius, "radius", "the l2 ball", low=0, open_low=True) * math.sqrt(n_dimensions)


Array = npt.NDArray[Any]


class L1QBall(Ball):
    """``||delta||_1 <= radius`` and ``||delta||_inf <= radius / m``: the l1-q ball.

    A vertex puts ``radius / m`` on the m coordinates with the largest gradient. m = 1 is the l1 ball, m = d
    the l-infinity ball of radius ``radius / d``.

    With room, each coordinate is limited by c = min(radius / m, its room in that direction), and the set is
    ``{-c^- <= delta <= c^+, sum_i |delta_i| / c_i <= m}``: a vertex puts c on the m coordinates with the
    largest ``|g| c``. The pixel range then holds exactly, ``||delta||_1 <= radius``, and a vertex has at
    most m coordinates.

    Args:
        radius: Positive, (B,) or one number.
        counts: m, or one for each example.
        room: What the pixel range leaves, or None.
    """

    name = "l1q"

    def __init__(
        self, radius: Tensor | float, counts: int | Sequence[int], room: Headroom | None = None
    ) -> None:
        super().__init__(radius, room)
        self.counts = (counts,) if isinstance(counts, int) else tuple(counts)
        if min(self.counts) < 1:
            reject("counts", "the l1-q ball", "be at least 1", min(self.counts))
        self._most = max(self.counts)
        self._uneven = len(set(self.counts)) > 1
        self._m = torch.tensor(self.counts, device=self.radius.device).reshape(-1, 1)
        self._height = self._row / self._m
        self._limits: tuple[Array, Array, Array] | None = None
        self._caps: Headroom | None = None
        if room is not None:
            self._caps = room.within(self._height)

    @property
    def height(self) -> Tensor:
        """(B,) or (1,), radius / m: what a vertex puts on a coordinate that has the room for it."""
        return self._height.squeeze(1)

    def resized(self, radius: Tensor | float) -> Self:
        """The ball with the same m, another radius, and without room."""
        return type(self)(radius, self.counts)

    def stride(self, n_dimensions: int) -> Ball:
        """See :meth:`Ball.stride`; a step touches one coordinate in a hundred, or m if that is more."""
        least = count_of(STRIDE_SHARE, n_dimensions)
        return L1QBall(self.radius, [max(m, least) for m in self.counts])

    def movable(self, delta: Tensor, gradient: Tensor) -> Tensor:
        """See :meth:`Ball.movable`; here a coordinate ends at radius / m too."""
        return movable(delta, gradient, self._caps or Headroom(-self._height, self._height))

    def vertex(self, gradient: Tensor) -> Vertex:
        """Exact also with room: the m largest ``|g_i| c_i``; coordinates without a gradient stay zero."""
        self._check_counts(gradient)
        if self._caps is None:
            top, indices = gradient.abs().topk(self._most, dim=1, sorted=self._uneven)
            values = gradient.gather(1, indices).sign_().mul_(-self._height)
            top = top * self._height
        else:
            low, high = self._caps
            # -|g| c without a branch: one of the two products is positive or zero.
            gain = (gradient * low).minimum(gradient * high).neg_()
            top, indices = gain.topk(self._most, dim=1, sorted=self._uneven)
            slope = gradient.gather(1, indices)
            values = torch.where(slope > 0, low.gather(1, indices), high.gather(1, indices))
            # Without a gradient there is no direction.
            values.mul_(top > 0)
        if self._uneven:
            within = torch.arange(self._most, device=top.device) < self._m
            values, top = values * within, top * within
        return Vertex(indices, values, top.sum(1))

    def advance(self, delta: Tensor, gradient: Tensor, gamma: float) -> Step:
        """See :meth:`Ball.advance`; on the CPU in one compiled step."""
        from sparse_debug_widgets.perturbation.kernel import advance_rows, is_readable

        if not is_readable(gradient) or not is_readable(delta):
            return super().advance(delta, gradient, gamma)
        self._check_counts(gradient)
        if self._limits is None or self._limits[0].shape != gradient.shape:
            self._limits = self._as_arrays(gradient)
        moved = torch.empty_like(delta)
        low, high, counts = self._limits
        columns = advance_rows(gradient.numpy(), delta.numpy(), low, high, counts, gamma, moved.numpy())
        return Step(moved, *(torch.from_numpy(column) for column in columns))

    def _as_arrays(self, like: Tensor) -> tuple[Array, Array, Array]:
        """Return what the compiled step needs: both limits of every coordinate, and m of every example."""
        caps = self._caps or Headroom(-self._height, self._height)
        low, high = (side.to(like.dtype).expand_as(like).contiguous().numpy() for side in caps)
        return low, high, np.broadcast_to(np.array(self.counts), (len(like),)).copy()

    def project(self, delta: Tensor) -> Tensor:
        """The nearest point: a soft threshold and a cut, found by bisection and finished exactly."""
        if self._caps is None:
            return shrink_to_budget(delta, self._height, torch.ones_like(self._row), self._row)
        cap = self._caps.toward(delta)
        # A coordinate without room is cut to zero by its cap; its weight does not matter.
        weight = torch.where(cap > 0, 1 / cap.double(), 1.0)
        return shrink_to_budget(delta, cap, weight, self._m)

    def norm(self, delta: Tensor) -> Tensor:
        """``max(||delta||_1, m ||delta||_inf)``; with room, the same in units of each coordinate's limit."""
        if self._caps is None:
            return torch.maximum(delta.abs().sum(1), delta.abs().amax(1) * self._m.squeeze(1))
        share = filling(delta, self._caps)
        return self.radius * torch.maximum(share.amax(1), share.sum(1) / self._m.squeeze(1))

    def _check_counts(self, gradient: Tensor) -> None:
        if self._most > gradient.shape[1]:
            reject("counts", "the l1-q ball", f"be at most {gradient.shape[1]}, the dimensions", self._most)


class SpendingL1QBall(L1QBall):
    r"""The variant of the l1-q ball with room that spends all of the radius.

    ``{-c^- <= delta <= c^+, ||delta||_1 <= radius}`` with c = min(radius / m, room): what saturated pixels
    cannot take goes to the next ones, so that a vertex may have more than m coordinates, and sparsity is no
    longer controlled. Its vertex is a fractional knapsack: coordinates in the order of \|g\|, each filled to
    its limit. Without room nothing is left over, and it is the l1-q ball.

    Args:
        radius: Positive, (B,) or one number.
        counts: m, or one for each example.
        room: What the pixel range leaves, or None.
    """

    name = "l1q-spend"

    def vertex(self, gradient: Tensor) -> Vertex:
        """The greedy filling; looks at four times as many coordinates until the radius is spent."""
        if self._caps is None:
            return super().vertex(gradient)
        self._check_counts(gradient)
        limit = self._caps.toward(-gradient)
        size = torch.where(limit > 0, gradient.abs(), 0)
        d = gradient.shape[1]
        k = min(max(4 * self._most, 64), d)
        while True:
            top, indices = size.topk(k, dim=1)
            there = limit.gather(1, indices) * (top > 0)
            total = there.double().cumsum(1)
            if k == d or bool(((total[:, -1:] >= self._row) | (top[:, -1:] == 0)).all()):
                break
            k = min(4 * k, d)
        values = (self._row - (total - there)).clamp_min(0).to(limit.dtype).minimum(there)
        return Vertex(indices, -gradient.gather(1, indices).sign() * values, (top * values).sum(1))

    def advance(self, delta: Tensor, gradient: Tensor, gamma: float) -> Step:
        """See :meth:`Ball.advance`."""
        if self._caps is None:
            return super().advance(delta, gradient, gamma)
        return Ball.advance(self, delta, gradient, gamma)

    def project(self, delta: Tensor) -> Tensor:
        """The nearest point, as in the plain l1-q ball, each coordinate with its own limit."""
        if self._caps is None:
            return super().project(delta)
        cap = self._caps.toward(delta)
        return shrink_to_budget(delta, cap, torch.ones_like(self._row), self._row)

    def norm(self, delta: Tensor) -> Tensor:
        """``max(||delta||_1, radius max_i |delta_i| / c_i)``."""
        if self._caps is None:
            return super().norm(delta)
        return torch.maximum(delta.abs().sum(1), self.radius * filling(delta, self._caps).amax(1))


class L1Ball(SpendingL1QBall):
    """``||delta||_1 <= radius``; with room, what both sets have in common.

    A vertex is one coordinate; with room it fills as many as it takes to spend the radius.

    Args:
        radius: Positive, (B,) or one number.
        room: What the pixel range leaves, or None.
    """

    name = "l1"

    def __init__(self, radius: Tensor | float, room: Headroom | None = None) -> None:
        super().__init__(radius, 1, room)

    def resized(self, radius: Tensor | float) -> Self:
        """The l1 ball with another radius and without room."""
        return type(self)(radius)

    def stride(self, n_dimensions: int) -> Ball:
        """See :meth:`Ball.stride`; at least on half as many coordinates as the radius fills."""
        least = count_of(STRIDE_SHARE, n_dimensions)
        counts: list[int] = [least]
        if self.room is not None:
            width = (self.room.high - self.room.low).amax(1).clamp_min(torch.finfo(self.radius.dtype).tiny)
            filled = (self.radius / width / 2).ceil().clamp(least, n_dimensions)
            counts = [int(number) for number in filled.tolist()]
        return L1QBall(self.radius, counts)
