"""Squared error has one Gram matrix for the whole path: coordinate descent on it, and certificates from it.

The loss of a gaussian fit depends on the rows through ``[X y]' diag(s) [X y]`` only. That matrix is computed
once, in float64, about the weighted means; after that no step looks at the rows. A square root of it, turned
so that its rows sum to zero, is a problem of p + m + 1 examples with the same objective, gradient and duality
gap at every point, and that is what :func:`certify` is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import helmert
from torch import Tensor

from sparse_debug_widgets.sparse.problem.certificate import Certificate, certify
from sparse_debug_widgets.sparse.problem.losses import Gaussian
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.solvers.sharpen import Sharp, Sharpener, can_sharpen, exact_hessians, secant
from sparse_debug_widgets.sparse.solvers.solver import RunSettings, Solution, State, Tick
from sparse_debug_widgets.sparse.solvers.working_set.faces import Quadratic
from sparse_debug_widgets.sparse.solvers.working_set.kernels import exact_descent

Float64 = npt.NDArray[np.float64]

_MOST_FEATURES = 4096
"""Features up to which their Gram matrix is worth its time and memory."""
_MATRICES = 7
"""Matrices of the Gram matrix's size that there are at once."""
_PART = 4096
_BAND = 128
_SWEEPS = 50
_FINER = 0.1
_ROUNDS = 14


def suits(problem: Problem, settings: RunSettings) -> bool:
    """Say whether a problem is solved here: one that :func:`from_gram`, to a gap."""
    return from_gram(problem) and settings.stopping == "duality_gap"


def from_gram(problem: Problem) -> bool:
    """Say whether a problem's Gram matrix is worth making: gaussian; many rows, or few that are at hand."""
    design, loss = problem.design, problem.loss
    small = design.p <= _MOST_FEATURES and (_tall(problem) or exact_hessians(problem))
    held = _MATRICES * (design.p + loss.n_outputs) ** 2
    return isinstance(loss, Gaussian) and small and not problem.penalty.grouped and design.affords(held)


def _tall(problem: Problem) -> bool:
    """Say whether there are many more rows than features."""
    return problem.design.n > 2 * (problem.design.p + problem.loss.n_outputs)


