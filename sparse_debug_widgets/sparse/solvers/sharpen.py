"""Newton's method with the exact Hessian of small problems: to a tight gap, and to weights that are proved.

From a start near the optimum, as the secant along a path gives it, one to three evaluations of the examples
are a strength's whole work. The Hessian, over the entries that may be nonzero, serves as long as predictions
stay near those it was made at; it also proves how far the weights are from the optimal ones, see
:mod:`sparse.problem.nearness`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate, certify
from sparse_debug_widgets.sparse.problem.nearness import Nearness
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.solvers.local_model import LocalModel, Place, Terms
from sparse_debug_widgets.sparse.solvers.solver import TIGHT, Solution, Tick

SHARE = 3e-4
"""Of the largest weight: as near to the optimum are weights to be proved."""
_WORK, _MORE = 2e9, 2e10
"""Multiplications that one Hessian may take, and where the tolerance is beyond other ways."""
_MOST = 4000
_MARGIN, _AHEAD = 0.01, 0.1
"""Shares of the bound on the gradient: entries that must be modelled, and those that are while about it."""
_ROUNDS = 12
_LASSO = 0.999
_READY = 1e-6
"""Gap from which on it is worth while to ask for a proof of the weights."""
_DRIFT, _SMALL = (0.5, 1.5), 3e8
"""Range of the logits' change up to which a Hessian serves: one made in few multiplications, or in many."""
_CONTRACTED = 0.3


@dataclass(frozen=True, eq=False)
class Sharp:
    """A point that is known exactly enough.

    Attributes:
        weights: (C, p) float64.
        certificate: Its certificate.
        nearness: What is proved about its weights, or None.
        steps: Newton steps taken.
    """

    weights: Tensor
    certificate: Certificate
    nearness: Nearness | None
    steps: int

    def solution(self, lambda_: float) -> Solution:
        """The point as a strength's solution."""
        return Solution(lambda_, self.weights, self.certificate, self.steps, "gap", self.nearness)


def exact_hessians(problem: Problem) -> bool:
    """Say whether a problem's Hessians can be exact: float64 features in this process, weights apart."""
    values = problem.design.whole
    here = values is not None and values.dtype == torch.float64 and values.device.type == "cpu"
    return here and not problem.penalty.grouped


def can_sharpen(problem: Problem, tol: float) -> bool:
    """Say whether exact Hessians are the way to a tolerance: a tight one, or any for (nearly) the lasso.

    Where the penalty has no curvature of its own, first-order steps crawl along the directions that change
    no prediction, such as the same number added to a feature's weights for all classes.
    """
    return exact_hessians(problem) and (tol <= TIGHT or problem.penalty.alpha > _LASSO)


def secant(newest: Tensor, older: Tensor | None) -> Tensor:
    """A guess at the next strength's weights (C, p + 1), from those of the last two."""
    if older is None:
        return newest
    point = 2.0 * newest - older
    # Weights keep their signs: what has just left does not come back with the other one.
    point[:, 1:][point[:, 1:] * newest[:, 1:] <= 0.0] = 0.0
    return point


