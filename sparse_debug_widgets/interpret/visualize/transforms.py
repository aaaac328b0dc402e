"""Transformation robustness: small moves, turns and scalings, drawn anew in each step, one resampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# The paper's code at 224 pixels: jitter 8 and 4, scale 0.9 to 1.1, rotation -10 to 10 degrees.
_MOVE = 12 / 224
_TURN = math.radians(10)
_SCALE = 0.1
_GRID_NUMBERS = 1 << 18


class Jiggle:
    """The moves of all steps, the same for every picture of a batch.

    Args:
        generator: Where they are drawn from.
        n_steps: Steps of the ascent.
        size: (H, W); a move is at least one pixel, so that 8 pixels are jiggled too.
        strength: Factor on all of it; 0 for none.
        device: Where to work.
    """

    def __init__(
        self,
        generator: torch.Generator,
        n_steps: int,
        size: tuple[int, int],
        strength: float,
        device: torch.device | str,
    ) -> None:
        self.active = strength > 0
        turn, scale, down, right = (
            (2 * torch.rand(n_steps, 4, generator=generator, dtype=torch.float32) - 1).mul(strength).unbind(1)
        )
        height, width = size
        angle, zoom = turn * _TURN, 1 + scale * _SCALE
        # In the units of affine_grid a picture is 2 wide.
        right, down = right * 2 * max(_MOVE, 1 / width), down * 2 * max(_MOVE, 1 / height)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        rows = [torch.stack([cos, -sin, right], 1), torch.stack([sin, cos, down], 1)]
        self._moves = torch.stack(rows, 1).to(device)
        self._size, self._first = size, 0
        self._grids = self._moves[:0]

    def __call__(self, pictures: Tensor, step: int) -> Tensor:
        """The pictures (n, channels, H, W), moved as this step says."""
        if not self.active:
            return pictures
        # All channels of all pictures as channels of one: what belongs to the grid is computed once.
        flat = pictures.reshape(1, -1, *pictures.shape[2:])
        moved = functional.grid_sample(
            flat, self._grid(step).to(flat.dtype), padding_mode="reflection", align_corners=False
        )
        return moved.view(pictures.shape)

    def _grid(self, step: int) -> Tensor:
        """Return the sampling grid of this step, (1, H, W, 2); some steps ahead are computed in one go."""
        if not self._first <= step < self._first + len(self._grids):
            ahead = max(1, _GRID_NUMBERS // (2 * math.prod(self._size)))
            moves = self._moves[step : step + ahead]
            self._grids = functional.affine_grid(moves, [len(moves), 1, *self._size], align_corners=False)
            self._first = step
        return self._grids[step - self._first : step - self._first + 1]
