"""The exact minimum of a quadratic with absolute values: entries enter and leave until none wants to.

For a set of entries that are nonzero, and their signs, the minimum is the solution of linear equations; with
the right set it is the minimum of all. From a start that is nearly right, such as the secant of a path, a few
exchanges of all entries that are wrong end there, however flat the quadratic is, where coordinate descent
would crawl. Exchanges of many entries may go in circles: then steps follow that only descend.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SLACK = 1e-10
"""Share by which a slope must exceed the bound to let an entry in: rounding alone does not."""
_MOST = 2000
"""Equations that are worth their time."""
_PATIENCE = 3
"""Exchanges after the one with the fewest wrong entries until they count as going in circles."""
_DESCENTS = 6
"""Steps that only descend, for each entry."""


class Quadratic:
    """``w'Gw / 2 + g'w + sum_j l1_j |w_j| + l2_j w_j^2 / 2`` over w.

    Args:
        gram: G, (p, p) float64, symmetric.
        linear: g, (p,).
        l1: (p,), not negative.
        l2: (p,), not negative.

    Attributes:
        solved: Systems of equations solved so far.
    """

    def __init__(self, gram: Tensor, linear: Tensor, l1: Tensor, l2: Tensor) -> None:
        self._gram, self._linear, self._l1, self._l2 = gram, linear, l1, l2
        self.solved = 0

    def minimum(self, start: Tensor) -> Tensor | None:
        """The minimum, from a start (p,).

        Returns:
            None where the minimum is not unique, rounding hides it, or the equations are too many.
        """
        sign, patience, fewest = start.sign(), _PATIENCE, len(start) + 1
        while patience:
            known = self._on_face(sign)
            if known is None:
                return None
            new, slope = known
            crossing, entering = new * sign < 0.0, self._entering(sign, slope)
            wrong = int((crossing | entering).sum())
            if not wrong:
                return new
            patience = _PATIENCE if wrong < fewest else patience - 1
            fewest = min(wrong, fewest)
            sign = torch.where(entering, -slope.sign(), torch.where(crossing, 0.0, sign))
        return self._descended(start)

    def _entering(self, sign: Tensor, slope: Tensor) -> Tensor:
        """Zeros whose slope lets them in."""
        return (sign == 0.0) & (slope.abs() > self._l1 * (1.0 + _SLACK))

    def _on_face(self, sign: Tensor) -> tuple[Tensor, Tensor] | None:
        """The minimum with given signs, whatever its own, and the slope of the smooth part at it."""
        face = sign.nonzero()[:, 0]
        if len(face) > _MOST:
            return None
        self.solved += 1
        rows = self._gram[face]
        matrix = rows[:, face]
        matrix.diagonal().add_(self._l2[face])
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if int(failed):
            return None
        wanted = -(self._linear + self._l1 * sign)[face]
        solved = torch.cholesky_solve(wanted[:, None], factor)[:, 0]
        new = torch.zeros_like(sign)
        new[face] = solved
        return new, torch.addcmul(torch.addmv(self._linear, rows.T, solved), self._l2, new)

    def _descended(self, point: Tensor) -> Tensor | None:
        """The minimum by steps that each lower the objective, from any point."""
        sign = point.sign()
        for _ in range(_DESCENTS * len(point)):
            known = self._on_face(sign)
            if known is None:
                return None
            target, slope = known
            wrong = target * sign < 0.0
            if bool((wrong & (point == 0.0)).any()):
                # Of entries that come in together, some would come in on the other side.
                sign = torch.where(wrong & (point == 0.0), 0.0, sign)
            elif bool(wrong.any()):
                point = self._lowest(point, target)
                sign = point.sign()
            else:
                point, entering = target, self._entering(sign, slope)
                if not bool(entering.any()):
                    return point
                sign = torch.where(entering, -slope.sign(), sign)
        return None

    def _lowest(self, point: Tensor, target: Tensor) -> Tensor:
        """The lowest point on the way from one to another; entries may change their sign on it."""
        change = target - point
        slope = self._linear + self._gram @ point + self._l2 * point
        curvature = float(change @ (self._gram @ change + self._l2 * change))
        here = torch.where(point == 0.0, change.abs(), point.sign() * change)
        start = float(slope @ change + self._l1 @ here)
        crossing = ((point * target) < 0.0).nonzero()[:, 0]
        shares, order = (-point[crossing] / change[crossing]).sort()
        crossing = crossing[order]
        jumps = 2.0 * self._l1[crossing] * change[crossing].abs()
        before = start + shares * curvature + jumps.cumsum(0) - jumps
        rising = (before + jumps >= 0.0).nonzero()[:, 0]
        first = int(rising[0]) if len(rising) else len(crossing)
        if len(rising) and float(before[first]) <= 0.0:
            # The slope changes its sign where this entry is zero.
            new = point + shares[first] * change
            new[crossing[first]] = 0.0
            return new
        share = -(start + float(jumps[:first].sum())) / curvature
        return point + min(share, 1.0) * change
