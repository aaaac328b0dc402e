"""Two hundred random problems, nasty ones above all: no certificate is below the true suboptimality.

The truth comes from :mod:`tests.reference.prox_newton`, which shares no code with the package and runs to
rounding. Ten kinds of problem, twenty drawn of each; the draws are fixed.
"""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning
from sparse_debug_widgets.sparse.path.data import prepare
from sparse_debug_widgets.sparse.path.path import UncertifiedWarning, path_request
from sparse_debug_widgets.sparse.problem.certificate import certify
from tests.reference import prox_newton as twin
from tests.sparse.problems import FAMILIES, make

torch.set_num_threads(1)

KINDS = (
    "plain",
    "collinear",
    "separable",
    "one in a thousand",
    "fewer rows than features",
    "duplicated rows",
    "duplicated features",
    "heavy tails",
    "dead features",
    "many classes",
)
ROUNDING = 1e-9
"""Relative to the null model's objective; float64 sums over examples on both sides."""


@st.composite
def cases(draw, kind):
    """Raw features, labels, sample weights or None, and how to fit them."""
    family = draw(st.sampled_from(("multinomial",) if kind == "many classes" else FAMILIES))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    n, p = draw(st.integers(20, 60)), draw(st.integers(2, 12))
    classes = draw(st.integers(2, 4))
    if kind == "fewer rows than features":
        n, p = draw(st.integers(8, 20)), draw(st.integers(21, 40))
    if kind == "many classes":
        classes = draw(st.integers(10, 30))
        n, p = draw(st.integers(2 * classes, 4 * classes)), draw(st.integers(2, 6))
    known = {"heavy tails": "heavy", "duplicated rows": "duplicated"}.get(kind, kind)
    X, y = make(seed, n, p, classes, known, family)
    if kind == "one in a thousand":
        n = 1001
        X = rng.normal(size=(n, min(p, 5)))
        y = (np.arange(n) == 7).astype(int)
        X[7] += draw(st.sampled_from([0.0, 3.0]))
        if family == "gaussian":
            y = y[:, None] + 1e-3 * rng.normal(size=(n, 1))
    if kind == "duplicated features":
        X = np.c_[X, X[:, :2], -X[:, 0]]
    if kind == "dead features":
        X = np.insert(X, [0, 1, p], 7.25, axis=1)
    weights = rng.uniform(0.01, 3.0, len(X)) if draw(st.booleans()) else None
    fit = {
        "family": family,
        "sample_weight": weights,
        "alpha": draw(st.sampled_from([0.1, 0.5, 0.9, 0.99, 0.99, 1.0])),
        "solver": draw(st.sampled_from(["working_set", "working_set", "saga"])),
        "tol": draw(st.sampled_from([1e-2, 1e-3, 1e-3, 1e-6])),
        # A budget that may not suffice: then the path must say so.
        "max_epochs": draw(st.sampled_from([1, 4, 5000, 5000, 5000, 5000])),
        "eps": draw(st.sampled_from([0.1, 1e-2, 1e-3])),
        "n_lambdas": draw(st.integers(2, 5)),
    }
    return X, y, fit, seed


def fitted(X, y, fit):
    """The path, and the text of the warning about what it did not certify (empty if there was none)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = DeepFeatures.from_arrays(X, y, validation=0.0)
        path = elastic_net_path(features, **fit)
    kinds = {type(w.message) for w in caught}
    assert kinds <= {DeadFeaturesWarning, UncertifiedWarning}
    told = [str(w.message) for w in caught if isinstance(w.message, UncertifiedWarning)]
    return features, path, told[0] if told else ""


def says_what_it_did_not_certify(path, told):
    """Every strength is certified, or the path and one warning say which is not, and why."""
    missed = np.flatnonzero(path.duality_gaps > path.tol)
    np.testing.assert_array_equal(path.certified, path.duality_gaps <= path.tol)
    assert bool(told) == bool(len(missed))
    for k in missed:
        assert f"{k}" in told.split("indices")[1].split(")")[0]
        assert f"gap {path.duality_gaps[k]:.1e}" in path.reasons[k]
        assert path.reasons[k].startswith(("max_epochs spent", "neither gap nor objective fell"))
    if len(missed):
        worst = int(path.duality_gaps.argmax())
        assert path.reasons[worst] in told
    for k in np.flatnonzero(path.certified):
        assert "reached the tolerance" in path.reasons[k]


@pytest.mark.parametrize("kind", KINDS)
def test_no_certificate_is_below_the_true_suboptimality(kind):
    found = []

    @given(cases(kind))
    @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case):
        X, y, fit, seed = case
        features, path, told = fitted(X, y, fit)
        says_what_it_did_not_certify(path, told)
        family, alpha, weights = fit["family"], fit["alpha"], fit["sample_weight"]
        Z = ((features.values.astype(np.float64) - path.mean) / path.scale)[:, path.alive]
        start, null, rng = None, path.null_objective, np.random.default_rng(seed)
        for k, lambda_ in enumerate(path.lambdas):
            *start, best = twin.solve(
                Z, y, lambda_, alpha, family, weights, start, n_outputs=len(path.class_names)
            )
            assert twin.kkt(Z, y, *start, lambda_, alpha, family, weights) <= 1e-8
            W, b = path.weights_at(k)[:, path.alive], path.intercepts_at(k)
            value = twin.objective(Z, y, W, b, lambda_, alpha, family, weights)
            assert path.objectives[k] == pytest.approx(value, rel=1e-9, abs=1e-12 * null)
            floor = min(value, null)
            assert path.duality_gaps[k] >= (value - best) / floor - ROUNDING * null / floor
            found.append(((value - best) / floor, path.duality_gaps[k]))
            _points_nearby(features, fit, path, Z, y, (*start, best), k, rng)

    check()
    assert len(found) >= 40
    # The reference never ends above a point of the path by more than rounding.
    assert min(above for above, _ in found) > -1e-8


def _points_nearby(features, fit, path, Z, y, optimum, k, rng):
    """Certificates of points that no solver would end at: the optimum disturbed, a little and a lot."""
    known = {name: fit[name] for name in ("family", "alpha", "sample_weight")}
    data = prepare(features, path_request(**known))
    (W, b, best), lambda_, null = optimum, path.lambdas[k], path.null_objective
    for noise in (1e-3, 1.0):
        point = W + noise * rng.normal(size=W.shape) * (rng.random(W.shape) < 0.5)
        found = certify(data.problem, torch.as_tensor(point), torch.as_tensor(b), lambda_)
        intercept = found.intercept.numpy()
        value = twin.objective(
            Z, y, point, intercept, lambda_, fit["alpha"], fit["family"], fit["sample_weight"]
        )
        floor = min(value, null)
        assert found.primal == pytest.approx(value, rel=1e-9)
        assert found.gap >= (value - best) / floor - ROUNDING * null / floor
