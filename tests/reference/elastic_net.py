"""Naive float64 twin of the path solvers: one strength at a time by SciPy's L-BFGS-B, W = U - V, U, V >= 0.

Shares no code with the package. Slow; for small problems only.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax


def smooth_part(Z, y, W, b, family, weights):
    """Weighted mean loss and its gradient in W (C, p) and b (C,)."""
    n = len(Z)
    s = np.ones(n) if weights is None else weights * n / weights.sum()
    logits = Z @ W.T + b
    if family == "multinomial":
        losses = logsumexp(logits, 1) - logits[np.arange(n), y]
        residual = softmax(logits, 1)
        residual[np.arange(n), y] -= 1
    elif family == "binomial":
        z = logits[:, 0]
        losses = np.logaddexp(0, z) - y * z
        residual = (expit(z) - y)[:, None]
    else:
        residual = logits - y.reshape(n, -1)
        losses = 0.5 * (residual**2).sum(1)
    residual = residual * s[:, None]
    return (s * losses).mean(), residual.T @ Z / n, residual.mean(0)


def objective(Z, y, W, b, lambda_, alpha, family="multinomial", weights=None):
    value = smooth_part(Z, y, W, b, family, weights)[0]
    return value + lambda_ * ((1 - alpha) / 2 * (W**2).sum() + alpha * np.abs(W).sum())


def solve(Z, y, lambda_, alpha, family="multinomial", weights=None, n_outputs=None, start=None):
    """Minimise the objective; returns W (C, p), b (C,), value."""
    p = Z.shape[1]
    C = {"multinomial": n_outputs, "binomial": 1}.get(family) or y.reshape(len(Z), -1).shape[1]
    l1, l2 = lambda_ * alpha, lambda_ * (1 - alpha)
    m = C * p

    def value_and_gradient(v):
        W, b = (v[:m] - v[m : 2 * m]).reshape(C, p), v[2 * m :]
        value, gW, gb = smooth_part(Z, y, W, b, family, weights)
        gW = gW + l2 * W
        value += l1 * v[: 2 * m].sum() + l2 / 2 * (W**2).sum()
        return value, np.concatenate([gW.ravel() + l1, -gW.ravel() + l1, gb])

    if start is None:
        v = np.zeros(2 * m + C)
    else:
        W, b = start
        v = np.concatenate([np.maximum(W, 0).ravel(), np.maximum(-W, 0).ravel(), b])
    bounds = [(0, None)] * (2 * m) + [(None, None)] * C
    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 40}
    for _ in range(2):
        found = minimize(value_and_gradient, v, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        v = found.x
    W, b = (v[:m] - v[m : 2 * m]).reshape(C, p), v[2 * m :]
    return W, b, objective(Z, y, W, b, lambda_, alpha, family, weights)
