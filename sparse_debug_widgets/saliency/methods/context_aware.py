"""CAFO and CASO: saliency of groups of features, to first and to second order, and their smooth versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import refuse
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.params import Range
from sparse_debug_widgets.core.prox import soft_threshold
from sparse_debug_widgets.saliency.curvature.hessian import (
    FEW_CLASSES,
    Copies,
    HessianKind,
    Quadratic,
    hessian_at,
)
from sparse_debug_widgets.saliency.curvature.krylov import SecondOrder, solve_second_order
from sparse_debug_widgets.saliency.curvature.lambda1 import (
    automatic,
    quantile_lambda1,
    sup_norm,
    surrogate_loss,
    zero_share,
)
from sparse_debug_widgets.saliency.curvature.proximal import Sparse, apply_many, backtracking, fista
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps
from sparse_debug_widgets.saliency.methods.smoothgrad import SigmaUnits, noisy_points
from sparse_debug_widgets.saliency.probe.probe import Probe, noise

Lambda1 = Annotated[float, Range(0)] | Literal["auto"]
Units = Literal["absolute", "relative"]
Solver = Literal["fista", "backtracking"]
# Products with a low-rank factor are nearly free, and a sweep needs hundreds: worth more classes.
_MANY_CLASSES = 64


class NotConvergedWarning(UserWarning):
    """A second-order map that has not reached its tolerance; the details say by how much."""


@dataclass(frozen=True)
class Maximisation:
    """One example's maximisation, ready to be solved for any lambda_1.

    Attributes:
        gradient: (B, d) of the loss.
        solve: lambda_1 (K, B) -> solutions.
        surrogate: Solutions (K, B, d) -> loss without penalties (K, B).
        details: What is known beforehand, per example.
    """

    gradient: Tensor
    solve: Callable[[Tensor], Sparse]
    surrogate: Callable[[Tensor], Tensor]
    details: dict[str, Any]


class SolverSettings(NamedTuple):
    """The settings of CASO's solver; see :func:`caso`."""

    c1: float = 10.0
    hessian: HessianKind = "auto"
    solver: Solver = "fista"
    rtol: float = 1e-4
    tol: float = 1e-6
    max_steps: int = 500
    few_classes: int = FEW_CLASSES


def cafo(
    probe: Probe,
    *,
    lambda1: Lambda1 = 0.0,
    lambda1_units: Units = "absolute",
    sparsity: Annotated[float, Range(0, 1)] | None = None,
    lambda2: Annotated[float, Range(0, open_low=True)] = 10.0,
) -> FoundMaps:
    """Context-aware first-order map (Definition 2), in closed form: soft(g, lambda_1) / (2 lambda_2).

    g is the gradient of the cross-entropy. The map is minus this solution, which points where the loss rises:
    its positive values speak for the class, as those of every method. (Section 3.3 of the paper prints
    g / lambda_2; its appendix A.5 has the right factor.)

    Args:
        probe: The live model and its inputs.
        lambda1: Strength of the l1 penalty; all is zero from ||g||_inf on. "auto": the paper's unsupervised
            choice, per example.
        lambda1_units: ``"relative"``: lambda1 is a share of ||g||_inf.
        sparsity: Wanted share of zero pixels, instead of lambda1: exactly, by a quantile of |g|.
        lambda2: Strength of the l2 penalty; it only scales the map.
    """
    probe.begin(probe.batch, "CAFO")
    return _solved(probe, first_order(probe.gradient("loss"), lambda2), lambda1, lambda1_units, sparsity)


def caso(
    probe: Probe,
    *,
    lambda1: Lambda1 = 0.0,
    lambda1_units: Units = "absolute",
    c1: Annotated[float, Range(0, open_low=True)] = 10.0,
    hessian: HessianKind = "auto",
    solver: Solver = "fista",
    rtol: Annotated[float, Range(1e-12, 0.5, log=True)] = 1e-4,
    tol: Annotated[float, Range(1e-12, 0.5, log=True)] = 1e-6,
) -> FoundMaps:
    """Context-aware second-order map (Definition 3): the loss with its curvature.

    lambda_2 = max(L, 0) / 2 + c1 with the largest eigenvalue L of the Hessian. With lambda_1 = 0 the map is
    ``-(2 lambda_2 I - H)^-1 g``, the negative of the paper's, so that positive values speak for the class.
    Networks that are not piecewise linear get their true Hessian; the details
    name the operations that are not (``curved_operations``).

    Args:
        probe: The live model and its inputs.
        lambda1: Strength of the l1 penalty; all is zero from ||g||_inf on. "auto": the paper's unsupervised
            choice, per example.
        lambda1_units: ``"relative"``: lambda1 is a share of ||g||_inf.
        c1: Margin of lambda_2 above L / 2.
        hessian: How products with it are made; "auto" chooses by classes and operations.
        solver: For lambda_1 > 0: FISTA with the step 1 / (2 lambda_2), or the paper's 10 steps with
            backtracking.
        rtol: Relative error at lambda_1 = 0, estimated from residuals.
        tol: Violation of the optimality conditions at lambda_1 > 0, in units of ||g||_inf.
    """
    probe.begin(0, "CASO")
    settings = SolverSettings(c1, hessian, solver, rtol, tol)
    problem = second_order(probe, None, settings)
    return _solved(probe, problem, lambda1, lambda1_units, None)


