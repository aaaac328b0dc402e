"""``storage=``: the precision of the solver's matrix, what it changes, and what it never does."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import elastic_net_path
from sparse_debug_widgets.sparse.path.data import prepare
from sparse_debug_widgets.sparse.path.path import as_features, path_request
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from tests.sparse.problems import make

HALVES = ("float16", "bfloat16")


def fit(X, y, **options):
    return elastic_net_path(X, y, **({"n_lambdas": 8, "eps": 0.02, "seed": 3} | options))


def data_of(X, y, family="multinomial", **options):
    request = path_request(family=family, seed=3, **options)
    return prepare(as_features(X, y, request), request)


@pytest.mark.parametrize("family", ["multinomial", "binomial", "gaussian"])
@pytest.mark.parametrize("storage", HALVES)
@pytest.mark.parametrize("solver", ["working_set", "saga"])
def test_a_path_in_half_precision_is_certified_for_the_rounded_features(family, storage, solver):
    X, y = make(1, 260, 30, 4, family=family)
    path = fit(X, y, family=family, storage=storage, solver=solver)
    assert path.certified.all()
    assert path.provenance.params["storage"] == storage
    half = data_of(X, y, family, storage=storage).problem
    assert half.design.whole.dtype == getattr(torch, storage)
    assert half.design.dtype == torch.float32
    # A judge that has the same rounded numbers, in float64.
    exact = Problem(DesignMatrix(half.design.whole.double()), half.loss, half.penalty)
    for k, lambda_ in enumerate(path.lambdas):
        weights, intercept = (torch.tensor(a) for a in (path.weights_at(k), path.intercepts_at(k)))
        judged = certify(exact, weights, intercept, float(lambda_))
        assert judged.gap <= 1e-3
        assert judged.primal == pytest.approx(path.objectives[k], rel=1e-8)
    # And the path is that of the features themselves, up to their rounding.
    np.testing.assert_allclose(path.objectives, fit(X, y, family=family).objectives, rtol=0.02)


def test_storage_by_name_and_by_size():
    X, y = make(2, 120, 10)
    kinds = {name: data_of(X, y, storage=name).problem.design.whole.dtype for name in ("float32", "float64")}
    assert kinds == {"float32": torch.float32, "float64": torch.float64}
    assert data_of(X, y).problem.design.whole.dtype == torch.float64
    for name in kinds:
        np.testing.assert_allclose(fit(X, y, storage=name).objectives, fit(X, y).objectives, rtol=1e-3)


def test_half_precision_takes_half_the_memory():
    X, y = make(2, 400, 50)
    half, single = (data_of(X, y, storage=name).problem.design.whole for name in ("bfloat16", "float32"))
    assert 2 * half.untyped_storage().nbytes() == single.untyped_storage().nbytes()


def test_what_cannot_be_stored_is_refused():
    X, y = make(3, 90, 6)
    with pytest.raises(InputError, match=r"be one of .*'bfloat16'"):
        fit(X, y, storage="float8")
    large = X * 1e6
    with pytest.raises(InputError, match=r"storage='float16'.*within 65504.*bfloat16"):
        fit(large, y, storage="float16", standardize=False)
    assert fit(large, y, storage="bfloat16", standardize=False, max_epochs=50).n_lambdas == 8
    with pytest.raises(InputError, match=r"read from a file"):
        fit(*make(3, 6000, 600), storage="float16", memory_budget=16e6)


def test_a_checkpoint_of_another_storage_is_refused(tmp_path):
    X, y = make(4, 90, 6)
    fit(X, y, checkpoint=tmp_path, storage="bfloat16")
    with pytest.raises(InputError, match="storage"):
        fit(X, y, checkpoint=tmp_path)
