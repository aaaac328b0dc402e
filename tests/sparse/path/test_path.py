"""The public entry point: input of every kind, cancelling, checkpoints, provenance."""

import numpy as np
import pandas as pd
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import SOLVERS, DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from tests.sparse.problems import make

ARRAYS = ("weight_data", "weight_indices", "weight_indptr", "intercepts", "duality_gaps", "accuracies")


def _fit(X, y, **options):
    return elastic_net_path(X, y, **({"n_lambdas": 6, "eps": 0.05} | options))


def _same(one, two):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_arrays_tensors_and_frames_give_the_same_path():
    X, y = make(0)
    X = X.astype(np.float32)
    expected = _fit(X, y)
    _same(_fit(torch.tensor(X, requires_grad=True), torch.tensor(y)), expected)
    frame = pd.DataFrame(X, columns=[f"neuron {j}" for j in range(X.shape[1])])
    path = _fit(frame, pd.Series(y))
    _same(path, expected)
    assert path.feature_names[3] == "neuron 3"
    _same(_fit(X.tolist(), y.tolist()), expected)
    _same(_fit(DeepFeatures.from_arrays(X, y), None), expected)


def test_float16_features_are_taken_as_they_are():
    X, y = make(0)
    half = X.astype(np.float16)
    _same(_fit(half, y), _fit(half.astype(np.float32), y))


def test_labels_as_whole_floats_and_strings():
    X, y = make(0)
    expected = _fit(X, y)
    _same(_fit(X, y.astype(float)), expected)
    names = np.array(["ant", "bee", "cat"])[y]
    path = _fit(X, names)
    _same(path, expected)
    assert path.class_names == ("ant", "bee", "cat")


def test_whole_numbers_are_targets_for_gaussian():
    X, y = make(0)
    path = _fit(X, y, family="gaussian")
    _same(path, _fit(X, y.astype(float), family="gaussian"))
    assert path.n_classes == 1


@pytest.mark.parametrize("family", ["multinomial", "binomial", "gaussian"])
def test_scores_on_every_split(family):
    X, y = make(1, n=90, family=family)
    splits = np.repeat([0, 1, 2], 30)
    weights = np.random.default_rng(0).integers(
        4, 12, (2 if family == "binomial" else path_rows(y, family), 8)
    )
    features = DeepFeatures.from_arrays(
        X, y, splits=splits, dense_weight=weights / 8, dense_bias=np.arange(len(weights))
    )
    path = _fit(features, None, family=family)
    k = path.n_lambdas - 1
    Z = (features.values.astype(float) - path.mean) / path.scale
    logits = Z @ path.weights_at(k).T + path.intercepts_at(k)
    dense = features.values.astype(float) @ (weights / 8).T + np.arange(len(weights))
    standard = Z @ path.dense_weight.T + path.dense_bias
    if family == "binomial":
        np.testing.assert_allclose(standard[:, 0], dense[:, 1] - dense[:, 0], atol=1e-9)
    else:
        np.testing.assert_allclose(standard, dense, atol=1e-9)
    for split in range(3):
        rows = splits == split
        if family == "gaussian":
            left = ((logits[rows] - y[rows]) ** 2).sum()
            expected = 1 - left / ((y[rows] - y[rows].mean(0)) ** 2).sum()
        else:
            predicted = logits.argmax(1) if family == "multinomial" else logits[:, 0] > 0
            expected = (predicted[rows] == y[rows]).mean()
            assert path.dense_accuracies[split] == pytest.approx((dense.argmax(1)[rows] == y[rows]).mean())
        assert path.accuracies[k, split] == pytest.approx(expected, abs=1e-6)
        assert path.losses[k, split] > 0


def path_rows(y, family):
    return y.shape[1] if family == "gaussian" else int(y.max()) + 1


def test_empty_splits_score_nan():
    X, y = make(1)
    path = _fit(X, y, validation=0.0)
    assert np.isnan(path.accuracies[:, 1:]).all()
    assert np.isnan(path.losses[:, 1:]).all()
    assert not np.isnan(path.accuracies[:, 0]).any()
    assert np.isnan(path.dense_accuracies).all()


def test_raw_features_when_not_standardised():
    X, y = make(2)
    path = _fit(X * 3.0 + 5.0, y, standardize=False)
    assert path.certified.all()
    np.testing.assert_array_equal(path.mean, 0)
    np.testing.assert_array_equal(path.scale, 1)


