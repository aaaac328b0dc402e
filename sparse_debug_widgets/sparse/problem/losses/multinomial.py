"""Cross-entropy of several classes."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.losses.loss import Assessment, Loss
from sparse_debug_widgets.sparse.problem.softmax_loops import curve, fits, softmax
from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.rows.row_source import Total, alone
from sparse_debug_widgets.sparse.rows.weighted_products import add_outer

_THIN = 64
_MANY = 1_000_000
"""Classes, and probabilities, up to which the intercept's Hessian is float64 throughout."""
_EXAMPLES = 4096


class Multinomial(Loss):
    """Cross-entropy of C classes with the full (over-parameterised) softmax.

    Args:
        labels: Class index of each example, (n,) int64.
        n_classes: C, at least 2.
        weights: Sample weights (n,) float64 that sum to n, or None.
        n: Examples of all processes together; the number of labels if None.
        total: Adds up the processes' sums.
    """

    name = "multinomial"
    curvature = 0.5
    bend = 0.25
    couples = True

    def __init__(
        self,
        labels: Tensor,
        n_classes: int,
        weights: Tensor | None = None,
        *,
        n: int | None = None,
        total: Total = alone,
    ) -> None:
        self.labels = labels
        self.n_outputs = n_classes
        self._share(len(labels), weights, n, total)
        self._flat = labels * self.n_local + torch.arange(self.n_local, device=labels.device)

    def mean_response(self, logits: Tensor) -> Tensor:
        """Class probabilities, the softmax."""
        return logits.softmax(0)

    def subtract_targets(self, response: Tensor) -> Tensor:
        """Probabilities minus the one-hot labels."""
        return self._add_to_targets(response, -1.0)

    def _add_to_targets(self, values: Tensor, number: float) -> Tensor:
        """Add a number to each example's entry for its own class, in place."""
        values.view(-1).scatter_add_(0, self._flat, values.new_full((1,), number).expand(self.n_local))
        return values

    def losses(self, logits: Tensor) -> Tensor:
        """Cross-entropy, ``logsumexp(z) - z_y``."""
        return torch.logsumexp(logits, 0) - logits.reshape(-1)[self._flat]

    def evaluate(self, logits: Tensor) -> tuple[Tensor, float]:
        """Softmax and mean cross-entropy from one exponential."""
        if fits(logits):
            found = softmax(logits, self.labels)
            return found.response, float(self.average(found.losses))
        top = logits.amax(0)
        response = torch.sub(logits, top).exp_()
        total = response.sum(0)
        picked = logits.reshape(-1)[self._flat]
        response.div_(total)
        return response, float(self.average(total.log_().add_(top).sub_(picked)))

    def assess(self, offsets: Tensor, intercept: Tensor) -> Assessment:
        """See :class:`Loss`; at a scale of 1 the conjugates are the probabilities' entropies."""
        if not fits(offsets):
            return super().assess(offsets, intercept)
        response, losses, entropies, sums = softmax(offsets, self.labels, intercept, self.weights)
        # Of processes that share the examples, some may do without these loops: all add up the same sums.
        conjugate = float(self.average(entropies)) if self.total is alone else None
        value = float(self.average(losses))
        return Assessment(response, value, self.total(sums - self._counts) / self.n, conjugate)

    @cached_property
    def _counts(self) -> Tensor:
        """Weighted counts (C,) float64 of the classes among this process's examples."""
        counts = torch.bincount(self.labels, weights=self.weights, minlength=self.n_outputs)
        return counts.double()

    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """Entropy of ``onehot + scale * v``."""
        # The conjugate of cross-entropy at q - onehot is the negative entropy of q (docs/methods/paths.md).
        shrunk = self._add_to_targets(scale * residuals, 1.0)
        entropies: Tensor = torch.special.entr(shrunk.clamp_(min=0.0))
        return entropies.sum(0)

    def curvatures(self, response: Tensor) -> Tensor:
        """``p (1 - p)``."""
        rest = recycled.empty_like(response)
        return torch.sub(response.new_ones(()), response, out=rest).mul_(response)

    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """``(diag(p) - p p^T) d``."""
        if fits(response, direction):
            return curve(response, direction)
        product = response * direction
        return product - response * product.sum(0)

    def null_intercept(self) -> Tensor:
        """Logarithms of the weighted class frequencies, centred."""
        return self.canonical_intercept(torch.log(self.total(self._counts.clone()) / self.n))

    def intercept_hessian(self, response: Tensor) -> Tensor:
        """``diag(mean p) - mean p p^T``, made definite along the shift that changes nothing."""
        response = response.double()
        mean = self.average(response)
        many = self.n_outputs > _THIN and response.numel() > _MANY
        products = self._narrow_products(response) if many else self.weigh(response) @ response.T
        hessian = torch.diag(mean) - self.total(products) / self.n
        # Adding the same number to every intercept changes nothing: give that direction a curvature.
        hessian += float(mean.max()) / self.n_outputs
        hessian.diagonal().add_(1e-14)
        return hessian

    def _narrow_products(self, response: Tensor) -> Tensor:
        """``p diag(s) p^T`` (C, C) float64, half of it in float32: Newton's method forgives it."""
        sums = response.new_zeros(self.n_outputs, self.n_outputs)
        root = None if self.weights is None else self.weights.sqrt()
        for low in range(0, self.n_local, _EXAMPLES):
            rows = response[:, low : low + _EXAMPLES]
            rows = rows.float() if root is None else (rows * root[low : low + _EXAMPLES]).float()
            add_outer(rows, sums)
        # Of sure predictions little is left once this is subtracted: the diagonal is not rounded.
        weighed = response if root is None else response * root
        sums.diagonal().copy_(torch.linalg.vector_norm(weighed, dim=1).square_())
        return sums

    def canonical_intercept(self, intercept: Tensor) -> Tensor:
        """The intercept with mean zero."""
        return intercept - intercept.mean()
