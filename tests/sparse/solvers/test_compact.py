"""The way of small problems: loops and models against plain algebra, paths against the general way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from sparse_debug_widgets.sparse.solvers.working_set.compact import CompactRun, suits
from sparse_debug_widgets.sparse.solvers.working_set.compact.entries import Entries
from sparse_debug_widgets.sparse.solvers.working_set.compact.models import (
    ClassModels,
    CoupledModel,
    Quadratic,
)
from sparse_debug_widgets.sparse.solvers.working_set.compact.newton import Preconditioner
from sparse_debug_widgets.sparse.solvers.working_set.compact.rows import Rows
from tests.sparse.problems import make, problem, standardise

torch.set_num_threads(1)


def task_of(seed, n=300, p=40, n_classes=5, family="multinomial", weighted=False, **options):
    X, y = make(seed, n, p, max(2, n_classes), family=family, **options)
    weights = np.random.default_rng(seed).uniform(0.2, 2.0, n) if weighted else None
    return problem(standardise(X, weights), y, family, weights=weights, n_outputs=n_classes)


def path(task, n_lambdas=20, eps=1e-2, tol=1e-3, **options):
    run = WorkingSet(**options).begin(task, RunSettings(tol, 500), [])
    grid = task.lambda_max * np.geomspace(1.0, eps, n_lambdas)
    return run, [run.solve(k, float(v), lambda: None) for k, v in enumerate(grid)]


def drawn(seed, share, n_classes, width):
    mask = np.random.default_rng(seed).random((n_classes, width)) < share
    mask[:, 0] = True
    return mask


@given(st.integers(1, 6), st.integers(5, 1300), st.integers(1, 9), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_products_over_entries(n_classes, n, p, weighted, seed):
    family = "binomial" if n_classes == 1 else "multinomial"
    task = task_of(seed, max(n, n_classes), p, n_classes, family, weighted)
    rows, rng = Rows(task), np.random.default_rng(seed)
    entries = Entries.of(drawn(seed, 0.6, task.loss.n_outputs, p + 1))
    ones = np.vstack([np.ones(rows.n), task.design.whole.numpy()])
    weights = rng.normal(size=len(entries)) * (rng.random(len(entries)) < 0.7)
    logits = entries.spread(weights) @ ones
    np.testing.assert_allclose(rows.predict(entries, weights), logits, atol=1e-4)
    answer = rows.answer(logits)
    response, loss = task.loss.evaluate(torch.from_numpy(logits))
    np.testing.assert_allclose(answer.response, response.numpy(), atol=1e-6)
    assert answer.loss == pytest.approx(loss, rel=1e-12)
    residuals = task.loss.weigh(task.loss.residuals(torch.from_numpy(logits))).numpy()
    expected = entries.take(residuals @ ones.T / rows.n)
    np.testing.assert_allclose(rows.slopes(entries, answer.response), expected, atol=1e-5)
    direction = rng.normal(size=logits.shape).astype(np.float32)
    bent = task.loss.weigh(task.loss.hessian_product(response, torch.from_numpy(direction).double()))
    np.testing.assert_allclose(rows.bent(answer.response, direction), bent.numpy(), atol=1e-5)


def hessian(task, entries, response):
    """The exact Hessian over some entries, (e, e)."""
    ones = np.vstack([np.ones(task.loss.n), task.design.whole.numpy()])
    x, p = ones[entries.feature], response[entries.owner].astype(float)
    share = np.ones(task.loss.n) if task.loss.weights is None else task.loss.weights.numpy()
    same = (entries.owner[:, None] == entries.owner).astype(float)
    return same * ((share * p * x) @ x.T) / task.loss.n - (share * p * x) @ (p * x).T / task.loss.n


@pytest.mark.parametrize("n_classes", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_models_grow_shrink_and_are_rebuilt(n_classes, weighted):
    """After any history the matrices are the Hessians at the probabilities that were last taken over."""
    family = "binomial" if n_classes == 1 else "multinomial"
    task = task_of(3, 1100, 30, n_classes, family, weighted)
    rows, rng = Rows(task), np.random.default_rng(0)
    entries = Entries.of(drawn(0, 0.1, n_classes, 31))
    coupled, models, taken = CoupledModel(), ClassModels(n_classes, rows.n), None
    for round_ in range(10):
        if round_ % 4 == 3:
            kept = (rng.random(len(entries)) < 0.6) | (entries.feature == 0)
            models.keep(entries, kept)
            entries = entries.chosen(kept)
        entries = entries.grown(drawn(round_, 0.1, n_classes, 31))
        if round_ % 5 == 0:
            taken = rows.answer(rng.normal(size=(n_classes, rows.n))).response
            coupled.stale, models.stale[:] = True, True
        near = np.clip(taken * (1 + 1e-3 * rng.normal(size=taken.shape)), 0, 1).astype(np.float32)
        response = taken if round_ % 5 == 0 else near
        coupled.require(entries, rows, response, 0.3)
        models.require(entries, rows, rows.curvatures(response), 0.3)
        exact = hessian(task, entries, taken)
        ridge = 1e-4 * np.diag(np.diag(exact))
        np.testing.assert_allclose(coupled._matrix, exact + ridge, atol=3e-6)
        for c in range(n_classes):
            part = slice(entries.start[c], entries.start[c + 1])
            np.testing.assert_allclose(models.matrices[c], exact[part, part], atol=3e-6)


def test_the_coupled_model_is_minimised():
    """Where no penalty acts, the minimum solves a linear system."""
    task = task_of(5, 400, 6, 3)
    rows, entries = Rows(task), Entries.of(drawn(5, 0.7, 3, 7))
    answer, model = rows.answer(np.zeros((3, 400))), CoupledModel()
    model.require(entries, rows, answer.response, 0.3)
    slopes, none = rows.slopes(entries, answer.response), np.zeros(len(entries))
    ridge = np.full(len(entries), 0.05)
    found = model.solve(Quadratic(none, slopes, none, ridge), 1e-14)
    exact = hessian(task, entries, answer.response) + np.diag(ridge)
    np.testing.assert_allclose(found, -np.linalg.solve(exact, slopes), atol=2e-4)


def test_the_preconditioner_inverts_and_leaves_out():
    task = task_of(6, 500, 20, 3)
    rows, entries = Rows(task), Entries.of(drawn(6, 0.5, 3, 21))
    answer, models = rows.answer(np.zeros((3, 500))), ClassModels(3, 500)
    models.require(entries, rows, rows.curvatures(answer.response), 0.3)
    made = Preconditioner.of(models.matrices, entries, np.ones(len(entries), bool), 0.1)
    assert made.misfit(entries.mask) == 0.0
    kept = (np.arange(len(entries)) % 4 > 0) | (entries.feature == 0)
    new = np.setdiff1d(np.arange(63), entries.flat)[:2]
    mask = entries.chosen(kept).mask.copy()
    mask.ravel()[new] = True
    assert made.misfit(mask) > 0.0
    face = Entries.of(mask)
    left = np.random.default_rng(0).normal(size=len(face))
    out = made.on(face)(left)
    exact = hessian(task, entries, answer.response)
    for c in range(3):
        part = slice(entries.start[c], entries.start[c + 1])
        block = exact[part, part] + 0.1 * np.eye(part.stop - part.start)
        inside = face.place[entries.flat[part]]
        vector = np.where(inside >= 0, left[inside], 0.0)
        solved = np.linalg.solve(block, vector)
        np.testing.assert_allclose(out[inside[inside >= 0]], solved[inside >= 0], rtol=1e-3, atol=1e-4)
    for e in face.place[new]:
        assert 0.0 < out[e] / left[e] < 1.0 / 0.1


@pytest.mark.parametrize("family", ["multinomial", "binomial"])
@pytest.mark.parametrize("kind", ["plain", "collinear", "separable", "imbalanced", "heavy"])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_ways_find_the_same_path(family, kind, weighted):
    task = task_of(3, 240, 30, 2 if family == "binomial" else 5, family, weighted, kind=kind)
    (run, quick), (_, general) = path(task, tol=1e-4), path(task, tol=1e-4, compact=False)
    assert isinstance(run, CompactRun)
    for one, two in zip(quick, general, strict=True):
        assert one.reason == "gap"
        judged = certify(task, one.weights, one.intercept, one.lambda_)
        assert judged.gap <= 1e-4
        assert judged.primal == pytest.approx(one.certificate.primal, rel=1e-12)
        assert two.certificate.primal == pytest.approx(one.certificate.primal, rel=2e-4)


def test_few_steps_lead_from_the_coupled_model_to_the_classes_own():
    """Past the size of one model over everything, block and Newton steps take over, and stay few."""
    task = task_of(8, 900, 180, 6)
    run, solutions = path(task, 30, 1e-3)
    _, general = path(task, 30, 1e-3, compact=False)
    assert max(s.certificate.gap for s in solutions) <= 1e-3
    assert run.counters.newtons > 0
    assert not run._memory.couples()
    assert sum(s.iterations for s in solutions) <= 1.3 * sum(s.iterations for s in general)


def test_penalty_factors_and_the_lasso():
    task = task_of(4, 200, 25, 4)
    factors = torch.linspace(0.5, 3.0, 25, dtype=torch.float64)
    for penalty in (ElasticNet(0.99, factors), ElasticNet(1.0), ElasticNet(1.0, factors), ElasticNet(0.2)):
        other = Problem(task.design, task.loss, penalty)
        for one, two in zip(path(other)[1], path(other, compact=False)[1], strict=True):
            assert one.certificate.gap <= 1e-3
            assert one.certificate.primal == pytest.approx(two.certificate.primal, rel=2e-3)


@pytest.mark.parametrize("n_classes", [1, 6])
def test_a_run_goes_on_bit_by_bit(n_classes):
    task = task_of(9, 900, 120, n_classes, "binomial" if n_classes == 1 else "multinomial", weighted=True)
    grid = task.lambda_max * np.geomspace(1.0, 1e-3, 24)
    whole, resumed = (WorkingSet().begin(task, RunSettings(1e-3, 500), []) for _ in range(2))
    for k, value in enumerate(grid):
        expected = whole.solve(k, float(value), lambda: None)
        if k > 0:
            found = resumed.solve(k, float(value), lambda: None)
            assert torch.equal(found.weights, expected.weights)
            assert found.certificate.gap == expected.certificate.gap
        resumed = WorkingSet().begin(task, RunSettings(1e-3, 500), [])
        resumed.restore({name: array.copy() for name, array in whole.state().items()})


@pytest.mark.parametrize("first", [True, False])
def test_either_way_goes_on_from_the_other_s_state(first):
    task = task_of(10, 300, 40, 4)
    grid = task.lambda_max * np.geomspace(1.0, 1e-2, 12)
    runs = [WorkingSet(compact=c).begin(task, RunSettings(1e-3, 500), []) for c in (first, not first)]
    for k, value in enumerate(grid[:7]):
        runs[0].solve(k, float(value), lambda: None)
    runs[1].restore(runs[0].state())
    steps = [[run.solve(k, float(grid[k]), lambda: None) for k in range(7, 12)] for run in runs]
    for one, two in zip(*steps, strict=True):
        assert max(one.certificate.gap, two.certificate.gap) <= 1e-3
        assert two.certificate.primal == pytest.approx(one.certificate.primal, rel=2e-3)
        # Warm, not from nothing.
        assert two.iterations <= one.iterations + 3


def test_what_it_is_not_for():
    task = task_of(2)
    assert suits(task, RunSettings(1e-3, 500))
    assert suits(task, RunSettings(1e-8, 500))
    assert not suits(task, RunSettings(1e-10, 500))
    assert not suits(task, RunSettings(1e-3, 500, stopping="look_behind"))
    assert not suits(task_of(2, n_classes=30), RunSettings(1e-3, 500))
    gaussian = task_of(2, n_classes=2, family="gaussian")
    assert not suits(gaussian, RunSettings(1e-3, 500))
    with pytest.raises(InputError, match="classes"):
        Rows(gaussian)