def smooth_cafo(
    probe: Probe,
    *,
    n_samples: Annotated[int, Range(1, 500)] = 50,
    sigma: Annotated[float, Range(0, 10)] = 0.15,
    sigma_units: SigmaUnits = "range",
    lambda1: Lambda1 = 0.0,
    lambda1_units: Units = "absolute",
    sparsity: Annotated[float, Range(0, 1)] | None = None,
    lambda2: Annotated[float, Range(0, open_low=True)] = 10.0,
) -> FoundMaps:
    """CAFO with the gradient averaged over noisy copies (Definition 4), one fixed label.

    Args:
        probe: The live model and its inputs.
        n_samples: Noisy copies.
        sigma: Standard deviation of the noise.
        sigma_units: In units of each example's range (max - min), or of the input itself.
        lambda1: Strength of the l1 penalty, or "auto".
        lambda1_units: ``"relative"``: lambda1 is a share of ||g||_inf.
        sparsity: Wanted share of zero pixels, instead of lambda1.
        lambda2: Strength of the l2 penalty; it only scales the map.
    """
    probe.begin((n_samples + 1) * probe.batch, "smooth CAFO")
    _ = probe.target
    points = noisy_points(probe, sigma, sigma_units)
    gradient = probe.sum_gradients(n_samples, points, [1 / n_samples] * n_samples, "loss")
    return _solved(probe, first_order(gradient, lambda2), lambda1, lambda1_units, sparsity)


def smooth_caso(
    probe: Probe,
    *,
    n_samples: Annotated[int, Range(1, 500)] = 50,
    sigma: Annotated[float, Range(0, 10)] = 0.15,
    sigma_units: SigmaUnits = "range",
    lambda1: Lambda1 = 0.0,
    lambda1_units: Units = "absolute",
    c1: Annotated[float, Range(0, open_low=True)] = 10.0,
    hessian: HessianKind = "auto",
) -> FoundMaps:
    """CASO with gradient and Hessian averaged over noisy copies (Definition 4), one fixed label.

    The sum of equation 8 must cover the Hessian term too.

    Args:
        probe: The live model and its inputs.
        n_samples: Noisy copies.
        sigma: Standard deviation of the noise.
        sigma_units: In units of each example's range (max - min), or of the input itself.
        lambda1: Strength of the l1 penalty, or "auto".
        lambda1_units: ``"relative"``: lambda1 is a share of ||g||_inf.
        c1: Margin of lambda_2 above L / 2.
        hessian: How products with it are made; "auto" chooses by classes and operations.
    """
    probe.begin(0, "smooth CASO")
    copies = Copies(n_samples, noisy_points(probe, sigma, sigma_units))
    problem = second_order(probe, copies, SolverSettings(c1, hessian))
    return _solved(probe, problem, lambda1, lambda1_units, None)


def first_order(gradient: Tensor, lambda2: float) -> Maximisation:
    """CAFO's maximisation from a gradient (B, ...)."""
    g = gradient.flatten(1)

    def solve(lambda1: Tensor) -> Sparse:
        delta = soft_threshold(g.expand(len(lambda1), *g.shape), lambda1[:, :, None]) / (2 * lambda2)
        zeros = torch.zeros(lambda1.shape, dtype=torch.float64).numpy()
        return Sparse(delta, zeros.astype("float64"), zeros.astype("int64"))

    details = {"lambda2": (lambda2,) * len(g)}
    return Maximisation(g, solve, lambda deltas: surrogate_loss(g, deltas, None), details)


