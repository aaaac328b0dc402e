"""The objective near a point, over the few entries that may be nonzero: Newton's step, and how near it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate
from sparse_debug_widgets.sparse.problem.nearness import Nearness
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.weighted_products import add_outer

_PIVOTS, _CHANGES = 8, 4
_FEW = 160
"""Entries up to which the blocks of the classes are cut out of one product."""
_SOUND = 1e-12
"""Smallest square of a pivot, in units of the largest, at which the inverse is still worth a proof."""
_RIDGE = 1e-7
_SLACK = 1e-10
"""Share by which a slope must exceed the bound to let a weight in: rounding alone does not."""
_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class Place:
    """A point of one strength, with what its certificate knows.

    Attributes:
        weights: (C, p) float64.
        certificate: Its certificate.
        lambda_: The strength.
    """

    weights: Tensor
    certificate: Certificate
    lambda_: float


class Terms:
    """Penalty factors, slopes and optimality residuals of a place, (C, p + 1) with the intercept first.

    Args:
        problem: The problem.
        place: The place.
    """

    def __init__(self, problem: Problem, place: Place) -> None:
        penalty, weights, found = problem.penalty, place.weights, place.certificate
        self.l1 = torch.full((weights.shape[1] + 1,), penalty.l1(place.lambda_), dtype=torch.float64)
        if penalty.factors is not None:
            self.l1[1:] *= penalty.factors
        self.l1[0] = 0.0
        self.weights = torch.cat([torch.zeros_like(weights[:, :1]), weights], 1)
        self.gradient = torch.cat([found.slope[:, None], found.gradient], 1)
        self.slopes = torch.addcmul(self.gradient, l2_factors(problem, place.lambda_), self.weights)

    def residual(self, mask: Tensor) -> Tensor:
        """Least element of the objective's subdifferential, over some entries."""
        l1, slopes, weights = self.l1.expand_as(mask)[mask], self.slopes[mask], self.weights[mask]
        beyond = slopes - torch.minimum(torch.maximum(slopes, -l1), l1)
        return torch.where(weights != 0, torch.addcmul(slopes, l1, weights.sign()), beyond)

    def near(self, share: float) -> Tensor:
        """Entries that are nonzero, or whose gradient is within a share of what lets them in; intercepts."""
        return (self.weights != 0) | (self.gradient.abs() >= (1.0 - share) * self.l1)


def l2_factors(problem: Problem, lambda_: float) -> Tensor:
    """Factors (p + 1,) of half the squares at a strength; the intercept's is 0."""
    out = torch.full((problem.design.p + 1,), problem.penalty.l2(lambda_), dtype=torch.float64)
    if problem.penalty.factors is not None:
        out[1:] *= problem.penalty.factors
    out[0] = 0.0
    return out


def _inverted(factor: Tensor) -> Tensor:
    """The inverse of a lower triangular matrix."""
    eye = torch.eye(len(factor), dtype=torch.float64)
    inverse: Tensor = torch.linalg.solve_triangular(factor, eye, upper=False)
    return inverse


