"""Input at the edge of what can be fitted, and beyond it, for every solver."""

import sys

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import SOLVERS, DeepFeatures, elastic_net_path
from tests.sparse.problems import FAMILIES, make

torch.set_num_threads(1)
solvers = pytest.mark.parametrize("solver", list(SOLVERS))


@solvers
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [0, 1])
def test_ridge_and_lasso_certify(alpha, family, solver):
    X, y = make(1, family=family)
    path = elastic_net_path(X, y, family=family, alpha=alpha, n_lambdas=5, eps=0.01, solver=solver)
    assert path.certified.all()
    assert (path.n_nonzero[-1] > 0).all()


@solvers
@pytest.mark.parametrize("family", ["multinomial", "binomial"])
def test_separable_data_at_tiny_strengths(family, solver):
    """Losses vanish and weights grow: gaps stay relative to the null model's loss, and objectives fall."""
    X, y = make(16, kind="separable", family=family)
    if family == "binomial":
        y = (X[:, 0] + X[:, 1] > 0).astype(int)
    path = elastic_net_path(X, y, family=family, eps=1e-6, n_lambdas=10, validation=0.0, solver=solver)
    assert path.certified.all()
    assert np.isfinite(path.weight_data).all()
    assert np.isfinite(path.intercepts).all()
    assert (np.diff(path.objectives) < 0).all()
    assert path.losses[-1, 0] < 1e-3 * path.null_objective
    assert path.accuracies[-1, 0] == 1.0


@solvers
def test_a_feature_that_tells_all_and_a_rare_class(solver):
    rng = np.random.default_rng(0)
    y = (np.arange(1001) == 500).astype(int)
    X = np.c_[1000.0 * y, rng.normal(size=(1001, 6))]
    path = elastic_net_path(X, y, eps=1e-6, n_lambdas=8, validation=0.0, solver=solver)
    assert path.certified.all()
    assert path.accuracies[-1, 0] == 1.0


@solvers
def test_numbers_of_any_size(solver):
    X, y = make(2)
    plain = elastic_net_path(X, y, n_lambdas=4, eps=0.05, solver=solver)
    for factor in (1e-18, 1e18):
        path = elastic_net_path(X * factor, y, n_lambdas=4, eps=0.05, solver=solver)
        np.testing.assert_allclose(path.objectives, plain.objectives, rtol=1e-3)


@solvers
def test_a_cancel_inside_a_strength_returns_the_path_so_far(solver):
    X, y = make(7, 200, 20)
    options = {"n_lambdas": 6, "eps": 0.05, "solver": solver, "tol": 1e-6}
    whole, calls = elastic_net_path(X, y, **options), []

    def report(progress):
        calls.append(progress.done)
        if calls.count(3) == 3:
            raise Cancelled

    path = elastic_net_path(X, y, progress=report, **options)
    assert (path.n_lambdas, path.n_requested, path.cancelled) == (3, 6, True)
    np.testing.assert_array_equal(path.weights_at(2), whole.weights_at(2))
    np.testing.assert_array_equal(path.objectives, whole.objectives[:3])


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", 3.5])
def test_a_device_that_is_not_there(device):
    X, y = make(2)
    with pytest.raises(InputError, match="device is not compatible with this machine"):
        elastic_net_path(X, y, device=device)


def test_features_without_data():
    y = np.arange(20) % 2
    with pytest.raises(InputError, match="hold data"):
        DeepFeatures.from_arrays(torch.empty(20, 3, device="meta"), y)


HOST_LOOPS = {
    "sparse_debug_widgets.sparse.rows.row_products",
    "sparse_debug_widgets.sparse.problem.softmax_loops",
}
"""Compiled loops for the CPU, which are chosen only where the tensors are there."""


class _Host(TorchFunctionMode):
    """Tensors become arrays only after they have been brought to the host by name, as a GPU wants it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        caller = sys._getframe(1).f_globals["__name__"]
        if name == "numpy" and not getattr(args[0], "on_host", False) and caller not in HOST_LOOPS:
            raise AssertionError("a tensor that may be on another device was taken for an array")
        out = func(*args, **(kwargs or {}))
        if name == "cpu" or (name == "to" and "cpu" in args):
            out = out.detach()
            out.on_host = True
        return out


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, {"table_device": "cpu"}, {"accelerate": False}])
def test_saga_never_takes_a_device_for_the_host(family, options):
    from sparse_debug_widgets.sparse import Saga

    X, y = make(4, family=family)
    features = DeepFeatures.from_arrays(X, y)
    with _Host():
        path = elastic_net_path(features, family=family, n_lambdas=4, eps=0.05, solver=Saga(**options))
    assert path.certified.all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("table", [None, "cpu"])
def test_saga_on_a_gpu_agrees_with_the_cpu(family, table):
    from sparse_debug_widgets.sparse import Saga

    X, y = make(4, 300, 30, family=family)
    weights = np.random.default_rng(0).uniform(0.1, 2.0, 300)
    options = {"family": family, "n_lambdas": 6, "tol": 1e-6, "sample_weight": weights}
    here = elastic_net_path(X, y, solver="saga", **options)
    there = elastic_net_path(
        torch.as_tensor(X).cuda(),
        torch.as_tensor(y),
        device="cuda",
        solver=Saga(table_device=table),
        **options,
    )
    assert there.certified.all()
    np.testing.assert_allclose(there.objectives, here.objectives, rtol=1e-5)
