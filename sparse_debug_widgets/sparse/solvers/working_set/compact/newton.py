"""The coupled Newton step on the support; see :mod:`working_set.newton`. Here over lists of entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from sparse_debug_widgets.sparse.rows.row_source import Indices
from sparse_debug_widgets.sparse.solvers.solver import Tick
from sparse_debug_widgets.sparse.solvers.working_set.compact import loops
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Entries, Float64, Mask
from sparse_debug_widgets.sparse.solvers.working_set.compact.loops import Float32
from sparse_debug_widgets.sparse.solvers.working_set.compact.rows import Rows
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import cholesky


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """Inverses of ``H_c + l2 I`` on the supports of all classes, padded to one size.

    Entries that have left the support since are left out; those that have entered are scaled by a diagonal.

    Attributes:
        inverse: (C, a, a) float32.
        flat: Places (C, a) of its rows in a flattened (C, p + 1) matrix, -1 where padded.
        scale: (C,) by which entries without an inverse are multiplied.
    """

    inverse: Float32
    flat: Indices
    scale: Float64

    @classmethod
    def of(cls, matrices: Sequence[Float32], entries: Entries, face: Mask, l2: float) -> Preconditioner:
        """From the classes' matrices over the entries, on a face (e,) of them."""
        parts = [np.flatnonzero(face[low:high]) for low, high in pairwise(entries.start.tolist())]
        size = max(len(part) for part in parts)
        blocks = torch.eye(size, dtype=torch.float32).repeat(len(parts), 1, 1)
        flat = np.full((len(parts), size), -1)
        for c, part in enumerate(parts):
            a, held = len(part), matrices[c]
            blocks[c, :a, :a] = torch.from_numpy(held[np.ix_(part, part)])
            flat[c, :a] = entries.flat[entries.start[c] + part]
        factors = cholesky(blocks, torch.from_numpy(flat >= 0), l2)
        curvature = np.array([float(matrix[0, 0]) for matrix in matrices])
        inverse = torch.cholesky_inverse(factors).contiguous().numpy()
        return cls(inverse, flat, 1.0 / (np.maximum(curvature, 1e-12) + l2))

    def misfit(self, support: Mask) -> float:
        """Share of a support, a mask (C, p + 1), that has changed since."""
        covered = np.zeros(support.size, np.bool_)
        covered[self.flat[self.flat >= 0]] = True
        return float((covered ^ support.ravel()).sum()) / max(1.0, float(support.sum()))

    def on(self, face: Entries) -> Callable[[Float64], Float64]:
        """The operator on vectors over a face."""
        place = np.where(self.flat >= 0, face.place[self.flat], -1)
        outside = self.scale[face.owner]
        outside[place[place >= 0]] = 0.0
        precondition = loops.precondition()

        def operate(left: Float64) -> Float64:
            out = outside * left
            precondition(self.inverse, place, left, out)
            return out

        return operate


@dataclass(frozen=True, eq=False)
class Face:
    """The support with its signs, on which the objective is smooth; vectors are over its entries.

    Attributes:
        entries: Entries that may move.
        weights: Where the step starts.
        residual: Optimality residual there.
        l2: Factors of half the squares.
        operator: Preconditioner.
        measure: What a residual adds to the gap.
    """

    entries: Entries
    weights: Float64
    residual: Float64
    l2: Float64
    operator: Callable[[Float64], Float64]
    measure: Callable[[Float64], float]


@dataclass(frozen=True, eq=False)
class NewtonStep:
    """A step on a face.

    Attributes:
        weights: New weights of the face; those that would have changed sign are exactly 0.
        change: Change (C, n) of the logits.
        products: Products with the Hessian that it took.
        expected: Optimality measure at its end, in units of the objective.
    """

    weights: Float64
    change: Float32
    products: int
    expected: float


def newton_step(
    rows: Rows, face: Face, response: Float32, *, target: float, max_products: int, tick: Tick
) -> NewtonStep:
    """Solve the Newton system on a face by conjugate gradients, then put what crossed zero to zero.

    Args:
        rows: The examples.
        face: The face.
        response: Probabilities (C, n) where the step starts.
        target: Stop once the residual's measure is below this.
        max_products: Products with the Hessian at most.
        tick: Called before every product.
    """
    weights, residual, entries = face.weights, face.residual, face.entries
    left, step, change = -residual, np.zeros_like(weights), np.zeros_like(response)
    scaled = face.operator(left)
    direction, energy = scaled, float(left @ scaled)
    products, expected = 0, face.measure(left)
    while products < max_products and energy > 0.0:
        tick()
        moved = rows.predict(entries, direction)
        curved = rows.products(entries, rows.bent(response, moved)) + face.l2 * direction
        products += 1
        bend = float(direction @ curved)
        if not bend > 0.0:
            break
        size = energy / bend
        step += size * direction
        moved *= np.float32(size)
        change += moved
        left -= size * curved
        expected = face.measure(left)
        if expected <= target:
            break
        scaled = face.operator(left)
        renewed = float(left @ scaled)
        direction, energy = scaled + (renewed / energy) * direction, renewed
    new = weights + step
    sign = np.where(weights != 0, np.sign(weights), -np.sign(residual))
    crossing = (entries.feature > 0) & (new * sign < 0)
    if crossing.any():
        change += rows.predict(entries, np.where(crossing, -new, 0.0))
        new[crossing] = 0.0
    return NewtonStep(new, change, products, expected)