class SquaredErrorRun:
    """A path of a gaussian problem from its Gram matrix; a :class:`SolverRun`.

    Args:
        problem: A problem that :func:`suits`.
        settings: Tolerance and budget.
    """

    def __init__(self, problem: Problem, settings: RunSettings) -> None:
        self._problem = problem
        self._settings = settings
        moments, self._mean = _moments(problem)
        p = problem.design.p
        self._gram = np.ascontiguousarray(moments[:p, :p])
        self._start = -np.ascontiguousarray(moments[p:, :p])
        self._tall = _tall(problem)
        self._small = _equivalent(problem, moments) if self._tall else problem
        # With few rows features are nearly collinear, and coordinate descent crawls.
        sharp = can_sharpen(self._small, settings.tol) or (exact_hessians(self._small) and not self._tall)
        self._sharpener = Sharpener(self._small, settings.tol, self._hessian()) if sharp else None
        self._older: Float64 | None = None
        self._factors = np.ones(p)
        if problem.penalty.factors is not None:
            self._factors = problem.penalty.factors.cpu().numpy().astype(np.float64)
        self._weights = np.zeros((problem.loss.n_outputs, p))
        self._known = False

    def adopt(self, solution: Solution) -> None:
        """Take over a solution at a larger strength."""
        self._older, self._known = (self._weights if self._known else None), True
        self._weights = np.array(solution.weights.cpu().numpy(), np.float64)

    def solve(self, index: int, lambda_: float, tick: Tick) -> Solution:
        """Solve one strength, starting from the weights of the last."""
        tol, weights = self._settings.tol, self._weights.copy()
        if self._sharpener is not None:
            sharp = self._sharp(self._sharpener, lambda_, tick)
            if sharp.certificate.gap <= tol:
                return self._ended(sharp.solution(lambda_))
        gradient = self._start + weights @ self._gram
        penalty, sweeps = self._problem.penalty, 0
        l1, l2 = penalty.l1(lambda_) * self._factors, penalty.l2(lambda_) * self._factors
        inner = 1e-2 * tol * self._problem.null_objective / len(self._factors)
        reason = "stalled"
        for _ in range(_ROUNDS):
            used, descend = _SWEEPS, exact_descent()
            # A part at a time, so that a cancel is heard.
            while used == _SWEEPS and sweeps < self._settings.max_epochs:
                tick()
                used = max(
                    descend(self._gram, slope, point, l1, l2, 1.0, inner, _SWEEPS)
                    for slope, point in zip(gradient, weights, strict=True)
                )
                sweeps += used
            certificate = self._certify(weights, lambda_)
            if certificate.gap <= tol:
                reason = "gap"
                break
            if sweeps >= self._settings.max_epochs:
                reason = "max_epochs"
                break
            inner *= _FINER
            gradient = self._start + weights @ self._gram
        return self._ended(Solution(lambda_, torch.from_numpy(weights), certificate, sweeps, reason))

    def _sharp(self, sharpener: Sharpener, lambda_: float, tick: Tick) -> Sharp:
        """The optimum from the right set of nonzero entries, with its proof; or what exact steps find."""
        newest, older = _with_intercept(self._weights), None
        if self._older is not None:
            older = _with_intercept(self._older)
        exact, exchanges = self._minimum(secant(newest, older)[:, 1:], lambda_, tick)
        if exact is not None:
            found = self._certify(exact.numpy(), lambda_)
            if found.gap <= self._settings.tol:
                sharp = sharpener.sharpen(exact, found, lambda_, tick)
                return replace(sharp, steps=sharp.steps + exchanges)
        return sharpener.ahead(newest, older, lambda_, tick)

    def _minimum(self, start: Tensor, lambda_: float, tick: Tick) -> tuple[Tensor | None, int]:
        """The optimal weights (m, p) by exchanges of entries, None where these do not end there.

        The exchanges of the output that takes the most come with them.
        """
        penalty, factors = self._problem.penalty, torch.from_numpy(self._factors)
        l1, l2 = penalty.l1(lambda_) * factors, penalty.l2(lambda_) * factors
        gram, rows, most = torch.from_numpy(self._gram), [], 0
        for linear, row in zip(torch.from_numpy(self._start), start, strict=True):
            tick()
            quadratic = Quadratic(gram, linear, l1, l2)
            found = quadratic.minimum(row)
            most = max(most, quadratic.solved)
            if found is None:
                return None, most
            rows.append(found)
        return torch.stack(rows), most

    def _hessian(self) -> Tensor:
        """The Hessian (p + 1, p + 1) of each output's loss in the problem that is certified."""
        loss, p = self._small.loss, len(self._gram)
        shares = 1.0 if loss.weights is not None else loss.n_local / loss.n
        mean = np.zeros(p) if self._tall else self._mean[:p]
        bordered = np.empty((p + 1, p + 1))
        bordered[0, 0] = shares
        bordered[0, 1:] = bordered[1:, 0] = mean
        bordered[1:, 1:] = self._gram + np.outer(mean, mean)
        return torch.from_numpy(bordered)

    def _ended(self, solution: Solution) -> Solution:
        """Take over a solution; its certificate is made that of the problem's own rows."""
        self.adopt(solution)
        return replace(solution, certificate=self._whole(solution.certificate))

    def state(self) -> State:
        """See :class:`SolverRun`."""
        state = {"weights": self._weights, "known": np.array([self._known])}
        if self._older is not None:
            state["older_weights"] = self._older
        return state | ({} if self._sharpener is None else self._sharpener.state())

    def restore(self, saved: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """See :class:`SolverRun`."""
        self._weights = np.array(saved["weights"], np.float64)
        self._known = bool(saved["known"][0]) if "known" in saved else True
        self._older = np.array(saved["older_weights"], np.float64) if "older_weights" in saved else None
        if self._sharpener is not None:
            self._sharpener.restore(saved)

    def _certify(self, weights: Float64, lambda_: float) -> Certificate:
        point = torch.from_numpy(weights)
        p = len(self._gram)
        optimal = np.zeros(len(weights)) if self._tall else self._mean[p:] - weights @ self._mean[:p]
        return certify(self._small, point, torch.from_numpy(optimal), lambda_, self._settings.tol)

    def _whole(self, certificate: Certificate) -> Certificate:
        """The same certificate with the intercept and the predictions of the problem's own rows."""
        if not self._tall:
            return certificate
        design, p = self._problem.design, self._problem.design.p
        weights = torch.from_numpy(self._weights)
        intercept = torch.from_numpy(self._mean[p:] - self._weights @ self._mean[:p]) + certificate.intercept
        logits = design.quick_logits(weights.to(design.device)) + intercept.to(design.device)[:, None]
        return replace(
            certificate,
            intercept=intercept.to(design.device),
            logits=logits,
            response=logits,
            gradient=certificate.gradient.to(design.device),
        )


def _with_intercept(weights: Float64) -> torch.Tensor:
    """Weights (m, p) as (m, p + 1), the intercept first."""
    return torch.from_numpy(np.pad(weights, ((0, 0), (1, 0))))


def begin(problem: Problem, settings: RunSettings, history: Sequence[Solution]) -> SquaredErrorRun:
    """A run that goes on from up to two solutions."""
    run = SquaredErrorRun(problem, settings)
    for solution in history[-2:]:
        run.adopt(solution)
    return run


def _moments(problem: Problem) -> tuple[Float64, Float64]:
    """Weighted covariances (p + m, p + m) of features and targets, and their means (p + m,), in float64."""
    design, loss = problem.design, problem.loss
    assert isinstance(loss, Gaussian)  # noqa: S101 - for the type checker
    size = design.p + loss.n_outputs
    sums = torch.zeros(size, size + 1, dtype=torch.float64, device=design.device)
    for part, values in design.parts(torch.arange(design.p, device=design.device), beside=2 * size):
        for low in range(0, values.shape[1], _PART):
            piece = slice(low, low + _PART)
            place = slice(part.start + low, min(part.start + low + _PART, part.stop))
            rows = torch.cat([values[:, piece].double(), loss.targets[:, place]])
            weighted = rows if loss.weights is None else rows * loss.weights[place]
            for top in range(0, size, _BAND):
                # The symmetric half below the diagonal, band by band.
                band = slice(top, min(top + _BAND, size))
                sums[top:size, band].addmm_(weighted[top:], rows[band].T)
            sums[:, size] += weighted.sum(1)
    square = sums[:, :size].tril()
    sums[:, :size] = square + square.tril(-1).T
    sums = design.total(sums) / design.n
    mean = sums[:, size]
    moments = sums[:, :size] - torch.outer(mean, mean)
    return moments.cpu().numpy(), mean.cpu().numpy()


def _equivalent(problem: Problem, moments: Float64) -> Problem:
    """The problem of few rows, summing to zero, whose covariances are the moments."""
    p = problem.design.p
    try:
        root = np.linalg.cholesky(moments * problem.design.n)
    except np.linalg.LinAlgError:  # collinear features: the slower way
        values, vectors = np.linalg.eigh(moments)
        root = vectors * np.sqrt(np.maximum(values, 0.0) * problem.design.n)
    # Rotating rows changes no inner product; Helmert's rows are orthogonal to the vector of ones.
    turned = root @ helmert(len(root) + 1)
    rows = torch.from_numpy(np.ascontiguousarray(turned))
    penalty = problem.penalty
    if penalty.factors is not None:
        penalty = replace(penalty, factors=penalty.factors.cpu())
    n = problem.design.n
    return Problem(DesignMatrix(rows[:p].contiguous(), n), Gaussian(rows[p:].contiguous(), n=n), penalty)
