"""Small problems for the path solvers, plain and nasty."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from sparse_debug_widgets.sparse.problem.losses import Binomial, Gaussian, Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix

FAMILIES = ("multinomial", "binomial", "gaussian")


def make(seed, n=60, p=8, n_classes=3, kind="plain", family="multinomial"):
    """Raw features (n, p) and labels as the family wants them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    if kind == "collinear":
        base = X[:, : max(1, p // 3)]
        X = base @ rng.normal(size=(base.shape[1], p)) + 1e-3 * X
    if kind == "heavy":
        X = rng.standard_t(1.5, size=(n, p))
    if kind == "duplicated":
        X[n // 2 :] = X[: n - n // 2]
    scores = 2 * X @ rng.normal(size=(p, n_classes))
    if kind != "separable":
        scores = scores + rng.gumbel(size=scores.shape)
    if kind == "imbalanced":
        scores[:, 0] += 4 * np.abs(scores).std()
    if family == "gaussian":
        return X, scores[:, : max(1, n_classes - 1)]
    labels = scores.argmax(1)
    # Every class occurs, whatever the scores say.
    labels[:n_classes] = np.arange(n_classes)
    return X, (labels > 0).astype(int) if family == "binomial" else labels


def standardise(X, weights=None):
    share = np.ones(len(X)) if weights is None else weights
    mean = np.average(X, axis=0, weights=share)
    return (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=share))


def problem(Z, y, family="multinomial", alpha=0.99, weights=None, n_outputs=None):
    """The package's problem for standardised features."""
    s = None if weights is None else torch.as_tensor(weights * len(Z) / weights.sum())
    if family == "gaussian":
        loss = Gaussian(torch.as_tensor(np.ascontiguousarray(y.reshape(len(Z), -1).T, np.float64)), s)
    elif family == "binomial":
        loss = Binomial(torch.as_tensor(y), s)
    else:
        loss = Multinomial(torch.as_tensor(y), n_outputs or int(y.max()) + 1, s)
    return Problem(DesignMatrix(torch.as_tensor(np.ascontiguousarray(Z.T))), loss, ElasticNet(alpha))


@st.composite
def problems(draw):
    """(family, alpha, Z, y, weights or None), from easy to nasty."""
    family = draw(st.sampled_from(FAMILIES))
    kind = draw(st.sampled_from(["plain", "collinear", "separable", "heavy", "duplicated", "imbalanced"]))
    n, p = draw(st.integers(12, 60)), draw(st.integers(1, 14))
    seed = draw(st.integers(0, 10**6))
    X, y = make(seed, n, p, draw(st.integers(2, 5)), kind, family)
    weights = None
    if draw(st.booleans()):
        weights = np.random.default_rng(seed).uniform(0.1, 3.0, n)
    alpha = draw(st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0]))
    return family, alpha, standardise(X, weights), y, weights
