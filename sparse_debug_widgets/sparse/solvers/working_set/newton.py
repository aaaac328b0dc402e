"""The coupled Newton step on the support, by preconditioned conjugate gradients.

The classes of a softmax are coupled: ``(H v)_c = sum_i s_i p_ic (u_ic - sum_k p_ik u_ik) x_i / n`` with
``u = v X``. On a fixed support with fixed signs the objective is smooth, and one product with H costs two
skinny matrix products. Preconditioned with the classes' own Cholesky factors, a handful of products reduce
the optimality residual on the support to what the certificate wants: at a gap of 1e-3 nearly all of it is
``sum r^2 / (2 l2)``, r the residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses import Loss
from sparse_debug_widgets.sparse.solvers.solver import Tick
from sparse_debug_widgets.sparse.solvers.working_set.point import View
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import BlockOperator
from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows


@dataclass(frozen=True, eq=False)
class NewtonStep:
    """A step of the weights at work.

    Attributes:
        weights: New weights (C, m + 1) float64; entries that would have changed sign are exactly 0.
        change: Change (C, n) of the logits.
        products: Products with the Hessian that it took.
        crossed: Number of entries set to zero.
        expected: Optimality residual measure at its end, in units of the objective.
    """

    weights: Tensor
    change: Tensor
    products: int
    crossed: int
    expected: float


def newton_step(
    rows: WorkingRows,
    loss: Loss,
    view: View,
    face: Tensor,
    operator: BlockOperator,
    *,
    target: float,
    max_products: int,
    tick: Tick,
) -> NewtonStep:
    """Solve the Newton system on a face, then put entries that crossed zero to zero.

    Args:
        rows: Features at work.
        loss: The loss.
        view: Where the step starts.
        face: (C, m + 1) bool: entries that may move.
        operator: Preconditioner on the face.
        target: Stop once the residual's measure is below this.
        max_products: Products with the Hessian at most.
        tick: Called before every product.
    """
    weights, residual, strengths, response = view.weights, view.residual, view.strengths, view.point.response
    left = -residual * face
    step = torch.zeros_like(weights)
    change = torch.zeros_like(response)
    scaled = operator(left)
    direction = scaled.clone()
    energy = float((left * scaled).sum())
    products, expected = 0, strengths.measure(left, view.objective)
    while products < max_products and energy > 0.0:
        tick()
        moved = rows.predict(direction)
        curved = rows.gradient(loss.weigh(loss.hessian_product(response, moved)), face)
        curved.addcmul_(strengths.l2, direction).mul_(face)
        products += 1
        bend = float((direction * curved).sum())
        if not bend > 0.0:
            break
        size = energy / bend
        step.add_(direction, alpha=size)
        change.add_(moved, alpha=size)
        left.sub_(curved, alpha=size)
        expected = strengths.measure(left, view.objective)
        if expected <= target:
            break
        scaled = operator(left)
        renewed = float((left * scaled).sum())
        direction.mul_(renewed / energy).add_(scaled)
        energy = renewed
    new = weights + step
    sign = torch.where(weights != 0, weights.sign(), -residual.sign())
    crossing = face & (new * sign < 0)
    crossing[:, 0] = False
    crossed = int(crossing.sum())
    if crossed:
        change += rows.predict(torch.where(crossing, -new, 0.0))
        new = torch.where(crossing, 0.0, new)
    return NewtonStep(new, change, products, crossed, expected)
