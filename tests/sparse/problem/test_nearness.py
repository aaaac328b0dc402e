"""Bounds on weights: never below the true distance to the optimum, and what they decide is true.

The truth comes from :mod:`tests.reference.prox_newton`, which shares no code with the package. Its distance
to the optimum is bounded by its optimality residual over the curvature of the penalty, and allowed for.
"""

import dataclasses
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.sparse import DeepFeatures, RegularizationPath, elastic_net_path, extract_features
from sparse_debug_widgets.sparse.path.data import prepare
from sparse_debug_widgets.sparse.path.path import path_request
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.nearness import by_strong_convexity
from sparse_debug_widgets.sparse.solvers import sharpen as sharpening
from sparse_debug_widgets.sparse.solvers.local_model import LocalModel, Place, Terms
from sparse_debug_widgets.sparse.solvers.sharpen import Sharpener
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from tests.reference import prox_newton as twin
from tests.sparse.problem.test_certificate_suite import KINDS, cases, fitted
from tests.sparse.problems import make, problem, standardise

torch.set_num_threads(1)
SETTINGS = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def rows_as(path, W):
    """Reference weights (C, p alive) as rows of the path."""
    out = np.zeros((path.n_rows, path.n_features))
    out[:, path.alive] = W
    return out


def true_weights(X, y, fit, features, path, k, start):
    """Weights (C, p) of the reference, its intercept, and how far it may itself be from the optimum."""
    family, alpha, weights, lambda_ = fit["family"], fit["alpha"], fit["sample_weight"], path.lambdas[k]
    Z = ((features.values.astype(np.float64) - path.mean) / path.scale)[:, path.alive]
    *start, _ = twin.solve(Z, y, lambda_, alpha, family, weights, start, n_outputs=len(path.class_names))
    residual = twin.kkt(Z, y, *start, lambda_, alpha, family, weights)
    slack = residual * math.sqrt(start[0].size) / (lambda_ * (1.0 - alpha))
    return rows_as(path, start[0]), start, slack


@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_is_further_from_the_optimum_than_its_bound(kind):
    counted = {"near": 0, "decided": 0}

    @given(cases(kind), st.sampled_from(["auto", 1e-8, 1e-3]))
    @SETTINGS
    def check(case, tol):
        X, y, fit, _ = case
        fit = {**fit, "alpha": min(fit["alpha"], 0.99), "max_epochs": 5000, "tol": tol}
        features, path, _ = fitted(X, y, fit)
        assert path.weight_bounds.shape == (path.n_lambdas,)
        assert (path.weight_bounds >= 0).all()
        start = None
        for k in range(path.n_lambdas):
            best, start, slack = true_weights(X, y, fit, features, path, k, start)
            away = np.abs(path.weights_at(k) - best).max()
            assert away <= path.weight_bounds[k] + slack + 1e-9
            counted["near"] += path.weight_bounds[k] < 1e-2 and slack < 1e-3
            if slack > 1e-4:
                continue
            for c in range(path.n_rows):
                name = 1 if fit["family"] == "binomial" else c
                nonzero, zero = (decided[k] for decided in path.proved(name))
                assert not (nonzero & zero).any()
                assert (np.abs(best[c][zero]) <= slack).all()
                assert (np.abs(best[c][nonzero]) > 0).all()
                assert (np.sign(best[c][nonzero]) == np.sign(path.weights_at(k)[c][nonzero])).all()
                counted["decided"] += int(nonzero.sum() + zero.sum())

    check()
    # The bounds say something: most of what was tried is near, and much is decided.
    assert counted["near"] >= 8
    assert counted["decided"] >= 40


