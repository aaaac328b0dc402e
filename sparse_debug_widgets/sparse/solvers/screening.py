"""Sequential strong rules: which features a strength can need, from the gradient at the one before.

Tibshirani et al. (2012). The rule may be wrong, so the certificate's full gradient re-admits violators.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.penalty import ElasticNet


def strong_entries(gradient: Tensor, penalty: ElasticNet, lambda_: float, previous: float) -> Tensor:
    """Entries (C, p) bool that pull with at least ``alpha (2 lambda - previous)``.

    Args:
        gradient: Gradient (C, p) of the loss at the solution for the previous strength.
        penalty: The elastic net.
        lambda_: Strength to be solved.
        previous: The strength before it, at least ``lambda_``.
    """
    return penalty.pull(gradient) >= penalty.l1(2.0 * lambda_ - previous)


def violating_entries(gradient: Tensor, penalty: ElasticNet, lambda_: float) -> Tensor:
    """Entries (C, p) bool that pull with more than ``alpha lambda``: zero is not optimal for them."""
    return penalty.pull(gradient) > penalty.l1(lambda_) * (1.0 + 1e-12)


def any_row(entries: Tensor) -> Tensor:
    """Features (p,) bool that any row of (C, p) entries needs."""
    return torch.any(entries, 0)
