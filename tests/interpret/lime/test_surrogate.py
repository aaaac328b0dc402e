import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.interpret.lime.surrogate import fit_surrogates, sample_weights, stability


def samples(n, d, n_features, seed=0):
    rng = np.random.default_rng(seed)
    design = rng.integers(0, 2, (n, d))
    design[0] = 1
    return design, design @ rng.normal(size=(d, n_features)) + rng.normal(size=(n, n_features))


@pytest.mark.parametrize("shape", [(300, 20, 4), (50, 80, 3), (40, 2100, 2), (30, 1, 2)])
@pytest.mark.parametrize(("width", "scale"), [(0.25, 1.0), (25.0, 100.0)])
def test_equals_scikit_learns_weighted_ridge(shape, width, scale):
    design, answers = samples(*shape)
    distance = scale * pairwise_distances(design, design[:1], metric="cosine").ravel()
    weights = np.sqrt(np.exp(-(distance**2) / width**2))
    assert np.allclose(weights, sample_weights(design, kernel_width=width, distance_scale=scale), atol=1e-12)
    found = fit_surrogates(design, answers, kernel_width=width, distance_scale=scale)
    for k in range(shape[2]):
        peer = Ridge(alpha=1).fit(design, answers[:, k], sample_weight=weights)
        assert np.allclose(found.weights[k], peer.coef_, atol=1e-8)
        assert np.isclose(found.intercepts[k], peer.intercept_, atol=1e-8)
        assert np.isclose(found.r2[k], peer.score(design, answers[:, k], sample_weight=weights), atol=1e-8)


@pytest.mark.parametrize("shape", [(60, 9, 1), (40, 70, 1)])
def test_left_out_r2_equals_refits_without_each_sample(shape):
    design, answers = samples(*shape)
    weights, y = sample_weights(design), answers[:, 0]
    errors, plain = np.empty(len(y)), np.empty(len(y))
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        fit = Ridge(alpha=1).fit(design[others], y[others], sample_weight=weights[others])
        errors[i] = y[i] - fit.predict(design[i : i + 1])[0]
        plain[i] = y[i] - np.average(y[others], weights=weights[others])
    expected = 1 - weights @ errors**2 / (weights @ plain**2)
    assert np.isclose(fit_surrogates(design, y).r2_left_out[0], expected, atol=1e-9)


def test_a_fit_to_noise_looks_good_on_its_own_samples_and_is_marked_all_the_same():
    rng = np.random.default_rng(1)
    design, _ = samples(40, 60, 1)
    found = fit_surrogates(design, rng.normal(size=40))
    assert found.r2[0] > 0.8
    assert found.r2_left_out[0] < 0
    assert found.poor[0]


def test_constant_features_have_no_effect_no_r2_and_are_marked():
    design, answers = samples(50, 5, 2)
    answers[:, 0] = design @ np.arange(5.0)
    answers[:, 1] = 0.1
    found = fit_surrogates(design, answers)
    assert not found.weights[1].any()
    assert found.intercepts[1] == 0.1
    assert np.isnan(found.r2[1])
    assert found.poor.tolist() == [False, True]


def test_selected_terms_equal_a_refit_on_them():
    design, answers = samples(200, 30, 2)
    found = fit_surrogates(design, answers, n_terms=4)
    weights = sample_weights(design)
    for k in range(2):
        first = Ridge(alpha=0.01).fit(design, answers[:, k], sample_weight=weights)
        chosen = np.argsort(-np.abs(first.coef_))[:4]
        peer = Ridge(alpha=1).fit(design[:, chosen], answers[:, k], sample_weight=weights)
        assert set(np.flatnonzero(found.weights[k])) == set(chosen)
        assert np.allclose(found.weights[k][chosen], peer.coef_, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 30), st.integers(1, 4), st.integers(0, 99))
def test_many_features_at_once_are_each_alone(n, d, n_features, seed):
    design, answers = samples(n, d, n_features, seed)
    together = fit_surrogates(design, answers)
    for k in range(n_features):
        alone = fit_surrogates(design, answers[:, k])
        assert np.allclose(alone.weights[0], together.weights[k], atol=1e-10)


def test_stability_is_the_mean_cosine_between_seeds():
    same = np.tile([[1.0, 2.0, 0.0]], (3, 1, 1))
    assert np.isclose(stability(same)[0], 1)
    assert np.isclose(stability(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))[0], 0)
    assert np.isnan(stability(same[:1])[0])
    assert np.isnan(stability(np.zeros((2, 1, 3)))[0])


@pytest.mark.parametrize(
    ("design", "answers", "says"),
    [
        (np.ones((3, 2)) * 2, np.ones(3), "matrix of 0 and 1"),
        (np.ones((3, 0)), np.ones(3), "matrix of 0 and 1"),
        (np.ones((3, 2)), np.ones(4), "have 3 rows"),
        (np.array([[1, 0], [1, 1]]), np.ones(2), "all ones"),
        (np.ones((1, 2)), np.ones(1), "at least 2 samples"),
        (np.ones((2, 2)), np.array([1.0, np.nan]), "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(design, answers, says):
    with pytest.raises(InputError, match=says):
        fit_surrogates(design, answers)
