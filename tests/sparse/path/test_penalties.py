"""Penalty factors, the group penalty, the sparsity limit, single strengths and warm starts."""

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.losses import Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet, GroupElasticNet
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from tests.reference import elastic_net as twin
from tests.sparse.problems import make, standardise


def _fit(X, y, **options):
    chosen = {"n_lambdas": 8, "eps": 1e-2, "tol": 1e-6, "validation": 0.0, "solver": "saga"} | options
    return elastic_net_path(X, y, **chosen)


def _standard(X, path):
    return (X.astype(np.float32).astype(float) - path.mean) / path.scale


@pytest.mark.parametrize("solver", ["saga", "working_set"])
def test_factors_equal_rescaled_features_for_the_lasso(solver):
    """At alpha = 1, factor f on a feature is the same as dividing the (raw) feature by f."""
    X, y = make(0)
    X = standardise(X)
    factors = np.linspace(0.5, 2.0, X.shape[1])
    one = _fit(X, y, alpha=1.0, standardize=False, penalty_factors=factors, solver=solver)
    two = _fit(X / factors, y, alpha=1.0, standardize=False, solver=solver)
    np.testing.assert_allclose(one.lambdas, two.lambdas, rtol=1e-6)
    np.testing.assert_allclose(one.objectives, two.objectives, rtol=1e-5)
    np.testing.assert_allclose(one.weights_at(7), two.weights_at(7) / factors, atol=3e-3)
    np.testing.assert_array_equal(one.penalty_factors, factors)


@pytest.mark.parametrize("solver", ["saga", "working_set"])
@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_factors_satisfy_their_optimality_conditions(alpha, solver):
    X, y = make(1)
    factors = np.geomspace(0.2, 5.0, X.shape[1])
    path = _fit(X, y, alpha=alpha, penalty_factors=torch.as_tensor(factors), tol=1e-9, solver=solver)
    assert path.certified.all()
    assert path.n_nonzero[0].sum() == 0
    W, lambda_ = path.weights_at(6), path.lambdas[6]
    G = twin.smooth_part(_standard(X, path), y, W, path.intercepts_at(6), "multinomial", None)[1]
    l1, l2 = alpha * lambda_ * factors, (1 - alpha) * lambda_ * factors
    on = W != 0
    np.testing.assert_allclose((G + l2 * W + l1 * np.sign(W))[on], 0, atol=0.02 * l1.max())
    assert (np.abs(G) <= 1.02 * l1)[~on].all()


def test_infinite_factors_leave_features_out():
    X, y = make(2)
    factors = np.ones(8)
    factors[[1, 4]] = np.inf
    path = _fit(X, y, penalty_factors=factors)
    kept = np.isfinite(factors)
    np.testing.assert_array_equal(path.alive, kept)
    np.testing.assert_allclose(path.objectives, _fit(X[:, kept], y).objectives, rtol=1e-6)
    assert (path.weights_at(7)[:, ~kept] == 0).all()


@pytest.mark.parametrize(
    "factors", [np.ones(3), np.zeros(8), -np.ones(8), np.full(8, np.nan), np.full(8, np.inf)]
)
def test_bad_factors(factors):
    X, y = make(2)
    with pytest.raises(InputError, match="penalty_factors is not compatible"):
        _fit(X, y, penalty_factors=factors)


