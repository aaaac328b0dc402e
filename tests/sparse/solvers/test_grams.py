"""The classes' models on the CPU: after any history they are Gram matrices of the curvatures they name."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.rows.weighted_products import symmetric_products
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet, grams
from sparse_debug_widgets.sparse.solvers.working_set.grams import Grams
from tests.sparse.problems import make, problem, standardise

CLASSES, N, P = 3, 400, 60


def of(values, entries, curvatures):
    """``X_A diag(w) X_A' / n`` in plain NumPy."""
    ones = np.vstack([np.ones(values.shape[1]), values])[entries]
    return (ones * curvatures) @ ones.T / values.shape[1]


def start(seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(P, N))
    models = Grams(CLASSES, DesignMatrix(torch.from_numpy(values)))
    wanted = torch.from_numpy(rng.random((CLASSES, P + 1)) < 0.6)
    wanted[:, 0] = True
    curvatures = torch.from_numpy(rng.random((CLASSES, N)) ** 3)
    models.require(wanted, curvatures.clone(), 0.3)
    return rng, values, models, wanted, curvatures


def check(values, models):
    for gram, curvatures in zip(models.classes, models._curvatures.numpy(), strict=True):
        np.testing.assert_allclose(gram.matrix, of(values, gram.entries, curvatures), atol=1e-5)


def test_a_model_whose_examples_drift_is_mended_not_built(monkeypatch):
    monkeypatch.setattr(grams, "_MENDED", 10)
    rng, values, models, wanted, curvatures = start()
    assert models.builds == CLASSES
    for _ in range(6):
        moved = rng.random(N) < 0.15
        curvatures[:, moved] = torch.from_numpy(rng.random((CLASSES, int(moved.sum()))) ** 3)
        models.require(wanted, curvatures.clone(), 0.1)
        check(values, models)
        rest = (models._curvatures - curvatures).abs().sum(1) / models._mass
        assert (rest <= 0.1 + 0.03 + 0.05).all()
    assert models.builds == CLASSES


@pytest.mark.parametrize("change", ["all of it", "nothing"])
def test_a_model_is_built_anew_where_mending_costs_as_much_or_does_nothing(monkeypatch, change):
    monkeypatch.setattr(grams, "_MENDED", 10)
    rng, values, models, wanted, curvatures = start()
    if change == "all of it":
        curvatures = torch.from_numpy(rng.random((CLASSES, N)) + 0.1)
    models.stale[1] = True
    models.require(wanted, curvatures.clone(), 0.3)
    check(values, models)
    assert models.builds == (2 * CLASSES if change == "all of it" else CLASSES + 1)
    grown = wanted.clone()
    grown[:, 5:9] = True
    models.require(grown, curvatures.clone(), 0.3)
    check(values, models)


def test_products_with_weights_of_either_sign():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(300, 500)), rng.normal(size=(1, 500))
    weights[0, ::3] = 0.0
    entries = np.arange(301)
    found = symmetric_products(torch.from_numpy(values), [entries], torch.from_numpy(weights))[0]
    np.testing.assert_allclose(found.numpy() / 500, of(values, entries, weights[0]), atol=1e-12)


def test_a_path_of_mended_models_is_the_same_path(monkeypatch):
    X, y = make(4, 900, 120, 4)
    task = problem(standardise(X).astype(np.float32), y)
    lambdas = task.lambda_max * np.geomspace(1.0, 1e-3, 40)
    found, builds = [], []
    for least in (10, 10**9):
        monkeypatch.setattr(grams, "_MENDED", least)
        run = WorkingSet(compact=False).begin(task, RunSettings(1e-3, 500), [])
        found.append([run.solve(k, float(value), lambda: None) for k, value in enumerate(lambdas)])
        builds.append(run._memory.grams.builds)
    assert builds[0] < builds[1]
    for one, two in zip(*found, strict=True):
        assert max(one.certificate.gap, two.certificate.gap) <= 1e-3
        assert one.certificate.primal == pytest.approx(two.certificate.primal, rel=2e-3)
