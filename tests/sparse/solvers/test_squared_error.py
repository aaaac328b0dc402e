"""Gaussian paths from one Gram matrix: the same answers as from the rows, proved as before."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import enet_path

from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.losses import Gaussian
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet, GroupElasticNet
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from sparse_debug_widgets.sparse.solvers.working_set.engine import WorkingSetRun
from sparse_debug_widgets.sparse.solvers.working_set.squared_error import SquaredErrorRun
from tests.sparse.problems import make, problem, standardise

torch.set_num_threads(1)


def begin(task, tol=1e-6, budget=5000):
    run = WorkingSet().begin(task, RunSettings(tol, budget), [])
    assert isinstance(run, SquaredErrorRun)
    return run


def grid(task, count=15, eps=1e-3):
    return [float(v) for v in task.lambda_max * np.geomspace(1.0, eps, count)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", ["plain", "collinear", "heavy", "duplicated"])
def test_the_rows_agree_with_what_the_gram_matrix_says(kind, centred, weighted):
    X, y = make(1, 200, 12, 4, kind, "gaussian")
    weights = np.random.default_rng(0).uniform(0.2, 2.0, 200) if weighted else None
    Z = standardise(X, weights) if centred else X + 1.5
    task = problem(Z, y + 3.0, "gaussian", weights=weights)
    run = begin(task)
    for k, value in enumerate(grid(task)):
        found = run.solve(k, value, lambda: None)
        judged = certify(task, found.weights, found.intercept, value)
        made = found.certificate
        assert found.reason == "gap"
        assert max(made.gap, judged.gap) <= 1.001e-6
        assert judged.primal == pytest.approx(made.primal, rel=1e-9)
        torch.testing.assert_close(judged.intercept, made.intercept, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(judged.gradient, made.gradient, rtol=0, atol=1e-8)
        torch.testing.assert_close(judged.logits, made.logits, rtol=1e-6, atol=1e-6)


def test_scikit_learn_agrees():
    X, y = make(2, 300, 20, 2, family="gaussian")
    Z, target = standardise(X), y[:, 0] - y[:, 0].mean()
    task = problem(Z, y[:, :1], "gaussian")
    run, strengths = begin(task, 1e-10), grid(task)
    ours = np.array([run.solve(k, v, lambda: None).weights[0].numpy() for k, v in enumerate(strengths)]).T
    _, theirs, _ = enet_path(Z, target, l1_ratio=0.99, alphas=strengths, tol=1e-10, max_iter=100_000)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@st.composite
def gaussian_tasks(draw):
    """Few rows or many, of features that are nearly alike or not, one target or several."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, p, m = draw(st.sampled_from([20, 60, 200])), draw(st.integers(2, 60)), draw(st.integers(1, 3))
    X = rng.normal(size=(n, p))
    if draw(st.booleans()):
        X = np.maximum(rng.normal(size=(n, 4)) @ rng.normal(size=(4, p)), 0) + 1e-3 * X
    if draw(st.booleans()):
        X[:, -1] = X[:, 0]
    weights = rng.uniform(0.2, 3.0, n) if draw(st.booleans()) else None
    y = X[:, :3] @ rng.normal(size=(min(p, 3), m)) + 0.3 * rng.normal(size=(n, m))
    Z = standardise(X, weights) if draw(st.booleans()) else X + 1.0
    task = problem(Z, y, "gaussian", draw(st.sampled_from([0.3, 0.99, 1.0])), weights)
    if draw(st.booleans()):
        factors = torch.as_tensor(rng.uniform(0.5, 3.0, p))
        task = Problem(task.design, task.loss, replace(task.penalty, factors=factors))
    return task