def second_order(probe: Probe, copies: Copies | None, settings: SolverSettings) -> Maximisation:
    """CASO's maximisation: gradient, products with the Hessian, lambda_2."""
    quadratic = hessian_at(probe, copies, kind=settings.hessian, few_classes=settings.few_classes)
    second = solve_second_order(
        quadratic.hessian,
        quadratic.gradient,
        c1=settings.c1,
        rtol=settings.rtol,
        max_steps=settings.max_steps,
        noise=noise(probe, 0).flatten().to(quadratic.gradient).expand_as(quadratic.gradient),
    )

    def solve(lambda1: Tensor) -> Sparse:
        return _solve_second(quadratic, second, lambda1, settings)

    def surrogate(deltas: Tensor) -> Tensor:
        everyone = torch.ones(deltas.shape[:2], dtype=torch.bool, device=deltas.device)
        return surrogate_loss(quadratic.gradient, deltas, apply_many(quadratic.hessian, deltas, everyone))

    details = {
        "lambda2": tuple((second.twice_lambda2 / 2).tolist()),
        "largest_eigenvalue": tuple(second.largest.tolist()),
        "relative_error": tuple(second.error.tolist()),
        "products": tuple(second.steps.tolist()),
        "hessian": quadratic.kind,
        "curved_operations": quadratic.curved,
    }
    if (second.error > settings.rtol).any():
        worst = float(second.error.max())
        msg = f"CASO stopped after {settings.max_steps} products at a relative error of {worst:.1e}."
        notice(msg, NotConvergedWarning)
    return Maximisation(quadratic.gradient, solve, surrogate, details)


def first_order_problem(probe: Probe, copies: Copies | None, c1: float, tol: float) -> Maximisation:
    """CAFO's maximisation for a sweep: lambda_2 is ``c1``, and its closed form needs no tolerance."""
    del tol
    if copies is None:
        return first_order(probe.gradient("loss"), c1)
    weights = [1 / copies.n] * copies.n
    return first_order(probe.sum_gradients(copies.n, copies.point, weights, "loss"), c1)


def second_order_problem(probe: Probe, copies: Copies | None, c1: float, tol: float) -> Maximisation:
    """CASO's maximisation for a sweep."""
    many = FEW_CLASSES if copies else _MANY_CLASSES
    return second_order(probe, copies, SolverSettings(c1, tol=tol, few_classes=many))


def _solve_second(
    quadratic: Quadratic, second: SecondOrder, lambda1: Tensor, settings: SolverSettings
) -> Sparse:
    if settings.solver == "backtracking":
        return backtracking(quadratic, second, lambda1)
    if bool((lambda1 == 0).all()):
        delta = second.delta.expand(len(lambda1), *second.delta.shape)
        zeros = torch.zeros(lambda1.shape, dtype=torch.float64).numpy()
        return Sparse(delta, zeros.astype("float64"), zeros.astype("int64"))
    found = fista(quadratic, second, lambda1, tol=settings.tol, max_steps=settings.max_steps)
    if (found.violation > settings.tol).any():
        worst = float(found.violation.max())
        msg = f"CASO stopped after {settings.max_steps} steps with its conditions violated by {worst:.1e}."
        notice(msg, NotConvergedWarning)
    return found


def _solved(
    probe: Probe, problem: Maximisation, lambda1: float | str, units: Units, sparsity: float | None
) -> FoundMaps:
    """Solve for one lambda_1 per example, and say which it was."""
    sup = sup_norm(problem.gradient)
    shape = probe.points.shape
    if sparsity is not None:
        if lambda1 != 0.0:
            refuse(
                f"sparsity= finds lambda1 by itself, and lambda1={lambda1!r} is given too: leave one of "
                "them out."
            )
        strength = quantile_lambda1(problem.gradient, sparsity, shape)
    elif isinstance(lambda1, str):
        strength = automatic(lambda lams: problem.solve(lams).delta, problem.surrogate, sup, shape)
    else:
        strength = sup * lambda1 if units == "relative" else torch.full_like(sup, lambda1)
    found = problem.solve(strength[None])
    details = {
        **problem.details,
        "lambda1": tuple(strength.double().tolist()),
        "lambda1_of_zero": tuple(sup.double().tolist()),
        "sparsity": tuple(zero_share(found.delta, shape)[0].double().tolist()),
        "violation": tuple(found.violation[0].tolist()),
        "steps": tuple(found.steps[0].tolist()),
    }
    # Delta points where the loss rises; a map points where evidence for the class grows.
    return FoundMaps(-found.delta[0].view(shape), details)