def test_one_lambda():
    X, y = make(3)
    path = _fit(X, y, n_lambdas=1)
    assert path.n_lambdas == 1
    assert path.n_nonzero.sum() == 0
    single = _fit(X, y, lambdas=[0.5 * path.lambdas[0]])
    assert single.certified.all()
    assert single.n_nonzero.sum() > 0


def test_a_class_seen_once():
    X, y = make(4, n_classes=2)
    y[:] = np.where(y > 0, 1, 0)
    y[7] = 2
    path = _fit(X, y, validation=0.2)
    assert path.certified.all()
    assert path.n_classes == 3


def test_dead_features_have_no_weight_and_keep_their_place():
    X, y = make(5)
    X = np.insert(X, 3, 7.0, axis=1)
    with pytest.warns(UserWarning, match="constant on the training split"):
        path = _fit(X, y)
    assert not path.alive[3]
    assert (path.class_path(0)[:, 3] == 0).all()
    assert path.weights_at(5).shape == (3, 9)


BAD = {
    "no labels": ({"y": None}, "y is not compatible"),
    "alpha below 0": ({"alpha": -0.1}, "alpha is not compatible"),
    "alpha above 1": ({"alpha": 1.01}, "alpha is not compatible"),
    "alpha a string": ({"alpha": "0.5"}, "alpha is not compatible"),
    "tol zero": ({"tol": 0}, "tol is not compatible"),
    "eps one": ({"eps": 1.0}, "eps is not compatible"),
    "no lambdas": ({"n_lambdas": 0}, "n_lambdas is not compatible"),
    "empty lambdas": ({"lambdas": []}, "lambdas is not compatible"),
    "increasing lambdas": ({"lambdas": [0.1, 0.2]}, "strictly decreasing"),
    "repeated lambdas": ({"lambdas": [0.2, 0.2]}, "strictly decreasing"),
    "lambda zero": ({"lambdas": [0.1, 0.0]}, "be positive"),
    "lambda NaN": ({"lambdas": [0.1, np.nan]}, "finite"),
    "unknown family": ({"family": "multinomal"}, "Did you mean 'multinomial'"),
    "unknown solver": ({"solver": "sag"}, "Did you mean 'saga'"),
    "unknown stopping": ({"stopping": "gap"}, "stopping is not compatible"),
    "short weights": ({"sample_weight": np.ones(3)}, "sample_weight is not compatible"),
    "negative weights": ({"sample_weight": np.r_[-1.0, np.ones(59)]}, "at least 0"),
    "zero weights": ({"sample_weight": np.zeros(60)}, "zeros only"),
    "NaN weights": ({"sample_weight": np.r_[np.nan, np.ones(59)]}, "finite"),
    "NaN feature": ({"X": np.where(np.eye(60, 8) > 0, np.nan, 1.0)}, "finite"),
    "constant features": ({"X": np.ones((60, 8))}, "constant"),
    "one-hot labels": ({"y": np.eye(3)[np.arange(60) % 3]}, "argmax"),
    "one-hot integers": ({"y": np.eye(3, dtype=int)[np.arange(60) % 3]}, "argmax"),
    "real labels": ({"y": np.linspace(0, 1, 60)}, "family='gaussian'"),
    "NaN labels": ({"y": np.full(60, np.nan)}, "finite"),
    "one class": ({"y": np.zeros(60, int)}, "a classifier needs at least two"),
    "missing class": ({"y": np.arange(60) % 2 * 2}, "No training row is of 'class 1'"),
    "three classes, binomial": ({"family": "binomial"}, "is for two classes, and the labels have 3"),
    "names, gaussian": ({"y": np.array(["a", "b"] * 30), "family": "gaussian"}, "be numbers"),
    "one row": ({"X": np.ones((1, 8)), "y": np.zeros(1, int)}, "a classifier needs at least two"),
    "one row, gaussian": ({"X": np.ones((1, 8)), "y": np.zeros(1), "family": "gaussian"}, "constant"),
    "constant target": ({"y": np.ones(60), "family": "gaussian"}, "correlated"),
    "features and labels": ({"X": "features"}, "be left out"),
    "progress": ({"progress": "yes"}, "progress"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_clear_message(case):
    X, y = make(6)
    changed, message = BAD[case]
    options = {"X": X, "y": y} | changed
    X, y = options.pop("X"), options.pop("y")
    if isinstance(X, str):
        X = DeepFeatures.from_arrays(*make(6))
    with pytest.raises((InputError, TypeError), match=message):
        _fit(X, y, **options)


def test_weights_that_leave_a_class_empty_are_named():
    X, y = make(6)
    with pytest.raises(InputError, match="class 1"):
        _fit(X, y, sample_weight=(y != 1).astype(float))


class _CancelAt:
    def __init__(self, calls):
        self.left = calls

    def __call__(self, progress):
        self.left -= 1
        if self.left == 0:
            raise Cancelled


def test_cancel_inside_a_lambda_returns_the_path_so_far():
    X, y = make(7)
    calls = []
    whole = _fit(X, y, progress=calls.append, validation=0.0)
    assert calls[-1].done == calls[-1].total == 6
    assert len(calls) > 20
    assert "gap" in calls[-1].note
    # Inside the fourth lambda: between its first call and the fifth one's.
    inside = 2 + max(i for i, call in enumerate(calls) if call.done == 3) - 1
    path = _fit(X, y, progress=_CancelAt(inside), validation=0.0)
    assert path.cancelled
    assert path.n_lambdas == 3
    assert path.n_requested == 6
    assert "cancelled after 3 of 6" in repr(path)
    np.testing.assert_array_equal(path.weights_at(2), whole.weights_at(2))
    assert not whole.cancelled


def test_cancel_before_anything_is_found_reaches_the_caller():
    X, y = make(7)
    with pytest.raises(Cancelled):
        _fit(X, y, progress=_CancelAt(1))


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_a_resumed_fit_equals_an_uninterrupted_one(tmp_path, solver):
    X, y = make(8)
    calls = []
    whole = _fit(X, y, progress=calls.append, solver=solver)
    file = tmp_path / "fit.safetensors"
    inside = 1 + max(i for i, call in enumerate(calls) if call.done == 3)
    part = _fit(X, y, checkpoint=file, progress=_CancelAt(inside), solver=solver)
    assert part.n_lambdas == 3
    resumed = _fit(X, y, checkpoint=file, solver=solver)
    assert resumed.n_lambdas == 6
    np.testing.assert_array_equal(resumed.weights_at(2), part.weights_at(2))
    np.testing.assert_allclose(resumed.objectives, whole.objectives, rtol=1e-3)
    assert resumed.certified.all()
    # A complete file needs no work at all.
    again = []
    _same(_fit(X, y, checkpoint=file, progress=again.append, solver=solver), resumed)
    assert [call.piece is not None for call in again] == [True] * 6 + [False]


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    X, y = make(8)
    file = tmp_path / "fit.safetensors"
    _fit(X, y, checkpoint=file)
    for options in ({"alpha": 0.5}, {"tol": 1e-4}, {"seed": 1}, {"sample_weight": np.arange(60) + 1.0}):
        with pytest.raises(InputError, match="another fit"):
            _fit(X, y, checkpoint=file, **options)
    with pytest.raises(InputError, match="another fit"):
        _fit(X + 1e-3 * np.arange(8) * X, y, checkpoint=file)


def test_provenance_tells_how():
    X, y = make(9)
    path = _fit(X, y, seed=3)
    assert path.provenance.method == "elastic_net_path:working_set"
    assert path.provenance.params["solver"].startswith("WorkingSet(")
    assert path.provenance.seed == 3
    assert path.provenance.seconds > 0
    assert path.provenance.params["tol"] == path.tol == 1e-5
    assert path.provenance.fingerprint
    assert path.provenance.fingerprint != _fit(X, y, seed=4).provenance.fingerprint
    assert isinstance(path, RegularizationPath)


def test_the_callers_arrays_and_random_state_are_untouched():
    X, y = make(10)
    before = X.copy()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    _fit(X, y)
    np.testing.assert_array_equal(X, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_storage_in_single_precision_certifies_too():
    """Problems beyond a few million numbers are kept in float32; the certificate stays float64."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2500, 1700)).astype(np.float32)
    y = (X[:, :3] * [2.0, 1.5, 1.0] + rng.gumbel(size=(2500, 3))).argmax(1)
    path = _fit(X, y, n_lambdas=4, eps=0.3, validation=0.0)
    assert path.certified.all()
    assert 0 < path.duality_gaps[-1] <= 1e-3
