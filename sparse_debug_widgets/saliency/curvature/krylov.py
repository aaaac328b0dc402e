"""Lanczos: leading eigenvalues, and the second-order solution, from few products with the Hessian.

One Krylov space serves both. Started at the gradient it holds the solution of ``(2 lambda_2 I - H) D = g``
for every lambda_2 at once (shifting H does not change the space), and the gradient is nearly parallel to the
leading eigenvector (Theorem 4), so that L converges with it: no separate power iteration is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.saliency.curvature.hessian import Hessian, LowRank
from sparse_debug_widgets.saliency.probe.tensors import unit

Array = npt.NDArray[np.float64]
# Products of the second search before its numbers are looked at.
_BESIDE = 2


@dataclass
class Tridiagonal:
    """State after k steps: ``Q^T H Q = T``.

    Attributes:
        matrix: (B, k, k) T.
        next_norm: (B,) length of the part of the last product outside the space; 0: the space is invariant.
        basis: k orthonormal vectors (B, d).
    """

    matrix: Array
    next_norm: Array
    basis: list[Tensor]

    def eigen(self) -> tuple[Array, Array, Array]:
        """Ritz values (B, k) ascending, vectors (B, k, k), and residual norms (B, k)."""
        values, vectors = np.linalg.eigh(self.matrix)
        return values, vectors, self.next_norm[:, None] * np.abs(vectors[:, -1, :])


def lanczos(hessian: Hessian, start: Tensor, max_steps: int) -> Iterator[Tridiagonal]:
    """Yield the state after each product, with full reorthogonalisation.

    Args:
        hessian: The map.
        start: (B, d) first direction; an example whose start is 0 stays 0.
        max_steps: At most so many products.
    """
    basis = [unit(start)]
    diagonal: list[Array] = []
    off: list[Array] = []
    for step in range(min(max_steps, start.shape[1])):
        product = hessian(basis[-1])
        diagonal.append(_host((product * basis[-1]).sum(1)))
        for _ in range(2):
            for vector in basis:
                product = product - (product * vector).sum(1, keepdim=True) * vector
        norm = _host(product.norm(dim=1))
        matrix = np.zeros((len(start), step + 1, step + 1))
        for k, entries in enumerate(diagonal):
            matrix[:, k, k] = entries
        for k, entries in enumerate(off):
            matrix[:, k, k + 1] = matrix[:, k + 1, k] = entries
        # Below this the direction is rounding error, and the space is invariant.
        scale = np.abs(matrix).sum(axis=(1, 2)) + np.finfo(np.float64).tiny
        norm = np.where(norm <= 10 * torch.finfo(start.dtype).eps * scale, 0.0, norm)
        yield Tridiagonal(matrix, norm, list(basis))
        if not norm.any():
            return
        off.append(norm)
        alive = torch.from_numpy(norm > 0).to(start.device)
        basis.append(torch.where(alive[:, None], unit(product), torch.zeros_like(product)))


@dataclass
class SecondOrder:
    """Solution at lambda_1 = 0.

    Attributes:
        delta: (B, d).
        largest: (B,) L, the largest eigenvalue of H, at least 0.
        smallest: (B,) a lower end for its eigenvalues, at most 0.
        twice_lambda2: (B,) 2 lambda_2 = max(L, 0) + 2 c_1.
        error: (B,) estimate of the relative error of ``delta`` from residuals.
        steps: (B,) products used.
    """

    delta: Tensor
    largest: Array
    smallest: Array
    twice_lambda2: Array
    error: Array
    steps: npt.NDArray[np.int64]


class Beside(Hessian):
    """The map on what is orthogonal to a basis of vectors (B, d)."""

    def __init__(self, hessian: Hessian, basis: Sequence[Tensor]) -> None:
        self._hessian, self._basis = hessian, basis

    def apply(self, vectors: Tensor) -> Tensor:
        """Vectors (B, d), orthogonal to the basis already."""
        return self.outside(self._hessian(vectors))

    def outside(self, vectors: Tensor) -> Tensor:
        """Return the part of vectors (B, d) that is orthogonal to the basis; 0 if that is rounding error."""
        size = vectors.norm(dim=1, keepdim=True)
        for _ in range(2):
            for vector in self._basis:
                vectors = vectors - (vectors * vector).sum(1, keepdim=True) * vector
        eps = 100 * torch.finfo(vectors.dtype).eps
        return torch.where(vectors.norm(dim=1, keepdim=True) > eps * size, vectors, 0.0)


def solve_second_order(
    hessian: Hessian,
    gradient: Tensor,
    *,
    c1: float,
    rtol: float,
    max_steps: int,
    noise: Tensor | None = None,
) -> SecondOrder:
    """Largest eigenvalue L and ``(2 lambda_2 I - H)^-1 g``, each example until its error is small.

    The space of the gradient knows nothing of an eigenvector that the gradient is orthogonal to, and L may
    belong to that one: a second, short search starts from noise, orthogonal to the first space.

    Args:
        hessian: H.
        gradient: (B, d).
        c1: lambda_2 = max(L, 0) / 2 + c1 (the paper's constant 10).
        rtol: Relative error of the solution to reach.
        max_steps: At most so many products in each search.
        noise: (B, d) start of the second search; None: without it.
    """
    if isinstance(hessian, LowRank):
        return _solve_low_rank(hessian, gradient, c1)
    batch = len(gradient)
    size = _host(gradient.norm(dim=1))
    found = SecondOrder(
        torch.zeros_like(gradient),
        largest=np.zeros(batch),
        smallest=np.zeros(batch),
        twice_lambda2=np.full(batch, 2 * c1),
        error=np.zeros(batch),
        steps=np.zeros(batch, np.int64),
    )
    # Ritz values and vectors of each example at its last step, and the length of what was left outside.
    last: list[tuple[Array, Array, float]] = [(np.zeros(1), np.ones((1, 1)), 0.0)] * batch
    open_ = size > 0
    basis: list[Tensor] = []
    for state in lanczos(hessian, gradient, max_steps if open_.any() else 0):
        basis = state.basis
        values, vectors, residuals = state.eigen()
        for b in np.flatnonzero(open_):
            found.steps[b] = len(basis)
            last[b] = values[b], vectors[b], float(state.next_norm[b])
            found.largest[b] = max(values[b, -1], 0.0)
            # (residual^2 / gap would be the smaller bound for L, but the gap can be that of a wrong pair.)
            found.smallest[b] = min(values[b, 0] - residuals[b, 0], 0.0)
            found.error[b] = _coefficients(*last[b], found.largest[b] + 2 * c1, c1, residuals[b, -1])[1]
            open_[b] = found.error[b] > rtol
        if not open_.any():
            break
    if noise is not None and basis:
        _look_beside(Beside(hessian, basis), noise, found, last, c1, rtol, max_steps)
    found.twice_lambda2 = found.largest + 2 * c1
    coefficients = [
        _coefficients(*last[b], found.twice_lambda2[b], c1, 0.0)[0] * size[b] for b in range(batch)
    ]
    for k, vector in enumerate(basis):
        column = np.array([c[k] if k < len(c) else 0.0 for c in coefficients])
        found.delta += torch.from_numpy(column).to(gradient)[:, None] * vector
    return found


def _coefficients(
    values: Array, vectors: Array, outside: float, shift: float, c1: float, residual: float
) -> tuple[Array, float]:
    """The solution for a gradient of length 1 in the basis, and an estimate of its relative error.

    Residual of the system over its smallest eigenvalue, plus what the error of L does to the shift.
    """
    y = vectors @ (vectors[0] / (shift - values))
    return y, (outside * abs(y[-1]) / np.linalg.norm(y) + residual) / (2 * c1)


def _look_beside(
    beside: Beside,
    noise: Tensor,
    found: SecondOrder,
    last: list[tuple[Array, Array, float]],
    c1: float,
    rtol: float,
    max_steps: int,
) -> None:
    """Raise L (and lower the smallest eigenvalue) where the space beside holds a larger one.

    It ends where no eigenvalue of it can be larger: after two products, mostly.
    """
    # An example with a gradient of 0 has a map of 0, whatever its L.
    open_ = found.steps > 0
    largest = found.largest.copy()
    for step, state in enumerate(lanczos(beside, beside.outside(noise), max_steps), start=1):
        values, _, residuals = state.eigen()
        for b in np.flatnonzero(open_):
            found.steps[b] += 1
            top, unsure = values[b, -1], residuals[b, -1]
            found.smallest[b] = min(found.smallest[b], values[b, 0])
            # One product of noise says little: its component along each eigenvector is tiny.
            open_[b] = step < _BESIDE or top + unsure > largest[b]
            if top > largest[b]:
                found.largest[b] = top
                found.error[b] = _coefficients(*last[b], top + 2 * c1, c1, unsure)[1]
                open_[b] &= found.error[b] > rtol
        if not open_.any():
            return


def _solve_low_rank(hessian: LowRank, gradient: Tensor, c1: float) -> SecondOrder:
    """The same in closed form: ``s (s I - F^T F)^-1 = I + F^T (s I - F F^T)^-1 F`` with s = L + 2 c_1."""
    factor = hessian.factor
    values, vectors = torch.linalg.eigh((factor @ factor.transpose(1, 2)).double())
    largest = values[:, -1].clamp_min(0)
    shift = largest + 2 * c1
    rotated = torch.einsum("brk,brd,bd->bk", vectors, factor.double(), gradient.double())
    small = torch.einsum("brk,bk->br", vectors, rotated / (shift[:, None] - values))
    delta = (gradient + torch.einsum("brd,br->bd", factor, small.to(factor))) / shift[:, None].to(factor)
    zeros = np.zeros(len(gradient))
    return SecondOrder(delta, _host(largest), zeros, _host(shift), zeros, np.zeros(len(gradient), np.int64))


def _host(values: Tensor) -> Array:
    return values.detach().double().cpu().numpy()
