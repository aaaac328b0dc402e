"""The working-set solver: certificates, references, nasty problems, and the properties of its parts."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from tests.sparse.problems import make, problem, problems, standardise

torch.set_num_threads(1)


def nothing():
    pass


def solve(task, tol=1e-3, n_lambdas=12, eps=1e-2, budget=500, history=(), **options):
    run = WorkingSet(**options).begin(task, RunSettings(tol, budget), history)
    grid = task.lambda_max * np.geomspace(1.0, eps, n_lambdas)
    return [run.solve(k, float(lambda_), nothing) for k, lambda_ in enumerate(grid)]


@given(problems())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_strength_is_certified_and_float64_agrees(case):
    family, alpha, Z, y, weights = case
    task = problem(Z, y, family, alpha, weights)
    if not task.lambda_max > 1e-9:
        return
    for solution in solve(task, n_lambdas=6):
        judged = certify(task, solution.weights, solution.intercept, solution.lambda_)
        assert judged.gap <= 1e-3, (solution.reason, family, alpha)
        assert solution.reason == "gap"
        assert abs(judged.primal - solution.certificate.primal) <= 1e-6 * task.null_objective
        assert judged.gap <= solution.certificate.gap + 1e-6


@pytest.mark.parametrize("n_classes", [2, 5, 30])
@pytest.mark.parametrize("kind", ["plain", "separable", "imbalanced"])
def test_few_and_many_classes_certify(n_classes, kind):
    X, y = make(7, 300, 24, n_classes, kind)
    task = problem(standardise(X), y)
    assert max(s.certificate.gap for s in solve(task, n_lambdas=8, eps=1e-3)) <= 1e-3


def test_one_in_a_thousand():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 12))
    y = np.zeros(3000, int)
    y[:3] = 1
    X[:3, 0] += 4
    solutions = solve(problem(standardise(X), y), n_lambdas=10, eps=1e-4)
    assert max(s.certificate.gap for s in solutions) <= 1e-3
    assert all(torch.isfinite(s.weights).all() for s in solutions)


def test_tight_tolerances_are_reached_in_float64():
    X, y = make(3, 120, 15, 4)
    solutions = solve(problem(standardise(X), y), tol=1e-8, n_lambdas=8)
    assert max(s.certificate.gap for s in solutions) <= 1e-8


def test_float32_storage_is_judged_right():
    """A certificate from float32 products never claims more than one from float64 does."""
    rng = np.random.default_rng(5)
    X, y = make(5, 400, 30, 4)
    Z = standardise(X + rng.normal(size=(400, 1))).astype(np.float32)
    task, judge = problem(Z, y), problem(Z.astype(np.float64), y)
    for solution in solve(task, n_lambdas=8, eps=1e-3):
        exact = certify(judge, solution.weights, solution.intercept, solution.lambda_)
        assert solution.certificate.gap >= exact.gap - 2e-6
        assert abs(exact.primal / solution.certificate.primal - 1) <= 1e-6


def test_the_predictor_and_the_coupling_pay():
    X, y = make(11, 400, 40, 6)
    task = problem(standardise(X), y)

    def work(**options):
        run = WorkingSet(**options).begin(task, RunSettings(1e-3, 2000), [])
        grid = task.lambda_max * np.geomspace(1.0, 1e-3, 40)
        gaps = [run.solve(k, float(v), nothing).certificate.gap for k, v in enumerate(grid)]
        assert max(gaps) <= 1e-3
        return run.counters.blocks + run.counters.newtons

    full = work()
    assert full < work(predict=False)
    assert full < work(couple=False)


def test_a_strength_can_be_cancelled_inside():
    X, y = make(2, 200, 20, 4)
    task = problem(standardise(X), y)
    run = WorkingSet().begin(task, RunSettings(1e-3, 500), [])
    calls = 0

    def tick():
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run.solve(0, 0.01 * task.lambda_max, tick)
    # The run is whole: it solves the same strength when asked again.
    assert run.solve(0, 0.01 * task.lambda_max, nothing).certificate.gap <= 1e-3


def test_a_warm_start_saves_work():
    X, y = make(4, 200, 20, 4)
    task = problem(standardise(X), y)
    near = solve(task, n_lambdas=10, eps=0.1)[-1]
    target = 0.095 * task.lambda_max
    cold = WorkingSet().begin(task, RunSettings(1e-3, 500), [])
    warm = WorkingSet().begin(task, RunSettings(1e-3, 500), [near])
    assert cold.solve(0, target, nothing).certificate.gap <= 1e-3
    assert warm.solve(0, target, nothing).certificate.gap <= 1e-3
    assert warm.counters.blocks + warm.counters.newtons <= cold.counters.blocks + cold.counters.newtons


def test_duplicated_features_and_fewer_rows_than_features():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(40, 90))
    X[:, 45:] = X[:, :45]
    y = rng.integers(0, 3, 40)
    y[:3] = range(3)
    for alpha in (0.5, 0.99, 1.0):
        solutions = solve(problem(standardise(X), y, alpha=alpha), n_lambdas=6, eps=0.02)
        assert max(s.certificate.gap for s in solutions) <= 1e-3, alpha
