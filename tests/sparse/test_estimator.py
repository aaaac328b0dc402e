"""The scikit-learn front: its own checks in full, and what the checks do not know about."""

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparse_debug_widgets.sparse.estimator import ElasticNetPathClassifier, ElasticNetPathRegressor, _held_out
from tests.sparse.problems import make

SHORT = {"n_lambdas": 12, "eps": 1e-2}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        ElasticNetPathClassifier(**SHORT),
        ElasticNetPathRegressor(**SHORT),
        ElasticNetPathClassifier(**SHORT, class_weight="balanced"),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    X, y = make(0, n=240)
    return X, np.array(["ant", "bee", "cat"])[y]


def test_classifier_fits_predicts_and_chooses_by_the_five_point_rule(data):
    X, y = data
    model = ElasticNetPathClassifier(**SHORT, validation=0.25).fit(X, y)
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    assert model.coef_.shape == (3, 8)
    assert model.lambda_index_ == model.path_.select()
    assert model.score(X, y) > 0.7
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
    np.testing.assert_array_equal(model.predict(X), model.classes_[model.decision_function(X).argmax(1)])
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


def test_coefficients_are_the_paths_in_raw_units(data):
    X, y = data
    model = ElasticNetPathClassifier(**SHORT, tol=1e-6).fit(X * 3 + 7, y)
    k = model.lambda_index_
    path = model.path_
    np.testing.assert_allclose(model.coef_ * path.scale, path.weights_at(k), atol=1e-2)
    layer = path.decision_layer(k)(torch.as_tensor((X * 3 + 7).astype(np.float32))).numpy()
    np.testing.assert_allclose(model.decision_function(X * 3 + 7), layer, atol=0.05)


def test_tensors_and_frames(data):
    X, y = data
    expected = ElasticNetPathClassifier(**SHORT).fit(X, y)
    tensors = ElasticNetPathClassifier(**SHORT).fit(torch.tensor(X, requires_grad=True), y)
    np.testing.assert_array_equal(tensors.coef_, expected.coef_)
    np.testing.assert_array_equal(tensors.predict(torch.tensor(X)), expected.predict(X))
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(8)])
    framed = ElasticNetPathClassifier(**SHORT).fit(frame, pd.Series(y))
    assert framed.feature_names_in_[2] == "f2"
    np.testing.assert_array_equal(framed.coef_, expected.coef_)


def test_binary_problems_have_one_row():
    X, y = make(1, n_classes=2)
    model = ElasticNetPathClassifier(**SHORT).fit(X, np.array([-1, 1])[y])
    assert model.coef_.shape == (1, 8)
    assert model.decision_function(X).shape == (60,)
    assert set(model.predict(X)) == {-1, 1}


@pytest.mark.parametrize("outputs", [1, 2])
def test_regressor(outputs):
    X, y = make(2, n=150, family="gaussian")
    y = y[:, 0] if outputs == 1 else y
    model = ElasticNetPathRegressor(**SHORT, tolerance=0.01).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.coef_.shape == ((8,) if outputs == 1 else (2, 8))
    assert model.score(X, y) > 0.5


def test_cross_validation_chooses_and_refits_on_all_rows(data):
    X, y = data
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = ElasticNetPathClassifier(**SHORT, cv=folds).fit(X, y)
    assert model.cv_scores_.shape == (3, 12)
    mean = model.cv_scores_.mean(0)
    size = model.path_.n_nonzero.sum(1)
    good = mean >= mean.max() - 0.05 - 1e-9
    assert good[model.lambda_index_]
    assert size[model.lambda_index_] == size[good].min()
    # All rows are training rows of the final path.
    assert np.isnan(model.path_.accuracies[:, 1]).all()