@given(st.integers(0, 10**6), st.sampled_from(["multinomial", "binomial", "gaussian"]), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_point_that_no_solver_ends_at_is_bounded_too(seed, family, weighted):
    rng = np.random.default_rng(seed)
    X, y = make(seed, 60, 6, 3, "plain", family)
    weights = rng.uniform(0.2, 3.0, 60) if weighted else None
    Z = standardise(X, weights)
    task = problem(Z, y, family, 0.9, weights)
    lambda_ = 0.1 * task.lambda_max
    W, b, _ = twin.solve(Z, y, lambda_, 0.9, family, weights, None, n_outputs=task.loss.n_outputs)
    slack = twin.kkt(Z, y, W, b, lambda_, 0.9, family, weights) * 10 / (0.1 * lambda_)
    proofs = 0
    for noise in (1e-6, 1e-4, 1e-2, 1.0):
        # A zero that is no zero any more pulls back with all of l1: that is far away, however small it is.
        moved = (W != 0) | (rng.random(W.shape) < (0.5 if noise == 1e-4 else 0.0))
        point = torch.as_tensor(W + noise * rng.normal(size=W.shape) * moved)
        found = certify(task, point, torch.as_tensor(b), lambda_)
        away = float(np.abs(point.numpy() - W).max())
        assert by_strong_convexity(task, found, lambda_) >= away - slack - 1e-9
        place = Place(point, found, lambda_)
        everything = torch.ones(len(W), 7, dtype=torch.bool)
        model = LocalModel.at(task, place, everything)
        near = model.nearness(place, Terms(task, place))
        if near is not None:
            proofs += 1
            assert near.bound >= away - slack - 1e-12
        # A Hessian made elsewhere proves less, never something wrong.
        other = certify(task, torch.as_tensor(W), torch.as_tensor(b), lambda_)
        there = Place(torch.as_tensor(W), other, lambda_)
        borrowed = model.nearness(there, Terms(task, there))
        if borrowed is not None:
            assert borrowed.bound >= -1e-12
            assert model.drift(there) >= 0.0
    assert proofs >= 1


def test_squared_error_is_bounded_wherever_the_point_is():
    X, y = make(1, 60, 6, 3, family="gaussian")
    Z = standardise(X)
    task = problem(Z, y, "gaussian", 0.9)
    lambda_ = 0.1 * task.lambda_max
    W, _, _ = twin.solve(Z, y, lambda_, 0.9, "gaussian", None, None)
    point = torch.as_tensor(W + 3.0)
    found = certify(task, point, torch.zeros(len(W), dtype=torch.float64), lambda_)
    place = Place(point, found, lambda_)
    near = LocalModel.at(task, place, torch.ones(len(W), 7, dtype=torch.bool)).nearness(
        place, Terms(task, place)
    )
    assert near is not None
    assert 3.0 - 1e-6 <= near.bound < 30.0


@pytest.fixture(scope="module")
def digits():
    demo = load_demo("digits")
    with pytest.warns(UserWarning, match="constant"):
        return extract_features(demo.model, demo.train)


@pytest.fixture(scope="module")
def shapes():
    """Features that leave weights looser than any others here."""
    demo = load_demo("shapes")
    return extract_features(demo.model, demo.train)


@pytest.fixture(scope="module")
def twice():
    """Rows of collinear features in pairs, which leave weights loose."""
    X, _ = make(5, 400, 30, 4)
    rng = np.random.default_rng(1)
    X = np.c_[X, X + 0.1 * rng.normal(size=X.shape)]
    return DeepFeatures.from_arrays(X, make(5, 400, 30, 4)[1])


def without_loops(monkeypatch):
    """A process whose compiler has not come to the loops yet: the first one on a machine."""
    import sparse_debug_widgets.sparse.problem.softmax_loops as softmax
    import sparse_debug_widgets.sparse.rows.row_products as products

    for module in (products, softmax):
        monkeypatch.setattr(module, "ready", lambda: False)


def assert_alike(path, others):
    """At every strength, weights are proved, and are those of all other ways."""
    for k in range(path.n_lambdas):
        largest = np.abs(path.weights_at(k)).max()
        assert path.weight_bounds[k] <= 5e-4 * largest + 1e-11
        for way, other in others.items():
            away = np.abs(other.weights_at(k) - path.weights_at(k)).max()
            assert away <= 1e-3 * largest + 1e-12, (way, k, away, largest)


@pytest.mark.parametrize(
    ("name", "alpha", "count"),
    [
        ("digits", 0.5, 40),
        ("digits", 0.99, 40),
        ("shapes", 0.5, 25),
        ("shapes", 0.99, 100),
        ("twice", 0.5, 40),
        ("twice", 0.99, 40),
    ],
)
def test_cold_warm_threads_and_both_ways_give_the_same_weights(name, alpha, count, request, monkeypatch):
    features = request.getfixturevalue(name)
    known = {"n_lambdas": count, "alpha": alpha}
    path = elastic_net_path(features, **known)
    others = {
        "the general way": elastic_net_path(features, solver=WorkingSet(compact=False), **known),
        "a warm start": elastic_net_path(features, start=path, **known),
        "another order of the rows": elastic_net_path(features, seed=1, **known),
    }
    torch.set_num_threads(2)
    others["two threads"] = elastic_net_path(features, **known)
    torch.set_num_threads(1)
    without_loops(monkeypatch)
    others["no compiled loops"] = elastic_net_path(features, **known)
    assert_alike(path, others)


COLD = """
import sys
import numpy as np
import torch
from sparse_debug_widgets.sparse import elastic_net_path
from sparse_debug_widgets.sparse.rows import compiled

data = np.load(sys.argv[1])
elastic_net_path(data["X"], data["y"]).save(sys.argv[2])
assert not compiled.ready()
"""


def test_the_first_process_on_a_machine_finds_the_weights_of_all_later_ones(shapes, tmp_path):
    """An empty cache of compiled loops, in truth and not only told so."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "loops"), "OMP_NUM_THREADS": "1"}
    X, y = np.asarray(shapes.values), np.asarray(shapes.labels)
    saved, found = tmp_path / "data.npz", tmp_path / "path.safetensors"
    np.savez(saved, X=X, y=y)
    subprocess.run([sys.executable, "-c", COLD, str(saved), str(found)], env=environment, check=True)
    assert_alike(elastic_net_path(X, y), {"cold": RegularizationPath.load(found)})


def test_the_tolerance_by_itself_is_said_and_looser_ones_stay_as_they_are(digits):
    path = elastic_net_path(digits, n_lambdas=10)
    assert path.tol == path.provenance.params["tol"] == 1e-5
    assert path.certified.all()
    loose = elastic_net_path(digits, n_lambdas=10, tol=1e-3)
    assert loose.tol == 1e-3
    assert elastic_net_path(digits, n_lambdas=3, eps=0.5, solver="saga").tol == 1e-3
    assert elastic_net_path(digits, n_lambdas=3, eps=0.5, storage="float32").tol == 1e-3
    assert elastic_net_path(digits, n_lambdas=3, eps=0.5, stopping="look_behind").tol == 1e-3


def test_bounds_are_in_tables_and_files_and_older_files_load(digits, tmp_path):
    path = elastic_net_path(digits, n_lambdas=20)
    np.testing.assert_array_equal(path.to_frame()["weight_bound"], path.weight_bounds)
    assert f"weights to within {path.weight_bounds.max():.1g}" in repr(path)
    again = RegularizationPath.load(path.save(tmp_path / "path.safetensors"))
    np.testing.assert_array_equal(again.weight_bounds, path.weight_bounds)
    np.testing.assert_array_equal(again.open_zeros, path.open_zeros)
    names = ("weight_bounds", "zeros_proved", "open_zeros")
    known = {f.name: getattr(path, f.name) for f in dataclasses.fields(path) if f.name not in names}
    older = RegularizationPath(**known)
    assert older.weight_bounds is None
    assert older.to_frame()["weight_bound"].isna().all()
    assert "within" not in repr(older)
    nothing, zero = older.proved(0)
    assert not nothing.any()
    assert not zero.any()


def test_the_order_of_features_is_proved_where_the_range_is_one_index(digits):
    path = elastic_net_path(digits, n_lambdas=50)
    for c in range(10):
        earliest, latest = path.entry_range(c)
        order = path.feature_order(c)
        assert (earliest <= order).all()
        assert (order <= latest).all()
        assert (earliest[~path.alive] == 50).all()
        # At the default tolerance nearly every entry is decided.
        assert (earliest == latest).mean() > 0.97
    loose = elastic_net_path(digits, n_lambdas=50, tol=1e-3)
    assert (loose.entry_range(0)[0][loose.alive] == 0).all()


def test_many_optima_are_no_optimum():
    """The lasso with a feature that occurs twice: any split of its weight is as good."""
    X, y = make(2, 80, 5, 2)
    path = elastic_net_path(np.c_[X, X], y, alpha=1.0, n_lambdas=10, validation=0.0)
    assert path.certified.all()
    both = [k for k in range(10) if path.n_nonzero[k].any()]
    assert np.isinf(path.weight_bounds[both]).all()
    assert "weights without a bound" in repr(path)


def test_the_lasso_takes_as_many_steps_as_its_neighbour(digits):
    """Coordinate descent crawled along the directions in which all classes' weights move together."""
    known = {"n_lambdas": 50, "seed": 0}
    near, lasso = (elastic_net_path(digits, alpha=alpha, **known) for alpha in (0.99, 1.0))
    assert lasso.certified.all()
    assert lasso.iterations.sum() <= 2 * near.iterations.sum()
    loose = elastic_net_path(digits, alpha=1.0, tol=1e-3, **known)
    assert loose.certified.all()
    assert loose.iterations.sum() <= 2 * near.iterations.sum()


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("tol", [1e-5, 1e-8])
def test_a_run_goes_on_bit_by_bit_from_its_state(compact, tol):
    X, y = make(3, 300, 25, 4)
    task = problem(standardise(X), y)
    grid = task.lambda_max * np.geomspace(1.0, 1e-3, 14)

    def begin():
        return WorkingSet(compact=compact).begin(task, RunSettings(tol, 5000), [])

    whole, first, second = begin(), begin(), begin()
    expected = [whole.solve(k, float(value), lambda: None) for k, value in enumerate(grid)]
    for k in range(8):
        first.solve(k, float(grid[k]), lambda: None)
    second.restore({name: np.array(value) for name, value in first.state().items()})
    for k in range(8, 14):
        found = second.solve(k, float(grid[k]), lambda: None)
        assert torch.equal(found.weights, expected[k].weights)
        assert found.certificate.gap == expected[k].certificate.gap
        assert found.nearness.bound == expected[k].nearness.bound


def test_too_large_a_hessian_leaves_the_strength_to_other_steps(monkeypatch):
    X, y = make(4, 300, 25, 4)
    task = problem(standardise(X), y)
    monkeypatch.setattr(sharpening, "_MOST", 30)
    for tol in (1e-5, 1e-7):
        run = WorkingSet().begin(task, RunSettings(tol, 5000), [])
        for k, value in enumerate(task.lambda_max * np.geomspace(1.0, 1e-2, 8)):
            found = run.solve(k, float(value), lambda: None)
            assert found.certificate.gap <= tol
            assert found.reason == "gap"
        assert found.nearness is None


def test_grown_models_are_those_made_at_once():
    X, y = make(6, 120, 9, 3)
    task = problem(standardise(X), y, weights=np.random.default_rng(0).uniform(0.5, 2.0, 120))
    found = certify(task, torch.zeros(3, 9, dtype=torch.float64), task.null_intercept, 0.1)
    place = Place(torch.zeros(3, 9, dtype=torch.float64), found, 0.1)
    few = torch.rand(3, 10, generator=torch.Generator().manual_seed(0)) < 0.4
    few[:, 0] = True
    more = few | (torch.rand(3, 10, generator=torch.Generator().manual_seed(1)) < 0.5)
    grown = LocalModel.at(task, place, few).with_entries(more)
    made = LocalModel.at(task, place, more)
    torch.testing.assert_close(grown.hessian, made.hessian, atol=1e-13, rtol=1e-10)
    eigenvalues = torch.linalg.eigvalsh(made.hessian)
    assert float(eigenvalues.min()) > -1e-12


def test_one_change_at_a_time_ends_where_many_do():
    X, y = make(7, 40, 30, 3, family="gaussian")
    task = problem(standardise(X), y, "gaussian")
    lambda_ = 0.05 * task.lambda_max
    zero = torch.zeros(2, 30, dtype=torch.float64)
    place = Place(zero, certify(task, zero, task.null_intercept, lambda_), lambda_)
    model, terms = LocalModel.at(task, place, torch.ones(2, 31, dtype=torch.bool)), Terms(task, place)
    weights, change = model.step(terms)
    mask = model.mask
    slow = model._one_by_one(terms.weights[mask], terms.slopes[mask], terms.l1.expand(2, -1)[mask])
    torch.testing.assert_close(
        slow.view(2, 31), torch.cat([change[:, None], weights], 1), atol=1e-9, rtol=1e-9
    )
    assert certify(task, weights, change, lambda_).gap < 1e-10


def test_a_sharpener_from_nothing_ends_at_the_optimum():
    X, y = make(8, 200, 12, 3)
    task = problem(standardise(X), y)
    lambda_ = 1e-2 * task.lambda_max
    null = torch.cat([task.null_intercept[:, None], torch.zeros(3, 12, dtype=torch.float64)], 1)
    found = Sharpener(task, 1e-10).ahead(null, None, lambda_, lambda: None)
    assert found.certificate.gap <= 1e-10
    assert found.nearness is not None


def test_standardised_or_not_features_have_their_own_steepest_curvature():
    X, y = make(9, 90, 5, 3)
    features = DeepFeatures.from_arrays(3.0 * X + 1.0, y, validation=0.0)
    plain = prepare(features, path_request(alpha=0.9, standardize=False)).problem
    square = (plain.design.whole.numpy() ** 2).mean(1)
    np.testing.assert_allclose(plain.steepest.numpy(), 0.25 * square, rtol=1e-12)
    np.testing.assert_allclose(prepare(features, path_request(alpha=0.9)).problem.steepest.numpy(), 0.25)


def test_the_first_strength_is_proved_too(digits, twice):
    for features in (digits, twice):
        path = elastic_net_path(features, n_lambdas=8)
        assert path.zeros_proved.all()
        assert path.weight_bounds[0] < 1e-9
