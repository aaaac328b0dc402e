"""prox: the maps minimise what they claim to minimise, for arrays and tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparse_debug_widgets.core.prox import elastic_net_prox, soft_threshold

reals = st.floats(-1e3, 1e3)


@given(reals, st.floats(1e-3, 10), st.floats(0, 10), st.floats(0, 1))
def test_the_prox_minimises_its_objective(v, step, lambda_, alpha):
    def objective(z):
        penalty = alpha * np.abs(z) + (1 - alpha) / 2 * z**2
        return (z - v) ** 2 / 2 + step * lambda_ * penalty

    best = float(elastic_net_prox(np.array(v), step, lambda_, alpha))
    around = best + np.concatenate([np.linspace(-1, 1, 41), np.geomspace(1e-6, 10, 30)])
    assert objective(best) <= objective(around).min() + 1e-9 * (1 + objective(best))
    assert objective(best) <= objective(0.0) + 1e-12 * (1 + v * v)


@given(st.lists(reals, min_size=1, max_size=8), st.floats(0, 100))
def test_inside_the_threshold_is_exactly_zero(values, threshold):
    v = np.array(values)
    shrunk = soft_threshold(v, threshold)
    assert (shrunk[np.abs(v) <= threshold] == 0).all()
    np.testing.assert_allclose(shrunk, np.sign(v) * np.maximum(np.abs(v) - threshold, 0), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_and_arrays_agree(dtype):
    v = torch.randn(5, 7, dtype=dtype, generator=torch.Generator().manual_seed(0))
    thresholds = torch.rand(7, dtype=dtype, generator=torch.Generator().manual_seed(1))
    for t in (0.3, thresholds):
        array = t.numpy() if isinstance(t, torch.Tensor) else t
        assert torch.equal(soft_threshold(v, t), torch.from_numpy(soft_threshold(v.numpy(), array)))
        ours = elastic_net_prox(v, t, 2.0, 0.9)
        torch.testing.assert_close(ours, torch.from_numpy(elastic_net_prox(v.numpy(), array, 2.0, 0.9)))
        assert ours.dtype == dtype


def test_limits():
    v = np.array([-2.0, 0.5, 3.0])
    assert (elastic_net_prox(v, 1.0, 0.0, 0.5) == v).all()
    np.testing.assert_allclose(elastic_net_prox(v, 0.5, 2.0, 0.0), v / 2)  # ridge only
    assert (elastic_net_prox(v, 1.0, 100.0, 1.0) == 0).all()  # lasso only