def test_folds_run_as_parallel_jobs(data):
    X, y = data
    serial = ElasticNetPathClassifier(**SHORT, cv=3).fit(X, y)
    with parallel_config(backend="threading"):
        threads = ElasticNetPathClassifier(**SHORT, cv=3, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(serial.cv_scores_, threads.cv_scores_)
    np.testing.assert_array_equal(serial.coef_, threads.coef_)


def test_a_fold_without_a_class_counts_it_as_missed():
    X, y = make(3, n=90)
    groups = y.copy()
    model = ElasticNetPathClassifier(**SHORT, cv=list(GroupKFold(3).split(X, y, groups))).fit(X, y)
    np.testing.assert_array_equal(model.cv_scores_, 0.0)


def test_pipeline_clone_and_cross_val_score(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), clone(ElasticNetPathClassifier(**SHORT)))
    scores = cross_val_score(pipeline, X, y, cv=3)
    assert scores.mean() > 0.6


@pytest.mark.parametrize("cv", [None, 3])
def test_the_order_of_the_rows_does_not_matter(data, cv):
    X, y = data
    order = np.random.default_rng(0).permutation(len(X))
    if cv is not None:
        place = np.argsort(order)
        folds = list(StratifiedKFold(cv).split(X, y))
        one = ElasticNetPathClassifier(**SHORT, cv=folds).fit(X, y)
        moved = [(place[a], place[b]) for a, b in folds]
        two = ElasticNetPathClassifier(**SHORT, cv=moved).fit(X[order], y[order])
    else:
        one = ElasticNetPathClassifier(**SHORT).fit(X, y)
        two = ElasticNetPathClassifier(**SHORT).fit(X[order], y[order])
    np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-8)


def test_equal_rows_are_held_out_together():
    X, y = make(4, n=100)
    twice = np.concatenate([X, X])
    splits = _held_out(twice, np.concatenate([y, y]), "multinomial", 0.3, 5)
    np.testing.assert_array_equal(splits[:100], splits[100:])
    assert 0.15 < splits.mean() < 0.45
    assert not np.array_equal(splits, _held_out(twice, np.concatenate([y, y]), "multinomial", 0.3, 6))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alpha": 2.0}, "alpha is not compatible"),
        ({"validation": 1.0}, "validation is not compatible"),
        ({"tolerance": -1.0}, "tolerance is not compatible"),
        ({"solver": "sag"}, "Did you mean 'saga'"),
    ],
)
def test_bad_settings_are_found_when_fitting(data, changed, message):
    X, y = data
    with pytest.raises(ValueError, match=message):
        ElasticNetPathClassifier(**(SHORT | changed)).fit(X, y)


def test_balanced_classes_are_rows_weighed_by_hand(data):
    X, y = data
    kept = np.concatenate([np.flatnonzero(y == "ant")[:15], np.flatnonzero(y == "bee")[:60]])
    X, y = X[kept], y[kept]
    known = {**SHORT, "validation": 0.0, "random_state": 0}
    balanced = ElasticNetPathClassifier(class_weight="balanced", **known).fit(X, y)
    by_hand = np.where(y == "ant", 75 / (2 * 15), 75 / (2 * 60))
    plain = ElasticNetPathClassifier(**known)
    np.testing.assert_array_equal(balanced.coef_, plain.fit(X, y, by_hand).coef_)
    named = ElasticNetPathClassifier(class_weight={"ant": 4.0}, **known).fit(X, y)
    np.testing.assert_allclose(named.coef_, balanced.coef_, atol=1e-9)
    # The rare class is called more often than without.
    assert (balanced.predict(X) == "ant").sum() > (plain.fit(X, y).predict(X) == "ant").sum()
    both = ElasticNetPathClassifier(class_weight="balanced", **known).fit(X, y, np.full(75, 3.0))
    np.testing.assert_allclose(both.coef_, balanced.coef_, atol=1e-9)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"ant": 1.0, "wasp": 2.0}, "'wasp'"),
        ({"ant": -1.0}, "above 0; got -1.0"),
        ("equal", "None, 'balanced', or a dictionary"),
    ],
)
def test_class_weights_that_cannot_be_meant(data, weights, said):
    with pytest.raises(ValueError, match=r"class_weight.*is not compatible") as caught:
        ElasticNetPathClassifier(**SHORT, class_weight=weights).fit(*data)
    assert said in str(caught.value)
