r"""Bounds on the distance of a point's weights from the optimal ones.

Two proofs, for the objective ``F(W, b) = L(W, b) + sum_j f_j (l1 |W_j| + l2 W_j^2 / 2)`` of a path, a point
(W, b), and the optimum W*; e = (c, j) names the entry of class c and feature j, and the duality gap (not
relative) is ``gap >= F(W, b) - F*``.

**Strong convexity**, at any point: F minus ``min_j l2 f_j ||W||^2 / 2`` is convex, also after minimising over
b, so that ``||W - W*||^2 <= 2 gap / min_j l2 f_j``. It costs nothing, and says little where alpha is near 1.

**Self-concordance**, near the optimum. Let S be a set of entries that holds the support, W^S the optimum over
weights that vanish outside S, ``d = (W^S, b^S) - (W, b)``, H the Hessian of L at the point over S and the
intercepts, ``A = H + l2 f``, and r the least subgradient of F there. For softmax (and the logistic function,
which is a softmax of two classes) the derivative of ``Var_p(u)``, the variance of a step u of the logits
under the probabilities p, along the step itself is a third central moment, at most ``range(u) Var_p(u)``.
So, with R the largest range over examples of the logits' change, the Hessian at the share t of the way is at
least ``e^(-t R) H`` in the direction d, and at most ``e^(t R) H``. Monotony of the penalty's subgradients
gives ``<r, d> + phi |d|_A^2 <= 0`` with ``phi = (1 - e^-R) / R``, hence with ``eta = |r|_(A^-1)``

    |d|_A <= eta / phi    and    |d_e| <= (eta / phi) sqrt((A^-1)_ee)    for every entry e of S.

R itself is at most ``rho eta / phi``, rho the largest of ``2 sum_j |x_ij| sqrt((A^-1)_ee)`` over examples i
and classes; this is ``1 - e^-R <= rho eta``, so that ``R <= -log(1 - rho eta)`` where ``rho eta < 1``. The
rest of the proof is that W^S = W*: outside S the gradient moves by at most

    |G_e(W^S) - G_e(W)| <= int e^(t R) sqrt(H_ee) |d|_H dt <= ((e^R - 1) / R) sqrt(h_e) eta / phi,

h_e the largest curvature that e can have, and if that stays below the margin ``l1 f_j - |G_e|`` for every
entry outside, W^S fulfils the optimality conditions of the whole problem. So weights outside S are exactly
zero, and those of S are known to within the bound. A Hessian of another point serves too: along a change of
the logits whose range is D it falls at most to ``e^-D`` of itself.

For squared error the Hessian is constant, R = D = 0 and phi = 1.

References:
    Bach, "Self-concordant analysis for logistic regression", Electronic Journal of Statistics 4, 2010;
    Ndiaye et al., "Gap safe screening rules for sparsity enforcing penalties", JMLR 18, 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.problem.objective import Problem


@dataclass(frozen=True, eq=False)
class Nearness:
    """The proof of how near the weights of a point are to the optimal ones.

    Attributes:
        bound: Largest distance of a weight from the optimal one, standardised units; infinite if unknown.
        open: (C, p) bool, the zeros of which nothing but the bound is proved: all others that are zero here
            are zero at the optimum.
    """

    bound: float
    open: Tensor


def by_strong_convexity(problem: Problem, certificate: Certificate, lambda_: float) -> float:
    """A bound on ``max |W - W*|`` from the duality gap alone; infinite for the lasso, and without a gap."""
    factors = problem.penalty.factors
    least = 1.0 if factors is None else float(factors.min())
    l2 = problem.penalty.l2(lambda_) * least
    gap = certificate.primal - certificate.dual
    if not l2 > 0.0 or not math.isfinite(gap):
        return math.inf
    # What the difference of two such numbers may have lost.
    return math.sqrt(2.0 * (max(gap, 0.0) + 1e-15 * certificate.primal) / l2)
