"""Naive float64 twin that solves to rounding: proximal Newton with the exact Hessian over all coordinates.

Shares no code with the package. The whole Hessian of (C, p + 1) coordinates is formed, and each quadratic
model is minimised by coordinate descent until nothing moves; for small problems only.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.special import expit, softmax

from tests.reference.elastic_net import objective, smooth_part


@njit(cache=True)
def _descend(H, q, v, l1, l2, sweeps, tol):
    """Minimise ``q d + d H d / 2 + l1 |v + d| + l2 (v + d)^2 / 2`` over d; gives v + d."""
    new, slope = v.copy(), q.copy()
    for _ in range(sweeps):
        moved = 0.0
        for j in range(len(v)):
            curvature = H[j, j] + l2[j]
            pull = curvature * new[j] - (slope[j] + l2[j] * new[j])
            size = abs(pull) - l1[j]
            target = 0.0 if size <= 0.0 else np.sign(pull) * size / curvature
            change = target - new[j]
            if change != 0.0:
                slope += change * H[j]
                new[j] = target
                moved = max(moved, abs(change) * np.sqrt(curvature))
        if moved <= tol:
            break
    return new


def _model_minimum(H, q, v, l1, l2):
    """Minimiser of the quadratic model: descent finds the signs, and a linear system the values."""
    new = _descend(H, q, v, l1, l2, 300, 1e-13)
    face = (new != 0) | (l1 == 0)
    A = H[np.ix_(face, face)] + np.diag(l2[face])
    right = (H[face][:, face] @ v[face] - q[face]) - l1[face] * np.sign(new[face])
    # What lies outside the face moves to zero: its part of the model stays on the right-hand side.
    right += H[face][:, ~face] @ v[~face]
    exact = new.copy()
    exact[face] = np.linalg.solve(A, right)
    wrong = (np.sign(exact) != np.sign(new)) & (l1 > 0)
    return _descend(H, q, v, l1, l2, 4000, 1e-13) if wrong.any() else exact


def _hessian(Z, W, b, family, s):
    """Exact Hessian of the mean loss in the rows (W_c, b_c), one after the other."""
    n, C = len(Z), len(b)
    rows = np.c_[Z, np.ones(n)]
    m = rows.shape[1]
    logits = Z @ W.T + b
    if family == "multinomial":
        P = softmax(logits, 1)
    H = np.zeros((C * m, C * m))
    for c in range(C):
        for d in range(c + 1):
            if family == "multinomial":
                weight = P[:, c] * ((c == d) - P[:, d])
            elif c != d:
                continue
            elif family == "binomial":
                weight = expit(logits[:, 0]) * expit(-logits[:, 0])
            else:
                weight = np.ones(n)
            block = (rows * (s * weight)[:, None]).T @ rows / n
            H[c * m : c * m + m, d * m : d * m + m] = block
            H[d * m : d * m + m, c * m : c * m + m] = block.T
    return H


def kkt(Z, y, W, b, lambda_, alpha, family, weights):
    """Largest violation of the optimality conditions."""
    _, G, g = smooth_part(Z, y, W, b, family, weights)
    l1, slope = lambda_ * alpha, G + lambda_ * (1 - alpha) * W
    inside = np.where(W == 0, np.maximum(np.abs(slope) - l1, 0), np.abs(slope + l1 * np.sign(W)))
    return max(inside.max(initial=0.0), np.abs(g).max())


def solve(Z, y, lambda_, alpha, family, weights=None, start=None, n_outputs=None):
    """Minimise the objective to rounding; returns W (C, p), b (C,), value.

    Args:
        start: (W, b), for example of a larger strength; never a point that is to be judged.
    """
    n, p = Z.shape
    C = {"multinomial": n_outputs, "binomial": 1}.get(family) or y.reshape(n, -1).shape[1]
    s = np.ones(n) if weights is None else weights * n / weights.sum()
    W, b = (np.zeros((C, p)), np.zeros(C)) if start is None else start
    l1, l2 = (np.tile(np.r_[np.full(p, lambda_ * a), 0.0], C) for a in (alpha, 1 - alpha))
    value = objective(Z, y, W, b, lambda_, alpha, family, weights)
    damping, settled = 0.0, 0
    for _ in range(200):
        if kkt(Z, y, W, b, lambda_, alpha, family, weights) <= 1e-13 or settled >= 3:
            break
        H = _hessian(Z, W, b, family, s)
        scale = np.trace(H) / len(H)
        # A shift of all intercepts changes nothing: give such directions some curvature.
        H[np.diag_indices_from(H)] += (damping + 1e-12) * scale + 1e-15
        _, G, g = smooth_part(Z, y, W, b, family, weights)
        v, q = np.c_[W, b].ravel(), np.c_[G, g].ravel()
        step = _model_minimum(H, q, v, l1, l2) - v
        size = 1.0
        while size > 1e-4:
            trial = (v + size * step).reshape(C, p + 1)
            new = objective(Z, y, trial[:, :p], trial[:, p], lambda_, alpha, family, weights)
            if new <= value + 1e-15 * abs(value):
                break
            size *= 0.5
        else:
            # Far from the optimum a model may promise what the objective does not keep.
            damping, settled = max(10 * damping, 1e-8), settled + (damping > 1e4)
            continue
        settled = settled + 1 if value - new <= 1e-15 * abs(value) else 0
        damping = 0.0 if size == 1.0 else max(damping, 1e-8)
        W, b, value = trial[:, :p].copy(), trial[:, p].copy(), min(new, value)
    return W, b, value
