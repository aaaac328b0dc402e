"""Features and labels of unusual sizes and forms: they work, or one sentence says what to do."""

import time

import numpy as np
import pytest
import torch
from scipy import sparse

from sparse_debug_widgets.core.checks import InputError, check_real
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.features.arrays import RoundedFeaturesWarning
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning
from sparse_debug_widgets.sparse.path.path import ToleranceWarning
from tests.sparse.problems import make

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data():
    return make(0, 150, 10, 3)


@pytest.mark.parametrize("ids", [[5, 10**9, 9], [2**40, 7, 8], [1003, 2000001, 500]])
def test_labels_that_are_ids_become_classes_of_that_name(data, ids):
    X, y = data
    began = time.process_time()
    path = elastic_net_path(X, np.array(ids)[y], n_lambdas=5)
    # A list of as many classes as the largest id would take minutes and gigabytes.
    assert time.process_time() - began < 30
    assert path.class_names == tuple(f"class {i}" for i in sorted(ids))
    expected = elastic_net_path(X, np.searchsorted(sorted(ids), np.array(ids)[y]), n_lambdas=5)
    for k in range(5):
        np.testing.assert_array_equal(path.weights_at(k), expected.weights_at(k))


def test_a_mark_is_no_class_and_small_gaps_are_said_as_before(data):
    X, y = data
    marked = np.where(np.arange(150) % 7 == 0, 255, y)
    with pytest.raises(InputError, match=r"0 \.\.\. 2, and 255 in 22 rows") as caught:
        elastic_net_path(X, marked, n_lambdas=5)
    assert "Drop these rows if 255 marks rows without a class" in str(caught.value)
    with pytest.raises(InputError, match="No training row is of"):
        elastic_net_path(X, np.array([0, 5, 9])[y], n_lambdas=5)
    with pytest.raises(InputError, match="lie in"):
        elastic_net_path(X, np.array([-1, 10**9, 9])[y], n_lambdas=5)


def test_features_of_a_large_mean_say_what_float32_does_to_them(data):
    X, y = data
    with (
        pytest.warns(
            RoundedFeaturesWarning, match=r"10 columns are rounded.*mean 1e\+08.*X - X.mean"
        ) as caught,
        pytest.raises(InputError, match="large means must be subtracted first"),
    ):
        DeepFeatures.from_arrays(1e8 + X, y)
    assert len(caught) == 1
    one = X.copy()
    one[:, 3] += 1e6
    with pytest.warns(RoundedFeaturesWarning, match="1 column is rounded.*number 3"):
        elastic_net_path(one, y, n_lambdas=3)
    shifted = 1e8 + X
    path = elastic_net_path(shifted - shifted.mean(0), y, n_lambdas=5)
    assert path.certified.all()


def test_ordinary_columns_and_constant_ones_are_not_called_rounded(data):
    X, y = data
    with pytest.warns(DeadFeaturesWarning):
        DeepFeatures.from_arrays(np.c_[X, np.full(150, 0.1), 100.0 + 0.01 * X[:, 0]], y)


@pytest.mark.parametrize("spread", [1e-40, 1e-36])
def test_features_too_small_for_float32_are_left_out(data, spread):
    X, y = data
    mixed = X.copy()
    mixed[:, 2] *= spread
    with pytest.warns(DeadFeaturesWarning, match="feature 2"):
        path = elastic_net_path(mixed, y, n_lambdas=5, eps=0.01)
    layer = path.decision_layer(-1)
    assert bool(torch.isfinite(layer.weight).all())
    assert bool(torch.isfinite(layer(torch.as_tensor(mixed, dtype=torch.float32))).all())
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 150)
    with pytest.warns(DeadFeaturesWarning):
        elastic_net_path(mixed, y, n_lambdas=3, sample_weight=weights)