@pytest.mark.parametrize("alpha", [0.5, 0.99, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_group_paths_certify_and_enter_by_feature(alpha, weighted):
    X, y = make(3)
    factors = np.geomspace(0.5, 2.0, 8) if weighted else None
    path = _fit(X, y, alpha=alpha, group=True, penalty_factors=factors)
    assert path.certified.all()
    assert path.grouped
    assert path.n_nonzero[0].sum() == 0
    for k in range(8):
        used = path.weights_at(k) != 0
        assert (used.any(0) == used.all(0)).all()
    assert 0 < path.n_nonzero[2].sum() < 24


def test_group_optimality_conditions():
    X, y = make(4)
    path = _fit(X, y, group=True, alpha=0.9, tol=1e-9)
    W, lambda_ = path.weights_at(4), path.lambdas[4]
    G = twin.smooth_part(_standard(X, path), y, W, path.intercepts_at(4), "multinomial", None)[1]
    norms = np.linalg.norm(W, axis=0)
    on = norms > 0
    expected = -(0.9 * lambda_ * W[:, on] / norms[on] + 0.1 * lambda_ * W[:, on])
    np.testing.assert_allclose(G[:, on], expected, atol=1e-2 * lambda_)
    assert (np.linalg.norm(G[:, ~on], axis=0) <= 0.9 * lambda_ * 1.01).all()


def test_group_equals_plain_for_one_row():
    X, y = make(5, family="binomial")
    one, two = (_fit(X, y, family="binomial", group=g) for g in (False, True))
    np.testing.assert_allclose(one.objectives, two.objectives, rtol=1e-6)


def test_group_penalty_of_dead_features_is_finite():
    X, y = make(6)
    X[:, 2] = 0.0
    with pytest.warns(UserWarning, match="constant"):
        path = _fit(X, y, group=True)
    assert np.isfinite(path.weight_data).all()
    zero = torch.zeros(3, 4)
    assert torch.equal(GroupElasticNet(0.5).prox(zero, 0.1, 0.2), zero)
    assert torch.equal(GroupElasticNet(1.0).prox(zero, 0.0, 0.2), zero)


@pytest.mark.parametrize("kind", [ElasticNet, GroupElasticNet])
@pytest.mark.parametrize("weighted", [False, True])
def test_prox_and_conjugate_satisfy_moreau(kind, weighted):
    """v = prox(v) + u with u in the subgradient at prox(v): Fenchel-Young holds with equality."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    factors = torch.linspace(0.5, 2, 5, dtype=torch.float64) if weighted else None
    penalty = kind(0.7, factors)
    w = penalty.prox(v, 1.0, 0.6)
    u = v - w
    assert float((u * w).sum()) == pytest.approx(penalty.value(w, 0.6) + penalty.conjugate(u, 1.0, 0.6))


@pytest.mark.parametrize("kind", [ElasticNet, GroupElasticNet])
def test_certificates_with_factors_bound_random_points(kind):
    X, y = make(7)
    Z = standardise(X)
    factors = torch.linspace(0.5, 2, 8, dtype=torch.float64)
    design, loss = DesignMatrix(torch.as_tensor(Z.T.copy())), Multinomial(torch.as_tensor(y), 3)
    ours = Problem(design, loss, kind(0.9, factors))
    path = _fit(X, y, alpha=0.9, group=kind.grouped, penalty_factors=factors.numpy(), tol=1e-8)
    generator = torch.Generator().manual_seed(0)
    for k in (3, 6):
        best = path.objectives[k]
        for noise in (0.0, 0.01, 1.0):
            W = torch.as_tensor(path.weights_at(k))
            W = W + noise * torch.randn(3, 8, dtype=torch.float64, generator=generator)
            found = certify(ours, W, torch.zeros(3, dtype=torch.float64), float(path.lambdas[k]))
            assert found.dual <= best * (1 + 1e-6)
            assert found.primal >= best * (1 - 1e-6)


def test_a_path_ends_at_its_sparsity_limit():
    X, y = make(8)
    whole, part = _fit(X, y), _fit(X, y, max_features=3)
    size = whole.n_nonzero.mean(1)
    assert part.n_lambdas == int(np.flatnonzero(size > 3)[0]) + 1
    assert part.limited
    assert not part.cancelled
    assert "ended beyond 3 features per class" in repr(part)
    assert part.n_nonzero[part.select(n_features=3)].mean() <= 3
    assert not _fit(X, y, max_features=100).limited


def test_a_single_strength_as_a_number():
    X, y = make(9)
    whole = _fit(X, y)
    single = _fit(X, y, lambdas=float(whole.lambdas[5]))
    assert single.n_lambdas == 1
    assert single.objectives[0] == pytest.approx(whole.objectives[5], rel=1e-5)


def _starts(path):
    layer = path.decision_layer(7)
    linear = nn.Linear(8, 3)
    with torch.no_grad():
        linear.weight.copy_(layer.weight)
        linear.bias.copy_(layer.bias)
    return {"path": path, "layer": layer, "linear": linear, "arrays": (layer.weight, layer.bias.tolist())}


@pytest.mark.parametrize("solver", ["saga", "working_set"])
@pytest.mark.parametrize("kind", ["path", "layer", "linear", "arrays"])
@pytest.mark.parametrize("standardize", [True, False])
def test_a_warm_start_saves_work(kind, standardize, solver):
    X, y = make(10, n=300)
    X = X * 2 + 1
    path = _fit(X, y, standardize=standardize, tol=1e-5)
    strength = [float(path.lambdas[7])]
    options = {"lambdas": strength, "standardize": standardize, "tol": 1e-4, "solver": solver}
    cold, warm = _fit(X, y, **options), _fit(X, y, **options, start=_starts(path)[kind])
    assert warm.certified.all()
    assert warm.iterations[0] < cold.iterations[0]
    assert warm.objectives[0] == pytest.approx(cold.objectives[0], rel=1e-3)


@pytest.mark.parametrize("solver", ["saga", "working_set"])
def test_any_start_gives_a_certified_path(solver):
    X, y = make(11)
    awful = (np.full((3, 8), 50.0) * [[1], [-1], [0]], np.array([1e3, 0, 0]))
    path = _fit(X, y, start=awful, tol=1e-4, solver=solver)
    assert path.certified.all()
    assert path.n_nonzero[0].sum() == 0
    np.testing.assert_allclose(path.objectives, _fit(X, y, tol=1e-4).objectives, rtol=1e-3)


@pytest.mark.parametrize(
    "start", [nn.Linear(7, 3), nn.Linear(8, 2), nn.ReLU(), "model", (np.full((3, 8), np.nan), np.zeros(3))]
)
def test_bad_starts(start):
    X, y = make(11)
    with pytest.raises(InputError, match="start is not compatible"):
        _fit(X, y, start=start)


def test_options_survive_saving(tmp_path):
    X, y = make(12)
    path = _fit(X, y, max_features=2, penalty_factors=np.ones(8), group=True)
    again = RegularizationPath.load(path.save(tmp_path / "path"))
    assert (again.max_features, again.grouped) == (2.0, True)
    np.testing.assert_array_equal(again.penalty_factors, 1.0)
    assert repr(again) == repr(path)


def test_table_on_another_device_changes_nothing():
    X, y = make(13)
    from sparse_debug_widgets.sparse import Saga

    one, two = _fit(X, y, solver=Saga()), _fit(X, y, solver=Saga(table_device="cpu"))
    np.testing.assert_array_equal(one.weight_data, two.weight_data)


def test_group_penalty_needs_a_solver_that_knows_it():
    X, y = make(13)
    with pytest.raises(InputError, match="saga"):
        _fit(X, y, solver="working_set", group=True)
