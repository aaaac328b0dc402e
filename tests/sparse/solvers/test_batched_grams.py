"""The way that a GPU takes, on the CPU: batched steps give the path that the compiled loops give."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.losses import Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from sparse_debug_widgets.sparse.solvers.working_set.batched_grams import BatchedGrams, compact
from tests.sparse.problems import make, problem, standardise

torch.set_num_threads(1)


def path(task, tol=1e-3, n_lambdas=25, eps=1e-2, **options):
    run = WorkingSet(**options).begin(task, RunSettings(tol, 500), [])
    grid = task.lambda_max * np.geomspace(1.0, eps, n_lambdas)
    return run, [run.solve(k, float(v), lambda: None) for k, v in enumerate(grid)]


@pytest.mark.parametrize("family", ["multinomial", "binomial", "gaussian"])
@pytest.mark.parametrize("kind", ["plain", "collinear", "separable", "imbalanced"])
def test_both_ways_find_the_same_path(family, kind):
    X, y = make(3, 240, 30, 5, kind, family)
    task = problem(standardise(X), y, family)
    (_, loops), (_, batched) = path(task, 1e-8), path(task, 1e-8, batched=True)
    for one, two in zip(loops, batched, strict=True):
        assert max(one.certificate.gap, two.certificate.gap) <= 1e-8
        assert two.certificate.primal == pytest.approx(one.certificate.primal, rel=1e-7)


def test_a_batched_path_is_certified_in_few_steps():
    X, y = make(5, 500, 60, 12)
    task = problem(standardise(X), y)
    (run, batched), (other, _) = path(task, batched=True, eps=1e-3), path(task, eps=1e-3)
    assert max(s.certificate.gap for s in batched) <= 1e-3
    work = run.counters.blocks + run.counters.newtons
    assert work <= 2 * (other.counters.blocks + other.counters.newtons)


def test_a_batched_run_goes_on_bit_by_bit():
    X, y = make(9, 300, 40, 6)
    task = problem(standardise(X).astype(np.float32), y)
    grid = task.lambda_max * np.geomspace(1.0, 1e-2, 12)
    whole = WorkingSet(batched=True).begin(task, RunSettings(1e-3, 500), [])
    resumed = WorkingSet(batched=True).begin(task, RunSettings(1e-3, 500), [])
    for k, value in enumerate(grid):
        if k == 6:
            resumed.restore({name: array.copy() for name, array in whole.state().items()})
        expected = whole.solve(k, float(value), lambda: None)
        if k >= 6:
            assert torch.equal(resumed.solve(k, float(value), lambda: None).weights, expected.weights)


def test_models_grow_shrink_and_are_rebuilt():
    """After any history the matrices are those of the curvatures that were last taken over."""
    rng = np.random.default_rng(0)
    design = DesignMatrix(torch.from_numpy(rng.normal(size=(40, 80))))
    grams = BatchedGrams(3, design)
    ones = np.vstack([np.ones(80), design.values.numpy()])
    curvatures = torch.from_numpy(rng.random((3, 80)) + 0.5)
    for round_ in range(12):
        if round_ % 5 == 4:
            grams.stale[round_ % 3] = True
            curvatures = curvatures * torch.from_numpy(rng.random((3, 80)) + 0.9)
        wanted = torch.from_numpy(rng.random((3, 41)) < [[0.1], [0.4], [0.9 * (round_ % 2)]])
        wanted[:, 0] = True
        grams.require(wanted, curvatures.clone(), 0.5)
        for c in range(3):
            entries = grams.columns[c][grams.columns[c] >= 0].numpy()
            assert set(np.flatnonzero(wanted[c])) <= set(entries)
            rows = ones[entries]
            expected = (rows * grams._curvatures[c].numpy()) @ rows.T / 80
            a = len(entries)
            np.testing.assert_allclose(grams.matrices[c, :a, :a].numpy(), expected, atol=1e-12)
            assert torch.equal(grams.matrices[c, a:, a:], torch.eye(len(grams.matrices[c]) - a).double())


def test_norms_bound_the_largest_eigenvalue():
    design = DesignMatrix(torch.randn(30, 50, generator=torch.Generator().manual_seed(0)).double())
    grams = BatchedGrams(4, design)
    grams.require(torch.ones(4, 31, dtype=torch.bool), torch.rand(4, 50).double() + 0.1, 0.3)
    exact = torch.linalg.eigvalsh(grams.matrices[:, :31, :31])[:, -1]
    assert (grams._norms() >= exact * (1 - 1e-9)).all()


def test_compact():
    mask = torch.tensor([[True, False, True, False], [False, False, False, True]])
    assert compact(mask, 1).tolist() == [[0, 2], [3, -1]]
    assert compact(mask, 32).tolist() == [[0, 2, -1, -1], [3, -1, -1, -1]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_path_on_the_gpu_is_the_path_on_the_cpu():
    X, y = make(3, 400, 50, 6)
    Z = torch.from_numpy(np.ascontiguousarray(standardise(X).T))
    answers = []
    for device in ("cpu", "cuda"):
        loss = Multinomial(torch.as_tensor(y, device=device), 6)
        task = Problem(DesignMatrix(Z.to(device)), loss, ElasticNet(0.99))
        answers.append(path(task, 1e-8)[1])
    for one, two in zip(*answers, strict=True):
        assert two.certificate.gap <= 1e-8
        assert two.certificate.primal == pytest.approx(one.certificate.primal, rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batched", [False, True])
def test_half_precision_storage_is_judged_in_full(dtype, batched):
    """The features are rounded once, when they are stored; nothing after that is."""
    X, y = make(6, 300, 40, 5)
    values = torch.from_numpy(np.ascontiguousarray(standardise(X).T)).to(dtype)
    loss, penalty = Multinomial(torch.as_tensor(y), 5), ElasticNet(0.99)
    half, full = (Problem(DesignMatrix(v), loss, penalty) for v in (values, values.double()))
    assert half.lambda_max == pytest.approx(full.lambda_max, rel=1e-9)
    for one, two in zip(path(half, batched=batched)[1], path(full)[1], strict=True):
        judged = certify(full, one.weights, one.intercept, one.lambda_)
        assert judged.gap <= one.certificate.gap + 1e-9
        assert one.certificate.gap <= 1e-3
        assert judged.primal == pytest.approx(one.certificate.primal, rel=1e-9)
        assert judged.primal == pytest.approx(two.certificate.primal, rel=1e-3)
