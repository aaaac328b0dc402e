"""A polished layer does not depend on how the path was found."""

import numpy as np
import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.sparse.path.path import path_request
from sparse_debug_widgets.sparse.path.polished import polished


@pytest.mark.parametrize("family", ["multinomial", "gaussian"])
def test_coarse_and_fine_paths_come_to_one_layer(family):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(120, 7))
    values[:, 3] = 1.0
    labels = np.arange(120) % 3 if family == "multinomial" else values[:, :2] @ [[1.0], [2.0]]
    values[:, :3] += np.eye(3)[np.arange(120) % 3]
    with pytest.warns(sdw.sparse.DeadFeaturesWarning):
        features = sdw.DeepFeatures.from_arrays(values, labels)
    settings = {"family": family, "alpha": 0.9, "standardize": True}
    request = path_request(**settings)
    grid = [0.2, 0.1, 0.05]
    coarse, fine = (sdw.elastic_net_path(features, lambdas=grid, tol=tol, **settings) for tol in (1e-2, 1e-8))
    before = coarse.weights_at(2)
    found = [polished(path, 2, features, request) for path in (coarse, fine)]
    assert np.abs(before - fine.weights_at(2)).max() > 1e-6
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert not found[0][0][:, 3].any()
    np.testing.assert_array_equal(coarse.weights_at(2), before)
