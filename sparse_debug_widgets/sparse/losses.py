"""The three losses of the elastic-net path, with the conjugates that certify it.

A loss is bound to its training targets and sample weights. All arrays are class-major, ``(C, n)``: row c
holds output c of every example, which is the layout in which matrix products with a feature-major ``(p, n)``
matrix are fastest. Every loss has the form ``loss_i(z) = A(z) - <y_i, z>`` up to a constant, so that its
gradient is ``mean_response(z) - y_i``; solvers that keep a table may keep mean responses, because targets
cancel in differences.

Sample weights s are normalised to sum to n, so that ``(1/n) sum_i s_i loss_i`` is a weighted mean.

A process may hold a share of the examples only. Per-example arrays are then of its own ``n_local`` examples,
and every sum over examples goes through :attr:`Loss.total`, which adds up the processes' sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sparse_debug_widgets.sparse import recycled
from sparse_debug_widgets.sparse.row_source import Total, alone
from sparse_debug_widgets.sparse.softmax_loops import curve, fits, softmax
from sparse_debug_widgets.sparse.weighted_products import add_outer

_NEWTON_STEPS = 100
_FLAT = 1e-14
_THIN = 64
_MANY = 1_000_000
"""Classes, and probabilities, up to which the intercept's Hessian is float64 throughout."""
_EXAMPLES = 4096


class Assessment(NamedTuple):
    """What is seen of all examples at one point, in one pass where a loss can do that.

    Attributes:
        response: Mean responses (C, n_local).
        loss: Weighted mean loss.
        slope: Weighted mean residual (C,) float64: the gradient in the intercept.
        conjugate: Weighted mean of ``conjugates(residuals, 1.0)``, if it was to be had on the way.
    """

    response: Tensor
    loss: float
    slope: Tensor
    conjugate: float | None


class Loss(ABC):
    """One loss, bound to the training targets of this process's examples.

    Attributes:
        n: Number of training examples, of all processes together.
        n_local: Number of examples of this process.
        n_outputs: Rows C of the weight matrix.
        weights: Sample weights (n_local,) float64 that sum to n over all processes, or None for all ones.
        total: Turns a sum over this process's examples into the sum over all.
    """

    name: ClassVar[str]
    curvature: ClassVar[float]
    """Largest eigenvalue that the Hessian of one example's loss can have."""

    n: int
    n_local: int
    n_outputs: int
    weights: Tensor | None
    total: Total

    def _share(self, n_local: int, weights: Tensor | None, n: int | None, total: Total) -> None:
        """Note which share of the examples this process has."""
        self.n_local, self.n = n_local, n_local if n is None else n
        self.weights, self.total = weights, total

    @abstractmethod
    def mean_response(self, logits: Tensor) -> Tensor:
        """Gradient of A: class probabilities, or the logits themselves for squared error, (C, b)."""

    @abstractmethod
    def subtract_targets(self, response: Tensor) -> Tensor:
        """Residuals v = response - y (C, n) of all examples, written over ``response``."""

    @abstractmethod
    def losses(self, logits: Tensor) -> Tensor:
        """Loss of each example, (n,), without sample weights."""

    @abstractmethod
    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """Minus the convex conjugate of each example's loss at ``scale * residuals``, (n,).

        Args:
            residuals: ``mean_response - y`` of a feasible point, (C, n) float64.
            scale: Shrinkage in [0, 1]; the shrunk residuals stay in the conjugate's domain.
        """

    @abstractmethod
    def curvatures(self, response: Tensor) -> Tensor:
        """Diagonal of each example's Hessian in the logits, (C, n)."""

    @abstractmethod
    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """Each example's Hessian times a direction in the logits, (C, n), without sample weights."""

    @abstractmethod
    def null_intercept(self) -> Tensor:
        """The intercept (C,) float64 that is optimal when all weights are zero."""

    @abstractmethod
    def intercept_hessian(self, response: Tensor) -> Tensor:
        """Hessian (C, C) float64 of the weighted mean loss in the intercept; positive definite."""

    def canonical_intercept(self, intercept: Tensor) -> Tensor:
        """The representative of an intercept among those with equal predictions."""
        return intercept

    def average(self, values: Tensor) -> Tensor:
        """Weighted mean over examples of (..., n) values, accumulated in float64."""
        if self.weights is not None:
            values = values * self.weights
        return self.total(values.sum(-1, dtype=torch.float64)) / self.n

    def weigh(self, values: Tensor) -> Tensor:
        """Multiply (C, n) values by the sample weights, in the values' own precision."""
        return values if self.weights is None else values * self.weights.to(values.dtype)

    def mean(self, logits: Tensor) -> float:
        """Weighted mean loss at logits (C, n)."""
        return float(self.average(self.losses(logits)))

    def evaluate(self, logits: Tensor) -> tuple[Tensor, float]:
        """Mean responses (C, n) and weighted mean loss at logits (C, n), sharing what they share."""
        return self.mean_response(logits), self.mean(logits)

    def assess(self, offsets: Tensor, intercept: Tensor) -> Assessment:
        """What a certificate wants to know at predictions (C, n_local) and an intercept (C,), in float64."""
        response, value = self.evaluate(offsets + intercept[:, None])
        slope = self.average(self.subtract_targets(response.clone()))
        return Assessment(response, value, slope, None)

    def residuals(self, logits: Tensor) -> Tensor:
        """Gradient of each example's loss in the logits, (C, n), without sample weights."""
        return self.subtract_targets(self.mean_response(logits))

    def optimise_intercept(self, offsets: Tensor, intercept: Tensor, slack: float = _FLAT) -> Tensor:
        """Minimise the loss over the intercept, the rest of the logits held fixed.

        Newton steps, damped (Levenberg) until the loss falls: at sure predictions the Hessian nearly
        vanishes, and a full step would leave the range of floating point.

        Args:
            offsets: Logits without the intercept, (C, n) float64.
            intercept: Start, (C,) float64.
            slack: Stop when no component of the mean residual exceeds this.

        Returns:
            The optimal intercept (C,).
        """
        value = self.mean(offsets + intercept[:, None])
        damping = 0.0
        for _ in range(_NEWTON_STEPS):
            response = self.mean_response(offsets + intercept[:, None])
            hessian = self.intercept_hessian(response)
            gradient = self.average(self.subtract_targets(response))
            if float(gradient.abs().max()) <= slack:
                break
            while True:
                damped = hessian + damping * torch.eye(
                    len(hessian), dtype=hessian.dtype, device=hessian.device
                )
                step = torch.linalg.solve(damped, gradient)
                trial = intercept - step
                new = self.mean(offsets + trial[:, None])
                # Rounding noise of the loss itself must not stop the last, tiny steps.
                if new <= value + 1e-15 * (1.0 + abs(value)):
                    break
                damping = max(10.0 * damping, 1e-6)
                # Damped beyond the largest curvature, a step that still does not descend is rounding noise.
                if damping > 10.0 * self.curvature:
                    return self.canonical_intercept(intercept)
            intercept, value = trial, new
            damping = 0.1 * damping if damping > 1e-6 else 0.0
        return self.canonical_intercept(intercept)


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
        # The conjugate of cross-entropy at q - onehot is the negative entropy of q (METHODS 1, Certificate).
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


