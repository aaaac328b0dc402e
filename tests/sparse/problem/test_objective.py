"""Objective, losses, conjugates and penalty against the naive twin and against their definitions."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.sparse.problem.losses import Multinomial
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet
from tests.reference import elastic_net as twin
from tests.sparse.problems import FAMILIES, make, problem, standardise


def _weighted(family, seed=0):
    X, y = make(seed, family=family)
    weights = np.random.default_rng(seed).uniform(0.0, 2.0, len(X))
    Z = standardise(X, weights)
    return Z, y, weights, problem(Z, y, family, 0.7, weights)


@pytest.mark.parametrize("family", FAMILIES)
def test_objective_and_gradient_equal_the_naive_twin(family):
    Z, y, weights, ours = _weighted(family)
    rng = np.random.default_rng(1)
    W, b = rng.normal(size=(ours.loss.n_outputs, Z.shape[1])), rng.normal(size=ours.loss.n_outputs)
    W[:, ::2] = 0
    value = ours.objective(torch.as_tensor(W), torch.as_tensor(b), 0.1)
    assert value == pytest.approx(twin.objective(Z, y, W, b, 0.1, 0.7, family, weights), rel=1e-13)
    logits = ours.design.logits(torch.as_tensor(W)) + torch.as_tensor(b)[:, None]
    gradient = ours.design.gradient(ours.loss.weigh(ours.loss.residuals(logits)))
    expected = twin.smooth_part(Z, y, W, b, family, weights)[1]
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-13)


@pytest.mark.parametrize("family", FAMILIES)
def test_null_intercept_is_optimal_without_features(family):
    Z, y, weights, ours = _weighted(family)
    zero = np.zeros((ours.loss.n_outputs, Z.shape[1]))
    _, _, slope = twin.smooth_part(Z, y, zero, ours.null_intercept.numpy(), family, weights)
    np.testing.assert_allclose(slope, 0, atol=1e-13)


@pytest.mark.parametrize("family", FAMILIES)
def test_intercept_optimisation_from_a_far_start(family):
    Z, y, weights, ours = _weighted(family)
    W = torch.as_tensor(np.random.default_rng(2).normal(size=(ours.loss.n_outputs, Z.shape[1])) * 5)
    start = torch.linspace(-30, 30, ours.loss.n_outputs, dtype=torch.float64) + 7
    b = ours.loss.optimise_intercept(ours.design.logits(W), start)
    _, _, slope = twin.smooth_part(Z, y, W.numpy(), b.numpy(), family, weights)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_conjugates_satisfy_fenchel_young(family):
    """<v, z> - loss(z) <= conjugate(v) for every z, with equality where v is the gradient at z."""
    _, _, _, ours = _weighted(family)
    loss = ours.loss
    rng = np.random.default_rng(3)
    z = torch.as_tensor(rng.normal(size=(loss.n_outputs, loss.n)) * 3)
    v = loss.residuals(z)
    equality = (v * z).sum(0) - loss.losses(z) + loss.conjugates(v, 1.0)
    if family == "gaussian":
        # Conjugates are of centred targets, which is the same in every feasible sum.
        equality = equality - (v * loss.average(loss.targets)[:, None]).sum(0)
    np.testing.assert_allclose(equality.numpy(), 0, atol=1e-12)
    for scale in (0.0, 0.3, 0.9):
        other = torch.as_tensor(rng.normal(size=z.shape) * 3)
        excess = (scale * v * other).sum(0) - loss.losses(other) + loss.conjugates(v, scale)
        if family == "gaussian":
            excess = excess - (scale * v * loss.average(loss.targets)[:, None]).sum(0)
        assert float(excess.max()) <= 1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_curvature_bounds_every_example(family):
    _, _, _, ours = _weighted(family)
    loss = ours.loss
    rng = np.random.default_rng(4)
    response = loss.mean_response(torch.as_tensor(rng.normal(size=(loss.n_outputs, loss.n)) * 4))
    direction = torch.as_tensor(rng.normal(size=response.shape))
    quadratic = (direction * loss.hessian_product(response, direction)).sum(0)
    assert bool((quadratic <= loss.curvature * direction.square().sum(0) + 1e-12).all())
    assert bool((quadratic >= -1e-12).all())


def test_hessian_product_equals_autograd():
    _, _, _, ours = _weighted("multinomial")
    loss = ours.loss
    z = torch.randn(loss.n_outputs, loss.n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    d = torch.ones_like(z) * torch.arange(loss.n_outputs)[:, None]
    z.requires_grad_()
    slope = torch.autograd.grad(loss.losses(z).sum(), z, create_graph=True)[0]
    expected = torch.autograd.grad((slope * d).sum(), z)[0]
    torch.testing.assert_close(loss.hessian_product(loss.mean_response(z.detach()), d), expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sure", [1.0, 40.0])
def test_the_intercept_hessian_of_many_classes(weighted, sure):
    """Most of its products are float32; autograd has it in float64. Sure predictions leave little of it."""
    classes, n = 70, 15_000
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1 if weighted else None
    if weights is not None:
        weights *= n / weights.sum()
    logits = sure * torch.randn(classes, n, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (n,), generator=generator)
    loss = Multinomial(labels, classes, weights)
    found = loss.intercept_hessian(logits.softmax(0))
    share = torch.ones(n, dtype=torch.float64) if weights is None else weights

    def mean(intercept):
        return (share * (logits + intercept[:, None]).logsumexp(0)).sum() / n

    exact = torch.autograd.functional.hessian(mean, torch.zeros(classes, dtype=torch.float64))
    # It is definite along the shift of all intercepts, which changes nothing.
    flat = exact.new_full((classes, classes), 1.0 / classes)
    assert (found - exact - flat * (found.sum() - exact.sum()) / classes).abs().max() < 1e-7 * exact.max()
    slope = torch.randn(classes, generator=generator, dtype=torch.float64)
    slope -= slope.mean()
    step = torch.linalg.solve(found, slope)
    torch.testing.assert_close(exact @ step, slope, rtol=0, atol=1e-4 * float(slope.abs().max()))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_prox_minimises_its_definition(alpha):
    penalty = ElasticNet(alpha)
    points = torch.linspace(-2, 2, 41, dtype=torch.float64)[None]
    step, lambda_ = 0.7, 0.9
    best = penalty.prox(points, step, lambda_)

    def value(w):
        quadratic = 0.5 * (w - points) ** 2
        return quadratic + step * lambda_ * ((1 - alpha) / 2 * w**2 + alpha * w.abs())

    for shift in (-1e-3, 1e-3):
        assert bool((value(best) <= value(best + shift)).all())
    small = points.abs() <= step * lambda_ * alpha
    assert bool((best[small] == 0).all())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99])
def test_penalty_conjugate_is_the_maximum_of_its_definition(alpha):
    penalty = ElasticNet(alpha)
    slope = torch.tensor([[0.3, -2.0, 0.9]], dtype=torch.float64)
    lambda_ = 0.8
    grid = torch.linspace(-60, 60, 240001, dtype=torch.float64)
    values = lambda_ * ((1 - alpha) / 2 * grid**2 + alpha * grid.abs())
    expected = sum(float((0.6 * s * grid - values).max()) for s in slope[0])
    if alpha == 0.99:
        slope, expected = slope * 0.1, 0.0
    assert penalty.conjugate(slope, 0.6, lambda_) == pytest.approx(expected, abs=1e-6)


def test_lasso_conjugate_is_an_indicator():
    penalty = ElasticNet(1.0)
    slope = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    assert penalty.conjugate(slope, penalty.feasible_scale(slope, 0.5), 0.5) == 0.0
    assert penalty.conjugate(slope, 0.9, 0.5) == float("inf")


def test_ridge_has_a_finite_lambda_max():
    X, y = make(0)
    ours = problem(standardise(X), y, alpha=0.0)
    assert np.isfinite(ours.lambda_max)
    assert ours.lambda_max == pytest.approx(float(ours.null_gradient.abs().max()) / 1e-3)


def test_float32_storage_gives_float64_answers():
    X, y = make(0)
    Z = standardise(X).astype(np.float32)
    narrow, wide = problem(Z, y), problem(Z.astype(np.float64), y)
    W = torch.randn(3, Z.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(narrow.design.logits(W), wide.design.logits(W), rtol=1e-14, atol=1e-14)
    R = torch.randn(3, len(Z), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(narrow.design.gradient(R), wide.design.gradient(R), rtol=1e-13, atol=1e-14)