@pytest.mark.parametrize("spread", [1e-30, 1e30])
def test_features_within_the_range_of_float32_work(data, spread):
    X, y = data
    path = elastic_net_path(X * spread, y, n_lambdas=5, eps=0.01)
    plain = elastic_net_path(X, y, n_lambdas=5, eps=0.01)
    np.testing.assert_allclose(path.weights_at(4), plain.weights_at(4), atol=1e-3)


@pytest.mark.parametrize(
    "form",
    [
        sparse.csr_matrix,
        sparse.coo_array,
        lambda X: torch.as_tensor(X).to_sparse(),
        lambda X: torch.as_tensor(X).to_sparse_csr(),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_features_are_made_dense(data, form):
    X, y = data
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    expected = elastic_net_path(X, y, n_lambdas=4)
    found = elastic_net_path(form(X), y, n_lambdas=4)
    for k in range(4):
        np.testing.assert_array_equal(found.weights_at(k), expected.weights_at(k))


def test_sparse_features_too_large_to_be_dense_are_refused_at_once():
    wide = sparse.coo_matrix(([1.0], ([0], [10**9])), shape=(100, 2 * 10**9))
    tensor = torch.sparse_coo_tensor(
        torch.tensor([[0], [5]]), torch.tensor([1.0]), (10**5, 10**6), check_invariants=True
    )
    for given, said in ((wide, "100 x 2,000,000,000 (800 GB when dense)"), (tensor, "400 GB")):
        with pytest.raises(InputError, match="at most 268,435,456 entries") as caught:
            elastic_net_path(given, np.arange(given.shape[0]) % 2)
        assert said in str(caught.value)
        assert "Keep fewer columns" in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"low": 0, "open_low": True}, "be a finite number above 0; got inf."),
        ({"low": 1}, "be a finite number of at least 1; got inf."),
        ({"high": 2}, "be a finite number of at most 2; got inf."),
        ({"high": 2, "open_high": True}, "be a finite number below 2; got inf."),
        ({"low": 0, "high": 1}, "be a finite number in [0, 1]; got inf."),
        ({}, "be a finite number; got inf."),
    ],
)
def test_an_infinite_end_of_an_interval_is_no_number_to_pass(limits, said):
    with pytest.raises(InputError) as caught:
        check_real(float("inf"), "lambda_", "select", **limits)
    assert said in str(caught.value)


def test_a_tolerance_finer_than_rounding_is_said_and_ends(data):
    X, y = data
    for family, labels in (("multinomial", y), ("gaussian", X @ np.arange(10.0))):
        with pytest.warns(ToleranceWarning, match="finer than float64 numbers can prove"):
            path = elastic_net_path(X, labels, family=family, tol=1e-16, n_lambdas=12, eps=0.01)
        assert path.tol == 1e-13
        assert path.certified.all()
    path = elastic_net_path(X, y.astype(float), family="gaussian", tol=1e-12, n_lambdas=20)
    assert path.certified.all()
    with pytest.raises(InputError, match=r"'auto' or a number in \(0, 1\); got 'tight'"):
        elastic_net_path(X, y, tol="tight")


@pytest.mark.parametrize("kind", ["plain", "twins", "rectified"])
@pytest.mark.parametrize("alpha", [0.05, 0.99, 1.0])
def test_squared_error_with_few_rows_is_certified_in_few_steps(kind, alpha):
    rng = np.random.default_rng(3)
    n, p = (60, 200) if kind == "rectified" else (60, 90)
    X = rng.normal(size=(n, p))
    if kind == "twins":
        X[:, 1], X[:, 2] = X[:, 0], 1.0 - 2.0 * X[:, 0]
    if kind == "rectified":
        X = np.maximum(rng.normal(size=(n, 20)) @ rng.normal(size=(20, p)), 0.0)
    y = X[:, :5] @ rng.normal(size=5) + 0.5 * rng.normal(size=n)
    path = elastic_net_path(X, y, family="gaussian", n_lambdas=30, eps=1e-4, alpha=alpha, validation=0.0)
    assert path.certified.all()
    assert path.iterations.max() < 50