@given(gaussian_tasks(), st.sampled_from([1e-5, 1e-9]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_exchanges_of_entries_leave_paths_as_they_are(task, tol):
    """Beside them, the ways that come after them: the same objectives, weights within what is proved."""
    run, other = begin(task, tol), begin(task, tol)
    other._minimum = lambda start, lambda_, tick: (None, 0)
    for k, value in enumerate(grid(task, 12)):
        one, two = (r.solve(k, value, lambda: None) for r in (run, other))
        judged = certify(task, one.weights, one.intercept, value)
        assert max(one.certificate.gap, judged.gap) <= 1.001 * tol
        assert judged.primal == pytest.approx(one.certificate.primal, rel=1e-9)
        floor = min(task.null_objective, two.certificate.primal)
        assert abs(two.certificate.primal - judged.primal) <= 1.01 * tol * floor + 1e-14
        if one.nearness is not None and two.nearness is not None:
            away = float((one.weights - two.weights).abs().max())
            assert away <= one.nearness.bound + two.nearness.bound + 1e-12


def test_few_rows_cost_equations_of_the_size_of_the_answer(monkeypatch):
    """Features of few directions: every optimum comes from few equations, for what is nonzero."""
    rng = np.random.default_rng(3)
    X = np.maximum(rng.normal(size=(150, 20)) @ rng.normal(size=(20, 512)), 0)
    y = X[:, :5] @ rng.normal(size=(5, 1)) + 0.5 * rng.normal(size=(150, 1))
    task = problem(standardise(X), y, "gaussian")
    run, work, needed, factored = begin(task, 1e-5), [], 0, torch.linalg.cholesky_ex
    monkeypatch.setattr(
        torch.linalg, "cholesky_ex", lambda matrix: work.append(len(matrix) ** 3) or factored(matrix)
    )
    for k, value in enumerate(grid(task, 50, 1e-4)):
        found = run.solve(k, value, lambda: None)
        assert found.certificate.gap <= 1e-5
        assert found.nearness is not None
        assert found.nearness.bound <= 1e-6 * float(found.weights.abs().max()) + 1e-12
        needed += int((found.weights != 0).sum()) ** 3
    assert sum(work) <= 40 * needed


def test_what_it_is_not_for_takes_the_other_way():
    X, y = make(2, 60, 8, 2, family="gaussian")
    plain, labels = problem(standardise(X), y, "gaussian"), make(2, 60, 8, 2)[1]
    wide = problem(standardise(make(2, 20, 12, 2, family="gaussian")[0]), y[:20], "gaussian")
    wide = Problem(wide.design.working(torch.float32), wide.loss, wide.penalty)
    group = Problem(plain.design, plain.loss, GroupElasticNet(0.99))
    others = (wide, group, problem(standardise(X), labels))
    known = RunSettings(1e-3, 500)
    assert not any(isinstance(WorkingSet().begin(task, known, []), SquaredErrorRun) for task in others)
    rule = RunSettings(1e-3, 500, stopping="look_behind")
    assert isinstance(WorkingSet().begin(plain, rule, []), WorkingSetRun)


def test_penalty_factors_float32_and_a_small_budget():
    X, y = make(3, 150, 10, 3, family="gaussian")
    factors = torch.linspace(0.5, 3.0, 10, dtype=torch.float64)
    values = torch.from_numpy(np.ascontiguousarray(standardise(X).T, np.float32))
    targets = torch.from_numpy(np.ascontiguousarray(y.T))
    task = Problem(DesignMatrix(values), Gaussian(targets), ElasticNet(0.9, factors))
    for k, value in enumerate(grid(task, 6)):
        found = begin(task).solve(k, value, lambda: None)
        assert certify(task, found.weights, found.intercept, value).gap <= 1.01e-6
    hard = begin(task, 1e-15, 50).solve(0, 1e-4 * task.lambda_max, lambda: None)
    assert hard.reason in ("gap", "max_epochs")
    assert hard.certificate.gap < 1e-2


def test_a_cancelled_strength_leaves_the_run_whole_and_a_state_repeats_it():
    X, y = make(4, 150, 10, 3, family="gaussian")
    task = problem(standardise(X), y, "gaussian")

    def cancel():
        raise Cancelled

    run, other = begin(task), begin(task)
    strengths = grid(task, 8)
    for k, value in enumerate(strengths[:4]):
        run.solve(k, value, lambda: None)
    with pytest.raises(Cancelled):
        run.solve(4, strengths[4], cancel)
    other.restore({name: array.copy() for name, array in run.state().items()})
    for k in range(4, 8):
        one, two = (r.solve(k, strengths[k], lambda: None) for r in (run, other))
        assert torch.equal(one.weights, two.weights)
