"""Polished points are optimal to rounding, whatever they start from."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.sparse import elastic_net_path
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.solvers.polish import polish
from tests.sparse.problems import FAMILIES, make, problem


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("kind", ["plain", "separable"])
def test_polished_points_are_optimal_to_rounding(family, alpha, kind):
    X, y = make(3, family=family, kind=kind)
    X = X.astype(np.float32)
    path = elastic_net_path(X, y, family=family, alpha=alpha, n_lambdas=4, eps=0.03, validation=0.0, tol=1e-3)
    Z = (X.astype(float) - path.mean) / path.scale
    ours = problem(Z, y, family, alpha, n_outputs=3 if family == "multinomial" else None)
    for k in (1, 3):
        lambda_ = float(path.lambdas[k])
        W, b = polish(ours, torch.tensor(path.weights_at(k)), torch.tensor(path.intercepts_at(k)), lambda_)
        assert certify(ours, W, b, lambda_).gap < 1e-11
        before = ours.objective(*(torch.tensor(a[k]) for a in (_all(path), path.intercepts)), lambda_)
        assert ours.objective(W, b, lambda_) <= before * (1 + 1e-14)


def _all(path):
    return np.stack([path.weights_at(k) for k in range(path.n_lambdas)])


def test_single_precision_points_come_back_as_they_are():
    X, y = make(4)
    ours = problem(X.astype(np.float32), y)
    W, b = torch.ones(3, 8, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    assert polish(ours, W, b, 0.1) == (W, b)