class Binomial(Loss):
    """Logistic loss with one logit; the second class is the positive one.

    Args:
        labels: 0 or 1 for each example, (n,).
        weights: Sample weights (n,) float64 that sum to n, or None.
        n: Examples of all processes together; the number of labels if None.
        total: Adds up the processes' sums.
    """

    name = "binomial"
    curvature = 0.25

    def __init__(
        self, labels: Tensor, weights: Tensor | None = None, *, n: int | None = None, total: Total = alone
    ) -> None:
        self.targets = labels.double()[None]
        self.n_outputs = 1
        self._share(len(labels), weights, n, total)

    def mean_response(self, logits: Tensor) -> Tensor:
        """Probability of the second class."""
        return torch.sigmoid(logits)

    def subtract_targets(self, response: Tensor) -> Tensor:
        """Probability minus the label."""
        return response.sub_(self.targets.to(response.dtype))

    def losses(self, logits: Tensor) -> Tensor:
        """``log(1 + e^z) - y z``."""
        # softplus(-z) for positives and softplus(z) for negatives: no cancellation for sure predictions.
        sign = 1 - 2 * self.targets.to(logits.dtype)
        return softplus(sign * logits, threshold=50.0)[0]

    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """Entropy of the probability ``y + scale * v``."""
        shrunk = (self.targets + scale * residuals).clamp_(0.0, 1.0)
        entropies: Tensor = torch.special.entr(shrunk) + torch.special.entr(1 - shrunk)
        return entropies[0]

    def curvatures(self, response: Tensor) -> Tensor:
        """``p (1 - p)``."""
        return response * (1 - response)

    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """``p (1 - p) d``."""
        return response * (1 - response) * direction

    def null_intercept(self) -> Tensor:
        """Log-odds of the weighted frequency."""
        return torch.logit(self.average(self.targets))

    def intercept_hessian(self, response: Tensor) -> Tensor:
        """Mean of ``p (1 - p)``."""
        return self.average(self.curvatures(response.double()))[:, None] + 1e-14


class Gaussian(Loss):
    """Half the squared error, of one output or several.

    Args:
        targets: (m, n) float64.
        weights: Sample weights (n,) float64 that sum to n, or None.
        n: Examples of all processes together; the columns of ``targets`` if None.
        total: Adds up the processes' sums.
    """

    name = "gaussian"
    curvature = 1.0

    def __init__(
        self, targets: Tensor, weights: Tensor | None = None, *, n: int | None = None, total: Total = alone
    ) -> None:
        self.targets = targets
        self.n_outputs = len(targets)
        self._share(targets.shape[1], weights, n, total)
        self._centre = self.average(targets)

    def mean_response(self, logits: Tensor) -> Tensor:
        """The logits themselves."""
        return logits.clone()

    def subtract_targets(self, response: Tensor) -> Tensor:
        """Prediction minus the target."""
        return response.sub_(self.targets.to(response.dtype))

    def losses(self, logits: Tensor) -> Tensor:
        """``||z - y||^2 / 2``, summed over outputs."""
        return 0.5 * (logits - self.targets.to(logits.dtype)).square().sum(0)

    def conjugates(self, residuals: Tensor, scale: float) -> Tensor:
        """``-(||u||^2 / 2 + <u, y>)`` at u = ``scale * v``."""
        # Feasible residuals have weighted mean zero, so centring y changes no sum and saves digits.
        centred = self.targets - self._centre[:, None]
        return -(scale * residuals * (0.5 * scale * residuals + centred)).sum(0)

    def curvatures(self, response: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(response)

    def hessian_product(self, response: Tensor, direction: Tensor) -> Tensor:
        """The direction itself."""
        return direction.clone()

    def null_intercept(self) -> Tensor:
        """Weighted means of the targets."""
        return self._centre.clone()

    def intercept_hessian(self, response: Tensor) -> Tensor:
        """The identity."""
        return torch.eye(self.n_outputs, dtype=torch.float64, device=response.device)