class Sharpener:
    """Exact Newton steps for one strength after the other.

    Args:
        problem: A problem that one :func:`can_sharpen`.
        tol: Gap to reach.
        constant: The Hessian (p + 1, p + 1) of every output, the intercept first, if it is the same
            everywhere and known.
    """

    def __init__(self, problem: Problem, tol: float, constant: Tensor | None = None) -> None:
        self._problem, self._tol, self._constant = problem, tol, constant
        self._most = _WORK if tol >= TIGHT else _MORE
        self._model: LocalModel | None = None

    def ahead(self, newest: Tensor, older: Tensor | None, lambda_: float, tick: Tick) -> Sharp:
        """The optimum at the next strength, from the secant through the last two.

        Args:
            newest: Weights (C, p + 1) of the last strength, the intercept first.
            older: Those of the one before, or None.
            lambda_: The next strength.
            tick: Called before every evaluation of the examples.

        Returns:
            The best point found.
        """
        point = secant(newest, older)
        weights = point[:, 1:].contiguous()
        tick()
        start = certify(self._problem, weights, point[:, 0], lambda_, search=False, optimise=False)
        return self.sharpen(weights, start, lambda_, tick)

    def sharpen(self, weights: Tensor, certificate: Certificate, lambda_: float, tick: Tick) -> Sharp:
        """Step until gap and weights are within their tolerances, or no step helps any more.

        Args:
            weights: Weights (C, p) near the optimum.
            certificate: Theirs.
            lambda_: Strength.
            tick: Called before every evaluation of the examples.

        Returns:
            The best point found; its ``nearness`` is None where nothing was proved.
        """
        place, steps, slow, nearness = Place(weights, certificate, lambda_), 0, False, None
        while steps < _ROUNDS:
            terms, nearness = Terms(self._problem, place), None
            near = terms.near(_MARGIN)
            model = self._model
            if model is None or slow or self._far(model, place):
                self._model = model = self._made(place, terms)
            elif not model.covers(near):
                self._model = model = self._grown(model, near)
            if model is None:
                break
            if place.certificate.gap <= min(self._tol, _READY):
                nearness = model.nearness(place, terms)
                if not model.sound:
                    break
                if nearness is not None and nearness.bound <= SHARE * float(place.weights.abs().max()):
                    break
            tick()
            trial = self._improved(model, place, terms)
            steps += 1
            if trial is None:
                if model.drift(place) == 0.0:
                    nearness = model.nearness(place, terms)
                    break
                slow = True
                continue
            slow = trial.certificate.gap > max(_CONTRACTED * place.certificate.gap, self._tol)
            place = trial
        return Sharp(place.weights, place.certificate, nearness, steps)

    def _made(self, place: Place, terms: Terms) -> LocalModel | None:
        """A model at a place, also of entries that may soon be nonzero; None if it is too large."""
        for share in (_AHEAD, _MARGIN) if self._constant is None else (_MARGIN,):
            mask = terms.near(share)
            if self._fits(mask):
                return LocalModel.at(self._problem, place, mask, self._known(mask))
        return None

    def _known(self, mask: Tensor) -> Tensor | None:
        """The Hessian over some entries, where it is known beforehand."""
        if self._constant is None:
            return None
        owner, feature = mask.nonzero(as_tuple=True)
        return self._constant[feature[:, None], feature] * (owner[:, None] == owner)

    def _grown(self, model: LocalModel, near: Tensor) -> LocalModel | None:
        """A model with more entries; None if it is too large."""
        return model.with_entries(near) if self._fits(model.mask | near) else None

    def _far(self, model: LocalModel, place: Place) -> bool:
        if self._constant is not None:
            return model.lambda_ != place.lambda_
        work = float(model.mask.sum()) ** 2 * self._problem.loss.n_local
        return model.drift(place) > _DRIFT[work > _SMALL]

    def _fits(self, mask: Tensor) -> bool:
        size = float(mask.sum())
        return size <= _MOST and size * size * self._problem.loss.n_local <= self._most

    def _improved(self, model: LocalModel, place: Place, terms: Terms) -> Place | None:
        """The place after a step, or part of one, that lowers objective or gap; None without such."""
        target, change = model.step(terms)
        here = place.certificate
        for size in (1.0, 0.5, 0.125):
            weights = target if size == 1.0 else place.weights + size * (target - place.weights)
            start = here.intercept + size * change
            found = certify(
                self._problem, weights, start, place.lambda_, self._tol, search=False, optimise=False
            )
            if found.gap < here.gap or found.primal < here.primal:
                return Place(weights, found, place.lambda_)
        return None

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state from which another one repeats this one bit by bit."""
        model = self._model
        if model is None or self._constant is not None:
            return {}
        return {
            "exact_mask": model.mask.numpy(),
            "exact_logits": model.logits.numpy(),
            "exact_response": model.response.numpy(),
            "exact_lambda": np.array([model.lambda_]),
            "exact_hessian": model.hessian.numpy(),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        self._model = None
        if "exact_mask" in state and self._constant is None:
            names = ("mask", "logits", "response", "hessian")
            # Copies in memory of torch's own: products may round by how their operands are aligned.
            mask, logits, response, hessian = (
                torch.from_numpy(np.ascontiguousarray(state[f"exact_{name}"])).clone() for name in names
            )
            lambda_ = float(state["exact_lambda"][0])
            self._model = LocalModel(self._problem, mask, logits, response, lambda_, hessian)