class LocalModel:
    """The exact Hessian of the objective's smooth part over some entries, at one point, factored.

    Args:
        problem: A problem whose features are float64 and in the memory of this process.
        mask: (C, p + 1) bool, the entries, intercepts (feature 0) among them.
        logits: Predictions (C, n) float64 at the point.
        response: Mean responses (C, n) float64 there.
        lambda_: The strength that the part ``l2 I`` belongs to.
        known: The Hessian of the loss itself, or a model of the same point with fewer entries, if known.

    Attributes:
        hessian: The Hessian of the loss over the entries.
        sound: Whether the factors are worth a proof.
    """

    def __init__(
        self,
        problem: Problem,
        mask: Tensor,
        logits: Tensor,
        response: Tensor,
        lambda_: float,
        known: LocalModel | Tensor | None = None,
    ) -> None:
        self.problem, self.mask = problem, mask
        self.logits, self.response, self.lambda_ = logits, response, lambda_
        self._owner, self._feature = mask.nonzero(as_tuple=True)
        edges = [0, *mask.sum(1).cumsum(0).tolist()]
        self._parts = [slice(low, high) for low, high in pairwise(edges)]
        self._free = self._feature == 0
        self._curved = not problem.loss.quadratic
        if isinstance(known, LocalModel):
            self.hessian = self._grown(known)
        else:
            self.hessian = self._made() if known is None else known
        matrix = self.hessian.clone()
        matrix.diagonal().add_(l2_factors(problem, lambda_)[self._feature])
        if self._curved and len(mask) > 1:
            # The same number added to every intercept changes nothing: that direction gets a curvature.
            first = self._free.nonzero()[:, 0]
            matrix[first[:, None], first] += float(matrix.diagonal()[first].mean()) / len(first) + 1e-14
        self._matrix = matrix
        # Outputs of squared error have nothing to do with each other.
        self._blocks = [slice(0, len(matrix))] if self._curved else self._parts
        self._factors, failed = self._factored()
        pivots = torch.cat([factor.diagonal() for factor in self._factors])
        self.sound = not failed and float(pivots.min() / pivots.max()) ** 2 > _SOUND
        if not self.sound:
            # Flat directions, in which the lasso has many optima: steps along them must end somewhere.
            matrix.diagonal().add_(_RIDGE * float(matrix.diagonal().max()))
            self._factors, _ = self._factored()

    def _factored(self) -> tuple[list[Tensor], bool]:
        """The Cholesky factors of the blocks, and if there is one that has none."""
        found = [torch.linalg.cholesky_ex(self._matrix[block, block]) for block in self._blocks]
        return [factor for factor, _ in found], any(int(failed) for _, failed in found)

    @classmethod
    def at(cls, problem: Problem, place: Place, mask: Tensor, hessian: Tensor | None = None) -> LocalModel:
        """The model at a place; its Hessian, if known."""
        found = place.certificate
        return cls(problem, mask, found.logits, found.response, place.lambda_, hessian)

    def with_entries(self, near: Tensor) -> LocalModel:
        """The model of the same point with more entries."""
        return LocalModel(
            self.problem, self.mask | near, self.logits, self.response, self.lambda_, known=self
        )

    @property
    def _values(self) -> Tensor:
        values = self.problem.design.whole
        assert values is not None  # noqa: S101 - for the type checker
        return values

    def _rows(self, chosen: Tensor | slice = slice(None)) -> Tensor:
        """Features of the entries, or of some; those of intercepts are ones."""
        feature = self._feature[chosen]
        rows = self._values[(feature - 1).clamp_(min=0)]
        rows[feature == 0] = 1.0
        return rows

    def _shares(self) -> Tensor:
        """Weights (n,) of the examples, summing to 1."""
        loss = self.problem.loss
        if loss.weights is not None:
            return loss.weights / loss.n
        return torch.full((loss.n_local,), 1.0 / loss.n, dtype=torch.float64)

    def _made(self) -> Tensor:
        """``sum_i s_i (diag(p_i) - p_i p_i^T) x x^T / n`` over the entries; no coupling for squared error."""
        size, rows = len(self._feature), self._rows()
        response = self.response if self._curved else torch.ones_like(self.response)
        roots = response.sqrt()
        rows *= self._shares().sqrt_()
        out = torch.zeros(size, size, dtype=torch.float64)
        for c, part in enumerate(self._parts):
            rows[part] *= roots[c]
            if size > _FEW:
                add_outer(rows[part], out[part, part])
        if size <= _FEW:
            # One large product costs less than many small ones.
            out = (rows @ rows.T) * (self._owner[:, None] == self._owner)
        if self._curved:
            for c, part in enumerate(self._parts):
                rows[part] *= roots[c]
            add_outer(rows, out, -1.0)
        return out

    def _grown(self, known: LocalModel) -> Tensor:
        """The same from the model of fewer entries: only products of the new ones with all are made."""
        held = known.mask[self.mask]
        new, old = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
        out = torch.empty(len(held), len(held), dtype=torch.float64)
        out[old[:, None], old] = known.hessian
        rows, owner = self._rows(new).mul_(self._shares()), self._owner[new]
        if self._curved:
            rows *= self.response[owner]
        used = self.mask.any(0).nonzero()[:, 0]
        place = torch.empty(self.mask.shape[1], dtype=torch.int64)
        place[used] = torch.arange(len(used))
        sides = self._values[used[1:] - 1]
        for c, part in enumerate(self._parts):
            weighed = rows * -self.response[c] if self._curved else torch.zeros_like(rows)
            weighed[owner == c] += rows[owner == c]
            products = torch.cat([weighed.sum(1, keepdim=True), weighed @ sides.T], 1)
            out[new, part] = products[:, place[self._feature[part]]]
        out[:, new] = out[new].T
        return out

    def step(self, terms: Terms) -> tuple[Tensor, Tensor]:
        """The minimum of the model at a place: weights (C, p), and the change (C,) of the intercept.

        Entries that would change their sign become zero, and zeros whose slope lets them in enter, until
        neither is left.
        """
        old, slopes = terms.weights[self.mask], terms.slopes[self.mask]
        l1, free, inverse = terms.l1[self._feature], self._free, self._inverse
        pulled = slopes.abs() > l1 * (1.0 + _SLACK)
        sign = torch.where(old != 0, old.sign(), torch.where(pulled, -slopes.sign(), 0.0))
        face, new = (sign != 0) | free, old
        for _ in range(_PIVOTS):
            # Entries off the face go to zero, whatever the slope: by a force that holds them there.
            off = (~face).nonzero()[:, 0]
            left = -(inverse.T @ (inverse @ (slopes + l1 * sign)))
            if len(off):
                columns = inverse[:, off]
                block, failed = torch.linalg.cholesky_ex(columns.T @ columns)
                if int(failed):
                    continue
                force = torch.cholesky_solve((-old[off] - left[off])[:, None], block)
                left += (inverse.T @ (columns @ force))[:, 0]
                left[off] = -old[off]
            new = old + left
            crossing = face & ~free & (new * sign <= 0)
            pull = slopes + self._matrix @ left
            entering = ~face & (pull.abs() > l1 * (1.0 + _SLACK))
            if not bool((crossing | entering).any()):
                new = torch.where(face, new, 0.0)
                break
            face = (face & ~crossing) | entering
            sign = torch.where(entering, -pull.sign(), torch.where(face, sign, 0.0))
        else:
            new = self._one_by_one(old, slopes, l1)
        out = torch.zeros_like(terms.weights)
        out[self.mask] = new
        return out[:, 1:].contiguous(), out[:, 0]

    def _one_by_one(self, old: Tensor, slopes: Tensor, l1: Tensor) -> Tensor:
        """The same minimum by one change of the face at a time: never in a circle, the objective falls."""
        new, sign = old.clone(), old.sign()
        face = (sign != 0) | self._free
        for _ in range(_CHANGES * len(old)):
            pull = slopes + self._matrix @ (new - old)
            chosen = face.nonzero()[:, 0]
            factor = torch.linalg.cholesky_ex(self._matrix[chosen[:, None], chosen])[0]
            wanted = -(pull + l1 * sign)[chosen]
            change = torch.cholesky_solve(wanted[:, None], factor)[:, 0]
            here, held = new[chosen], ~self._free[chosen]
            share = torch.where(held & ((here + change) * sign[chosen] < 0), -here / change, 1.0)
            first = int(share.argmin())
            if float(share[first]) < 1.0:
                new[chosen] = here + float(share[first]) * change
                leaving = chosen[first]
                new[leaving], sign[leaving], face[leaving] = 0.0, 0.0, False
                continue
            new[chosen] = here + change
            pull = slopes + self._matrix @ (new - old)
            excess = torch.where(face, 0.0, pull.abs() - l1)
            worst = int(excess.argmax())
            if float(excess[worst]) <= _SLACK * float(l1[worst]):
                break
            sign[worst], face[worst] = -pull[worst].sign(), True
        return new

    def covers(self, near: Tensor) -> bool:
        """Say whether all of some entries (C, p + 1) are among those of the model."""
        return not bool((near & ~self.mask).any())

    def drift(self, place: Place) -> float:
        """Largest range over examples of the logits' change from the model's point to a place."""
        if not self._curved or place.certificate.logits is self.logits:
            return 0.0
        change = place.certificate.logits - self.logits
        if len(change) == 1:
            return float(change.abs().max())
        return float((change.amax(0) - change.amin(0)).max())

    @cached_property
    def _inverse(self) -> Tensor:
        """The inverse of the Cholesky factor of all."""
        if len(self._factors) == 1:
            return _inverted(self._factors[0])
        out = torch.zeros_like(self._matrix)
        for block, factor in zip(self._blocks, self._factors, strict=True):
            out[block, block] = _inverted(factor)
        return out

    @cached_property
    def _spread(self) -> tuple[Tensor, float]:
        """Roots of the inverse's diagonal, and what a step of length 1 can do to the logits."""
        spread = torch.linalg.vector_norm(self._inverse, dim=0)
        if not self._curved:
            return spread, 0.0
        most = torch.zeros(self.mask.shape, dtype=torch.float64)
        most[self.mask] = spread
        used = self.mask.any(0)[1:]
        sums = most[:, 1:][:, used] @ self._values[used].abs_() + most[:, :1]
        return spread, float(sums.max()) * (1.0 if len(self.mask) == 1 else 2.0)

    def nearness(self, place: Place, terms: Terms) -> Nearness | None:
        """Prove with the Hessian how near a place is; see :mod:`sparse.problem.nearness`.

        Returns:
            The bound; None where the place is too far away for a proof.
        """
        if not self.sound or bool((terms.weights[~self.mask] != 0).any()):
            return None
        spread, reach = self._spread
        eta = float(torch.linalg.vector_norm(self._inverse @ terms.residual(self.mask)))
        eta += _ROUNDING * math.sqrt(len(spread)) * float(torch.linalg.vector_norm(spread))
        kept = math.exp(-self.drift(place))
        if self.problem.penalty.l2(self.lambda_) > 0.0:
            kept = min(kept, place.lambda_ / self.lambda_)
        eta /= kept
        reach *= eta
        if not reach < 1.0:
            return None
        most = -math.log1p(-reach)
        phi = reach / most if most > 0.0 else 1.0
        grown = math.expm1(most) / most if most > 0.0 else 1.0
        shift = grown * eta / phi * self.problem.steepest.sqrt()
        margin = terms.l1[1:] - terms.gradient[:, 1:].abs()
        if bool((~self.mask[:, 1:] & (margin <= shift)).any()):
            return None
        bound = eta / phi * float(spread.masked_fill(self._free, 0.0).max())
        return Nearness(bound, self.mask[:, 1:] & (place.weights == 0) & (margin <= shift))
