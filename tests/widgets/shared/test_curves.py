"""The curves of a class survive the trip: in float16 for live panels, in steps for pages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_debug_widgets.widgets.shared import curves


@st.composite
def class_paths(draw):
    K, p = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    seed, scale = draw(st.integers(0, 2**31)), draw(st.sampled_from([1e-9, 1e-3, 1.0, 1e4, 1e9]))
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(K, p)) * 10.0 ** rng.uniform(-8, 0, (K, p)) * scale
    weights[np.arange(K)[:, None] < rng.integers(0, K + 1, p)] = 0
    weights[rng.random((K, p)) < 0.2] = 0
    return weights


def unsqueeze(unit, arrays, K, levels):
    """What curves.js does, in Python."""
    starts, n = arrays["starts"], arrays["planes"].size // 2
    zigzag = arrays["planes"][:n].astype(np.int64) | (arrays["planes"][n:].astype(np.int64) << 8)
    bent = (zigzag >> 1) ^ -(zigzag & 1)
    weights, at = np.zeros((K, starts.size)), 0
    for j, start in enumerate(starts):
        run = bent[at : at + K - start].cumsum().cumsum()
        weights[start:, j] = run * float(arrays["scales"][j]) * unit / levels
        at += K - start
    return weights


@given(class_paths())
def test_live_curves_are_exact_to_three_digits_and_keep_every_nonzero(weights):
    unit, arrays = curves.encode(weights)
    back = curves.decode(unit, arrays["starts"], arrays["values"], len(weights))
    largest = np.abs(weights).max()
    assert np.abs(back - weights).max() <= 1e-3 * largest
    visible = np.abs(weights) > 1e-4 * largest
    assert np.allclose(back[visible], weights[visible], rtol=6e-4)
    if 1e-30 < largest < 1e30:
        assert ((back != 0) == (weights != 0)).all()


@given(class_paths(), st.sampled_from([curves.FINE, curves.COARSE]))
def test_squeezed_curves_are_exact_to_one_step_of_their_own_size(weights, levels):
    unit, arrays = curves.squeeze(weights, levels)
    back = unsqueeze(unit, arrays, len(weights), levels)
    own = np.abs(weights).max(axis=0)
    assert (np.abs(back - weights) <= 1.001 * own / levels + 1e-7 * unit).all()
    assert ((back != 0) == (weights != 0)).all()


@given(class_paths())
def test_features_enter_where_they_enter(weights):
    starts = curves.starts_of(weights)
    for j, start in enumerate(starts):
        assert not weights[:start, j].any()
        assert start == len(weights) or weights[start, j] != 0


def test_a_class_without_features_is_nothing():
    unit, arrays = curves.encode(np.zeros((5, 3)))
    assert unit == 1.0
    assert arrays["values"].size == 0
    assert not curves.decode(unit, arrays["starts"], arrays["values"], 5).any()


@pytest.mark.parametrize("p", [64, 512])
def test_curves_are_never_longer_than_the_dense_table(p):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(100, p))
    weights[0] = 0
    _, arrays = curves.encode(weights)
    assert sum(array.nbytes for array in arrays.values()) <= 100 * p * 2
