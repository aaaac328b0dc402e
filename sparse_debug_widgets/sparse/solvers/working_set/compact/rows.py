"""The examples of a small problem in float32, and points seen through the entries at work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from torch import Tensor

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.problem.losses import Binomial, Loss, Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.softmax_loops import curve_into, softmax_into
from sparse_debug_widgets.sparse.rows.row_products import picked_products
from sparse_debug_widgets.sparse.rows.row_source import Indices
from sparse_debug_widgets.sparse.solvers.working_set.compact import loops
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Entries, Float64
from sparse_debug_widgets.sparse.solvers.working_set.compact.loops import Float32


@dataclass(frozen=True, eq=False)
class ExampleAnswers:
    """The predictions, losses and residuals of all examples at a point.

    Attributes:
        logits: (C, n) float64.
        response: Probabilities (C, n) float32.
        loss: Weighted mean loss.
    """

    logits: Float64
    response: Float32
    loss: float

    @classmethod
    def of(cls, certificate: Certificate) -> ExampleAnswers:
        """The answer that a certificate has found."""
        response = certificate.response.numpy().astype(np.float32)
        return cls(certificate.logits.numpy(), response, certificate.loss)


def values_of(problem: Problem) -> Tensor:
    """The matrix (p, n), which this process must have in memory."""
    whole = problem.design.whole
    if whole is None:
        must = "be in the memory of one process"
        reject("features", "the compact solver", must, type(problem.design).__name__)
    return whole


def labels_of(loss: Loss) -> Indices:
    """Class of each example (n,)."""
    if isinstance(loss, Multinomial):
        return loss.labels.numpy()
    if not isinstance(loss, Binomial):
        reject("loss", "the compact solver", "be of classes", loss.name)
    return loss.targets[0].numpy().astype(np.int64)


class Rows:
    """Features of all examples, feature 0 being ones, with labels and sample weights.

    Args:
        problem: A problem of classes whose matrix is in memory.

    Attributes:
        values: (p + 1, n) float32.
        share: Sample weights (n,) float32; ones where there are none.
        n: Examples.
    """

    def __init__(self, problem: Problem) -> None:
        whole, loss = values_of(problem), problem.loss
        p, self.n = whole.shape
        self.values = np.empty((p + 1, self.n), np.float32)
        self.values[0] = 1.0
        self.values[1:] = whole.numpy()
        self._weights = None if loss.weights is None else loss.weights.numpy()
        self.share = np.ones(self.n, np.float32)
        if self._weights is not None:
            self.share[:] = self._weights
        self._labels = labels_of(loss)
        self._sigmoid = loss.n_outputs == 1
        # Where the labels are in a flattened (C, n) array.
        own = np.flatnonzero(self._labels) if self._sigmoid else self._labels * self.n + np.arange(self.n)
        self._own = own

    def answer(self, logits: Float64) -> ExampleAnswers:
        """The answer to logits (C, n)."""
        response, losses = np.empty(logits.shape, np.float32), np.empty(self.n)
        if self._sigmoid:
            response[:] = expit(logits)
            losses = np.logaddexp(0.0, (1.0 - 2.0 * self._labels) * logits[0])
        else:
            softmax_into(logits, self._labels, response, losses)
        total = float(losses.sum() if self._weights is None else losses @ self._weights)
        return ExampleAnswers(logits, response, total / self.n)

    def predict(self, entries: Entries, weights: Float64) -> Float32:
        """Logits (C, n) of weights (e,)."""
        out = np.empty((entries.n_classes, self.n), np.float32)
        loops.predict()(self.values, entries.start, entries.feature, weights.astype(np.float32), out)
        return out

    def slopes(self, entries: Entries, response: Float32) -> Float64:
        """Gradient (e,) of the loss at probabilities (C, n)."""
        residuals = response * self.share if self._weights is not None else response.copy()
        own = self._own
        residuals.ravel()[own] -= self.share[own % self.n]
        return self.products(entries, residuals)

    def products(self, entries: Entries, left: Float32) -> Float64:
        """``left[c] . x_j / n`` for the entries (c, j)."""
        out = np.empty(len(entries))
        picked_products(left, self.values, entries.feature, entries.start, out)
        out /= self.n
        return out

    def bent(self, response: Float32, direction: Float32) -> Float32:
        """Each example's Hessian times a direction (C, n) in the logits, weighted."""
        out = np.empty_like(direction)
        # For one row, p (d - p d) is p (1 - p) d: the loop serves the logistic loss too.
        curve_into(response, direction, out)
        if self._weights is not None:
            out *= self.share
        return out

    def curvatures(self, response: Float32) -> Float32:
        """Weighted curvatures (C, n) of each class alone."""
        out = response * (np.float32(1.0) - response)
        np.maximum(out, np.float32(1e-10), out=out)
        if self._weights is not None:
            out *= self.share
        return out
