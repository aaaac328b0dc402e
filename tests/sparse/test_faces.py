"""Quadratics with absolute values: their exact minimum, from any start, by either way."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.sparse.solvers.working_set import faces
from sparse_debug_widgets.sparse.solvers.working_set.faces import Quadratic

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def tasks(draw):
    """Parts of a quadratic: of few directions, with equal ones, of any scale, and any start."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    p, rank = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rows = rng.normal(size=(rank, p)) * draw(st.sampled_from([1e-2, 1.0, 30.0]))
    if draw(st.booleans()):
        rows[:, p // 2] = rows[:, 0]
    gram = rows.T @ rows / rank
    linear = rng.normal(size=p) if draw(st.booleans()) else gram @ rng.normal(size=p)
    largest = np.abs(linear).max()
    l1 = largest * draw(st.sampled_from([1e-3, 0.1, 0.9])) * rng.uniform(0.5, 2.0, p)
    l2 = np.full(p, draw(st.sampled_from([1e-4, 1e-2, 1.0])) * max(gram.max(), 1e-3))
    start = rng.normal(size=p) * (rng.random(p) < draw(st.sampled_from([0.0, 0.3, 1.0])))
    return [torch.as_tensor(array) for array in (gram, linear, l1, l2, start)]


def wrongness(gram, linear, l1, l2, weights):
    """Largest violation of the optimality conditions, as a share of the bound on the slope."""
    slope = gram @ weights + linear + l2 * weights
    inside = (slope + l1 * weights.sign()).abs()
    return float((torch.where(weights != 0, inside, (slope.abs() - l1).clamp_min(0)) / l1).max())


@given(tasks())
@SETTINGS
def test_exchanges_and_descents_end_at_the_one_minimum(task):
    *parts, start = task
    quadratic = Quadratic(*parts)
    found, other = quadratic.minimum(start), quadratic._descended(start)
    assert found is not None
    assert other is not None
    assert wrongness(*parts, found) < 1e-6
    assert wrongness(*parts, other) < 1e-6
    scale = float(found.abs().max())
    torch.testing.assert_close(found, other, rtol=0, atol=1e-6 * scale + 1e-12)


@given(tasks())
@SETTINGS
def test_no_point_on_the_way_to_a_target_is_lower_than_the_lowest(task):
    gram, linear, l1, l2, start = task
    assume(bool(start.any()))

    def value(point):
        smooth = 0.5 * point @ gram @ point + linear @ point + 0.5 * (l2 * point) @ point
        return float(smooth + l1 @ point.abs())

    # A target is where the objective would be lowest if signs stayed as they are at the start.
    quadratic = Quadratic(gram, linear, l1, l2)
    known = quadratic._on_face(start.sign())
    assert known is not None
    target, _ = known
    lowest = value(quadratic._lowest(start, target))
    tried = [value(start + share * (target - start)) for share in np.linspace(0.0, 1.0, 60)]
    assert lowest <= min(tried) + 1e-9 * (abs(min(tried)) + abs(tried[0]) + 1e-12)


def test_a_circle_of_exchanges_is_left(monkeypatch):
    """Where exchanges get no second chance, steps that only descend end at the same place."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 6)) @ rng.normal(size=(6, 50)) + 0.01 * rng.normal(size=(60, 50))
    gram = torch.as_tensor(rows.T @ rows / 60)
    linear = gram @ torch.as_tensor(rng.normal(size=50))
    ones, zero = torch.ones(50, dtype=torch.float64), torch.zeros(50, dtype=torch.float64)
    quadratic, calls = Quadratic(gram, linear, 1e-3 * ones, 1e-6 * ones), []
    usual, descended = quadratic.minimum(zero), quadratic._descended
    monkeypatch.setattr(faces, "_PATIENCE", 1)
    monkeypatch.setattr(quadratic, "_descended", lambda start: calls.append(start) or descended(start))
    torch.testing.assert_close(quadratic.minimum(zero), usual, rtol=1e-6, atol=1e-9)
    assert calls


def test_what_has_many_minima_or_is_too_large_is_left_to_others(monkeypatch):
    ones = torch.ones(4, dtype=torch.float64)
    flat = Quadratic(torch.ones(4, 4, dtype=torch.float64), -3 * ones, ones, 0 * ones)
    assert flat.minimum(ones) is None
    curved = Quadratic(torch.ones(4, 4, dtype=torch.float64), -3 * ones, ones, ones)
    assert curved.minimum(ones) == pytest.approx(torch.full((4,), 0.4, dtype=torch.float64))
    monkeypatch.setattr(faces, "_MOST", 3)
    assert curved.minimum(ones) is None
