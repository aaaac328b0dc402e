"""SAGA: certified answers in every family, exact bookkeeping, its step, its stopping rules, its seed."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse import elastic_net_path
from sparse_debug_widgets.sparse.path.path import UncertifiedWarning
from sparse_debug_widgets.sparse.solvers.lipschitz import (
    LocalCurvature,
    expected_smoothness,
    gram_norm,
    row_norm,
)
from sparse_debug_widgets.sparse.solvers.saga import Saga, StepSizeWarning, _Inner
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from tests.reference import elastic_net as twin
from tests.sparse.problems import FAMILIES, make, problem, standardise


def _fit(X, y, family="multinomial", **options):
    chosen = {"n_lambdas": 8, "eps": 1e-2, "tol": 1e-7, "validation": 0.0, "solver": "saga"} | options
    return elastic_net_path(X, y, family=family, **chosen)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99, 1.0])
def test_every_lambda_matches_the_naive_twin(family, alpha):
    X, y = make(1, family=family)
    X = X.astype(np.float32)
    path = _fit(X, y, family, alpha=alpha)
    assert path.certified.all()
    Z = (X.astype(float) - path.mean) / path.scale
    for k in (2, 5, 7):
        value = twin.objective(
            Z, y, path.weights_at(k), path.intercepts_at(k), path.lambdas[k], alpha, family
        )
        best = twin.solve(Z, y, path.lambdas[k], alpha, family, n_outputs=len(path.class_names))[2]
        assert path.objectives[k] == pytest.approx(value, rel=1e-12)
        assert value <= best + 1e-6 * min(value, path.null_objective)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_equal_repeated_rows(family):
    X, y = make(2, n=50, family=family)
    counts = np.random.default_rng(0).integers(1, 4, len(X))
    weighted = _fit(X, y, family, sample_weight=counts.astype(float))
    repeated = _fit(np.repeat(X, counts, 0), np.repeat(y, counts, 0), family)
    np.testing.assert_allclose(weighted.lambdas, repeated.lambdas, rtol=1e-9)
    np.testing.assert_allclose(weighted.objectives, repeated.objectives, rtol=1e-6)
    for k in range(8):
        np.testing.assert_allclose(weighted.weights_at(k), repeated.weights_at(k), atol=2e-3)


def test_rows_of_weight_zero_do_not_exist():
    X, y = make(3)
    weights = np.ones(len(X))
    weights[40:] = 0
    X[41] = 1e6
    np.testing.assert_allclose(
        _fit(X, y, sample_weight=weights).objectives, _fit(X[:40], y[:40]).objectives, rtol=1e-6
    )


def test_features_scaling_changes_nothing():
    X, y = make(4)
    factors, shifts = np.geomspace(1e-3, 1e3, X.shape[1]), np.arange(X.shape[1]) - 3.0
    one, two = _fit(X, y), _fit(X * factors + shifts * factors, y)
    np.testing.assert_allclose(one.objectives, two.objectives, rtol=1e-5)
    np.testing.assert_allclose(one.weights_at(7), two.weights_at(7), atol=2e-3)


def test_binomial_equals_two_class_multinomial():
    """At alpha = 1 the two rows share the penalty of the difference, so the optimal values agree."""
    X, y = make(5, n_classes=2)
    one = _fit(X, y, "binomial", alpha=1.0)
    two = _fit(X, y, "multinomial", alpha=1.0, lambdas=one.lambdas)
    np.testing.assert_allclose(one.objectives, two.objectives, rtol=1e-6)
    k = 6
    difference = two.weights_at(k)[1] - two.weights_at(k)[0]
    np.testing.assert_allclose(one.weights_at(k)[0], difference, atol=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_certified_points_satisfy_the_optimality_conditions(family):
    X, y = make(6, family=family)
    path = _fit(X.astype(np.float32), y, family, tol=1e-9)
    Z = (X.astype(np.float32).astype(float) - path.mean) / path.scale
    for k in range(8):
        W, b = path.weights_at(k), path.intercepts_at(k)
        _, G, slope = twin.smooth_part(Z, y, W, b, family, None)
        l1, l2 = 0.99 * path.lambdas[k], 0.01 * path.lambdas[k]
        assert np.abs(slope).max() < 1e-9
        assert (np.abs(G[W == 0]) <= l1 * 1.02).all()
        np.testing.assert_allclose((G + l2 * W)[W != 0], -l1 * np.sign(W[W != 0]), atol=0.02 * l1)


def test_nothing_is_selected_at_and_above_lambda_max():
    X, y = make(7)
    largest = _fit(X, y, n_lambdas=1).lambdas[0]
    path = _fit(X, y, lambdas=[3 * largest, largest * (1 + 1e-9), 0.9 * largest])
    assert path.n_nonzero[:2].sum() == 0
    assert path.n_nonzero[2].sum() > 0
    frequencies = np.log(np.bincount(y) / len(y))
    np.testing.assert_allclose(path.intercepts_at(0), frequencies - frequencies.mean(), atol=1e-12)
    np.testing.assert_allclose(path.objectives[:2], path.null_objective, rtol=1e-14)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    X, y = make(8, n=200)
    one, two, other = (_fit(X, y, tol=1e-4, seed=s) for s in (1, 1, 2))
    for name in ("weight_data", "weight_indices", "intercepts", "duality_gaps", "objectives"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(one.intercepts, other.intercepts)
    np.testing.assert_allclose(one.objectives, other.objectives, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_average_gradient_stays_consistent_with_the_table(weighted):
    X, y = make(9, n=90)
    weights = np.random.default_rng(0).uniform(0.2, 2.0, len(X)) if weighted else None
    ours = problem(standardise(X), y, weights=weights)
    run = Saga(batch_size=7).begin(ours, RunSettings(1e-6, 10), [])
    view = run._look_at(torch.ones(X.shape[1], dtype=torch.bool))
    inner = _Inner(run, view, 0.1 * ours.lambda_max, 1e-6, 10)
    start = inner._at(torch.zeros(3, X.shape[1], dtype=torch.float64), ours.null_intercept)
    start, table, average, _ = inner._refresh(start)
    end = inner._epochs(start, table, average, 0.05, generator(0, "test"), lambda: None)
    assert not torch.equal(end.weights, start.weights)
    residuals = ours.loss.weigh(ours.loss.subtract_targets(table.clone()))
    torch.testing.assert_close(average, residuals @ view.rows / len(X), rtol=0, atol=1e-14)


def test_plain_saga_finds_the_same_answer_without_acceleration():
    X, y = make(10)
    plain, fast = _fit(X, y, solver=Saga(accelerate=False), tol=1e-4), _fit(X, y, tol=1e-4)
    assert plain.certified.all()
    np.testing.assert_allclose(plain.objectives, fast.objectives, rtol=1e-4)
    assert fast.iterations.sum() < plain.iterations.sum()


@pytest.mark.parametrize("batch_size", [1, 13, 1000])
def test_any_batch_size(batch_size):
    X, y = make(11, n=40)
    path = _fit(X, y, solver=Saga(batch_size=batch_size), tol=1e-5, n_lambdas=4)
    assert path.certified.all()


def test_a_step_beyond_the_smoothness_warns_and_is_never_called_converged():
    X, y = make(12)
    with pytest.warns(StepSizeWarning, match="longer than 1/L"), pytest.warns(UncertifiedWarning) as caught:
        path = _fit(X, y, solver=Saga(step=1e4, accelerate=False), max_epochs=20)
    assert not path.certified.all()
    assert np.isfinite(path.duality_gaps).all()
    text = str(caught[-1].message)
    assert "did not reach the duality gap" in text
    assert "max_epochs" in text


def test_a_short_fixed_step_is_used_as_it_is():
    X, y = make(13)
    path = _fit(X, y, solver=Saga(step=0.05), tol=1e-3, n_lambdas=4)
    assert path.certified.all()


@pytest.mark.filterwarnings("ignore::sparse_debug_widgets.sparse.path.path.UncertifiedWarning")
@pytest.mark.parametrize("stopping", ["coefficient_change", "look_behind"])
def test_the_papers_stopping_rules_by_name(stopping):
    X, y = make(14)
    path = _fit(X, y, stopping=stopping, tol=1e-6)
    assert "stopping rule" in path.reasons[-1]
    # The gap is recorded whatever stopped the work, and certified still means gap <= tol.
    assert (path.duality_gaps[1:] > 0).all()
    np.testing.assert_array_equal(path.certified, path.duality_gaps <= path.tol)


@pytest.mark.filterwarnings("ignore::sparse_debug_widgets.sparse.path.path.UncertifiedWarning")
def test_a_spent_budget_is_said_lambda_by_lambda():
    X, y = make(15, kind="collinear")
    path = _fit(X, y, max_epochs=2, tol=1e-9)
    spent = ["max_epochs" in reason for reason in path.reasons]
    assert any(spent)
    np.testing.assert_array_equal(path.certified, ~np.array(spent))
    assert f"{int(path.certified.sum())}/8 certified" in repr(path)


def test_separable_data_at_tiny_strengths_do_not_overflow():
    X, y = make(16, kind="separable")
    path = _fit(X, y, eps=1e-6, n_lambdas=12, tol=1e-3)
    assert np.isfinite(path.weight_data).all()
    assert (np.diff(path.objectives) < 0).all()
    assert path.certified.all()


def test_expected_smoothness_falls_from_single_to_whole():
    values = [expected_smoothness(2.0, 50.0, 100, b) for b in (1, 10, 50, 100)]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (50.0, 2.0)
    assert expected_smoothness(3.0, 3.0, 1, 1) == 3.0


@pytest.mark.parametrize("weighted", [False, True])
def test_power_iterations_equal_eigenvalues(weighted):
    X, y = make(17, n=80)
    Z = standardise(X)
    s = np.random.default_rng(0).uniform(0.2, 2.0, 80) if weighted else np.ones(80)
    s *= 80 / s.sum()
    rows = torch.as_tensor(Z)
    weights = torch.as_tensor(s) if weighted else None
    exact = np.linalg.eigvalsh((Z * s[:, None]).T @ Z / 80)[-1]
    assert exact * 0.99 <= gram_norm(rows, weights) <= exact * 1.02
    assert row_norm(rows, weights) == pytest.approx((s * (Z**2).sum(1)).max())
    ours = problem(Z, y, weights=s if weighted else None)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 80, dtype=torch.float64, generator=generator)
    response = ours.loss.mean_response(logits)
    p = response.numpy()
    hessian = np.einsum("i,ci,cd,ij,ik->cjdk", s, p, np.eye(3), Z, Z)
    hessian = (hessian - np.einsum("i,ci,di,ij,ik->cjdk", s, p, p, Z, Z)) / 80
    largest = np.linalg.eigvalsh(hessian.reshape(24, 24))[-1]
    curvature = LocalCurvature((3, 8), torch.float64, torch.device("cpu"))
    found = curvature.estimate(ours.loss, rows, torch.ones(8, dtype=torch.bool), response)
    assert 0.9 * largest <= found <= 1.001 * largest
