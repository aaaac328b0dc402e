"""Block preconditioner of the coupled Newton system: a Cholesky factor per class, reused while it serves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows

_RIDGE = 1e-5
_AT_ONCE = 1 << 22
"""Numbers of the matrices that are factorised at once."""
_EXPLICIT = 2000
"""Up to this size the inverse is used: its product is ten times as fast as solves, and it costs seven."""


@dataclass(frozen=True, eq=False)
class BlockPreconditioner:
    """Factors of ``H_c + l2 I`` on the supports of all classes, padded to one size.

    Entries that have left the support since the factors were made are masked; entries that have entered are
    scaled by their diagonal. Both keep the operator symmetric positive definite.

    Attributes:
        matrices: Inverses (C, a, a) where a is small, see :func:`is_inverse`, else lower Cholesky factors;
            the identity where padded.
        columns: Global column (C, a) of each row of a matrix.
        valid: (C, a) bool, False where padded.
        scale: (C, 1) by which entries without a row are multiplied.
        covered: (C, p + 1) bool, the supports.
    """

    matrices: Tensor
    columns: Tensor
    valid: Tensor
    scale: Tensor
    covered: Tensor

    def misfit(self, support: Tensor) -> float:
        """Share of a support (C, p + 1) that has changed since the factors were made."""
        return float((support ^ self.covered).sum()) / max(1.0, float(support.sum()))

    def on(self, support: Tensor, rows: WorkingRows) -> BlockOperator:
        """The operator for vectors over the columns at work, restricted to a support (C, p + 1)."""
        index = rows.position[self.columns]
        outside = (support & ~self.covered)[:, rows.columns]
        return BlockOperator(
            self.matrices,
            index.clamp_min(0),
            self.valid & (index >= 0),
            support[:, rows.columns],
            outside * self.scale if bool(outside.any()) else None,
        )


def is_inverse(matrices: Tensor) -> bool:
    """Say whether matrices of this size are kept as inverses."""
    return matrices.shape[1] <= _EXPLICIT


def factorised(blocks: Tensor, valid: Tensor, l2: float) -> Tensor:
    """Inverses or Cholesky factors, see :func:`is_inverse`, a few classes at a time to save memory.

    Args:
        blocks: (C, a, a), the identity where padded; overwritten and returned.
        valid: (C, a) bool, False where padded.
        l2: Ridge that they are to have at least.
    """
    step = max(1, _AT_ONCE // max(1, blocks.shape[1] ** 2))
    for low in range(0, len(blocks), step):
        part = slice(low, low + step)
        factors = cholesky(blocks[part], valid[part], l2)
        blocks[part] = torch.cholesky_inverse(factors) if is_inverse(blocks) else factors
    return blocks


def cholesky(blocks: Tensor, valid: Tensor, l2: float) -> Tensor:
    """Cholesky factors of Gram matrices with as much of a ridge as it takes, all classes at once.

    Args:
        blocks: (C, a, a), the identity where padded; overwritten.
        valid: (C, a) bool, False where padded.
        l2: Ridge that they are to have at least.
    """
    diagonal = blocks.diagonal(dim1=1, dim2=2)
    mean = (diagonal * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp_min(1)
    ridge = (l2 + _RIDGE * mean) * valid
    diagonal.add_(ridge)
    factors: Tensor
    factors, failed = torch.linalg.cholesky_ex(blocks)
    while bool(failed.any()):
        wrong = (failed != 0)[:, None]
        more = torch.where(wrong, (9.0 * ridge).clamp_min(1e-12), 0.0) * valid
        diagonal.add_(more)
        ridge = ridge + more
        factors, failed = torch.linalg.cholesky_ex(blocks)
    return factors


@dataclass(frozen=True, eq=False)
class BlockOperator:
    """See :meth:`BlockPreconditioner.on`.

    Attributes:
        matrices: (C, a, a).
        index: Place (C, a) of each row of a matrix among the columns at work.
        valid: (C, a) bool.
        support: (C, m + 1) bool.
        outside: (C, m + 1) scales of entries without a row, or None if there are none.
    """

    matrices: Tensor
    index: Tensor
    valid: Tensor
    support: Tensor
    outside: Tensor | None

    def __call__(self, residual: Tensor) -> Tensor:
        """Apply the preconditioner to (C, m + 1) float64."""
        gathered = (torch.gather(residual, 1, self.index) * self.valid).to(self.matrices.dtype)
        if is_inverse(self.matrices):
            solved = torch.bmm(gathered[:, None, :], self.matrices)[:, 0]
        else:
            solved = torch.cholesky_solve(gathered[:, :, None], self.matrices)[:, :, 0]
        out = torch.zeros_like(residual).scatter_add_(1, self.index, (solved * self.valid).double())
        if self.outside is not None:
            out.addcmul_(residual, self.outside)
        return out.mul_(self.support)
