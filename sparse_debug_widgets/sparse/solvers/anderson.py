"""Guarded Anderson acceleration of a fixed-point map.

From the last few pairs (start, end) of a map, the affine combination of the ends whose residuals
``end - start`` cancel best. The caller accepts it only where the objective falls, so that acceleration can
help but never harm (Bertrand and Massias 2021 use the same guard for coordinate descent).
"""

from __future__ import annotations

import torch
from torch import Tensor


class Anderson:
    """Keeps the last ``depth`` pairs and extrapolates from them."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._ends: list[Tensor] = []
        self._residuals: list[Tensor] = []

    def reset(self) -> None:
        """Forget everything: the map has changed."""
        self._ends.clear()
        self._residuals.clear()

    def extrapolate(self, start: Tensor, end: Tensor) -> Tensor | None:
        """Record one application of the map and propose a better end.

        Args:
            start: Where the map was applied, any shape.
            end: What it gave, same shape.

        Returns:
            The proposal, or None while there are fewer than two pairs or the system is too ill-conditioned.
        """
        self._ends.append(end)
        self._residuals.append((end - start).flatten())
        if len(self._ends) > self._depth:
            self._ends.pop(0)
            self._residuals.pop(0)
        count = len(self._ends)
        if count < 2:
            return None
        stacked = torch.stack(self._residuals).double()
        normal = (stacked @ stacked.T).cpu()
        ridge = 1e-10 * float(normal.trace())
        if ridge == 0.0:
            return None
        ones = torch.ones(count, dtype=torch.float64)
        mix, failed = torch.linalg.solve_ex(normal + ridge * torch.eye(count, dtype=torch.float64), ones)
        total = float(mix.sum())
        if int(failed) or total == 0.0 or not torch.isfinite(mix).all():
            return None
        proposal = torch.zeros_like(end)
        for factor, kept in zip((mix / total).tolist(), self._ends, strict=True):
            proposal.add_(kept, alpha=factor)
        return proposal
