"""The duality gap is never below the true suboptimality, wherever it is taken."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.sparse.problem.certificate import certify
from tests.reference import elastic_net as twin
from tests.sparse.problems import FAMILIES, make, problem, problems, standardise

ROUNDING = 1e-9


@given(problems(), st.sampled_from([0.8, 0.3, 0.03, 0.003]), st.sampled_from([0.0, 1e-3, 0.1, 2.0]))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_gap_bounds_suboptimality_near_and_far_from_the_optimum(drawn, share, noise):
    family, alpha, Z, y, weights = drawn
    outputs = int(y.max()) + 1 if family == "multinomial" else None
    ours = problem(Z, y, family, alpha, weights, outputs)
    lambda_ = share * ours.lambda_max
    if alpha == 0.0:
        lambda_ = share * float(ours.null_gradient.abs().max())
    W, b, best = twin.solve(Z, y, lambda_, alpha, family, weights, outputs)
    rng = np.random.default_rng(0)
    point = W + noise * rng.normal(size=W.shape) * (rng.random(W.shape) < 0.5)
    found = certify(ours, torch.as_tensor(point), torch.as_tensor(b), lambda_)
    value = twin.objective(Z, y, point, found.intercept.numpy(), lambda_, alpha, family, weights)
    assert found.primal == pytest.approx(value, rel=1e-11)
    suboptimality = (value - best) / min(value, ours.null_objective)
    assert found.gap >= suboptimality - ROUNDING
    # Without the search for a better scale the bound is weaker, never wrong.
    hasty = certify(ours, torch.as_tensor(point), torch.as_tensor(b), lambda_, search=False)
    assert hasty.gap >= found.gap - ROUNDING
    assert found.dual <= best + ROUNDING * max(1.0, best)
    if noise == 0.0 and alpha < 1.0:
        # At the optimum the bound is tight, up to how well L-BFGS-B found it.
        assert found.gap < 1e-2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [0.5, 0.99, 1.0])
def test_null_model_is_certified_exactly_at_lambda_max(family, alpha):
    X, y = make(3, family=family)
    ours = problem(standardise(X), y, family, alpha)
    zero = torch.zeros_like(ours.null_gradient)
    for factor in (1.0, 1.5):
        found = certify(ours, zero, ours.null_intercept, factor * ours.lambda_max)
        assert found.gap <= 1e-12
    below = certify(ours, zero, ours.null_intercept, 0.9 * ours.lambda_max)
    assert below.gap > 1e-6


def test_better_scale_beats_the_full_residuals_for_the_lasso():
    X, y = make(4)
    ours = problem(standardise(X), y, alpha=1.0)
    lambda_ = 0.5 * ours.lambda_max
    zero = torch.zeros_like(ours.null_gradient)
    # At scale 1 the null model's gradient is infeasible: the bound would be trivial without shrinking.
    assert ours.penalty.conjugate(ours.null_gradient, 1.0, lambda_) == float("inf")
    found = certify(ours, zero, ours.null_intercept, lambda_)
    assert 0 < found.dual < found.primal


def test_gap_is_relative_to_the_null_model_when_the_point_diverges():
    X, y = make(5)
    ours = problem(standardise(X), y)
    huge = torch.full_like(ours.null_gradient, 1e6) * torch.linspace(-1, 1, 3, dtype=torch.float64)[:, None]
    found = certify(ours, huge, ours.null_intercept, 1e-3)
    assert np.isfinite(found.gap)
    assert found.gap == pytest.approx((found.primal - found.dual) / ours.null_objective)
    assert found.gap > 1e3


def test_certificate_depends_on_the_weights_alone():
    X, y = make(6)
    ours = problem(standardise(X), y)
    W = torch.randn(3, X.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one = certify(ours, W, torch.zeros(3, dtype=torch.float64), 0.01)
    two = certify(ours, W, torch.tensor([5.0, -3.0, 40.0], dtype=torch.float64), 0.01)
    assert one.gap == pytest.approx(two.gap, rel=1e-9)
    torch.testing.assert_close(one.intercept, two.intercept)
