"""The loops over entries: predictions and models of single (class, feature) pairs.

Rows of ``values`` are features, row 0 being ones, so that intercepts are entries like all others. Entries lie
class after class; those of class c are ``start[c]:start[c + 1]``. Examples are taken a block at a time, which
stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.sparse.rows.compiled import compiled

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_WIDTH = 1024


def _predict(values: Float32, start: Indices, feature: Indices, weights: Float32, out: Float32) -> None:
    """``out[c] = sum_e weights[e] values[feature[e]]`` over the entries of class c; zeros cost nothing."""
    classes, examples = out.shape
    used, edge, count = np.empty_like(feature), np.empty_like(start), 0
    for c in range(classes):
        edge[c] = count
        for e in range(start[c], start[c + 1]):
            if weights[e] != 0:
                used[count] = e
                count += 1
    edge[classes] = count
    for low in range(0, examples, _WIDTH):
        high = min(low + _WIDTH, examples)
        for c in range(classes):
            sums = out[c, low:high]
            for i in range(high - low):
                sums[i] = 0
            k = edge[c]
            while k + 4 <= edge[c + 1]:
                e0, e1, e2, e3 = used[k], used[k + 1], used[k + 2], used[k + 3]
                w0, w1, w2, w3 = weights[e0], weights[e1], weights[e2], weights[e3]
                x0, x1 = values[feature[e0], low:high], values[feature[e1], low:high]
                x2, x3 = values[feature[e2], low:high], values[feature[e3], low:high]
                for i in range(high - low):
                    sums[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
                k += 4
            while k < edge[c + 1]:
                w0 = weights[used[k]]
                x0 = values[feature[used[k]], low:high]
                for i in range(high - low):
                    sums[i] += w0 * x0[i]
                k += 1


def _grow(  # noqa: PLR0912 - unrolled by hand
    values: Float32, curvature: Float32, feature: Indices, held: int, out: Float32
) -> None:
    """Rows and columns from ``held`` on of ``X_f diag(curvature) X_f^T / n``, (a, a); the others stay."""
    size, examples = len(feature), values.shape[1]
    one, two = np.empty(_WIDTH, np.float32), np.empty(_WIDTH, np.float32)
    for i in range(held, size):
        for j in range(size):
            out[i, j] = 0
    for low in range(0, examples, _WIDTH):
        high = min(low + _WIDTH, examples)
        for i in range(held, size, 2):
            k = min(i + 1, size - 1)
            for t in range(high - low):
                one[t] = curvature[low + t] * values[feature[i], low + t]
                two[t] = curvature[low + t] * values[feature[k], low + t]
            for j in range(0, k + 1, 4):
                j1, j2, j3 = min(j + 1, k), min(j + 2, k), min(j + 3, k)
                x0, x1 = values[feature[j], low:high], values[feature[j1], low:high]
                x2, x3 = values[feature[j2], low:high], values[feature[j3], low:high]
                a0, a1, a2, a3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                b0, b1, b2, b3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for t in range(high - low):
                    u, v = one[t], two[t]
                    a0 += u * x0[t]
                    b0 += v * x0[t]
                    a1 += u * x1[t]
                    b1 += v * x1[t]
                    a2 += u * x2[t]
                    b2 += v * x2[t]
                    a3 += u * x3[t]
                    b3 += v * x3[t]
                out[i, j] += a0
                if j1 > j:
                    out[i, j1] += a1
                if j2 > j1:
                    out[i, j2] += a2
                if j3 > j2:
                    out[i, j3] += a3
                if k > i:
                    out[k, j] += b0
                    if j1 > j:
                        out[k, j1] += b1
                    if j2 > j1:
                        out[k, j2] += b2
                    if j3 > j2:
                        out[k, j3] += b3
    for i in range(held, size):
        for j in range(i + 1):
            mean = out[i, j] / examples
            out[i, j] = mean
            out[j, i] = mean


def _couple(  # noqa: PLR0912, PLR0913, PLR0917 - unrolled by hand, and all that one pass reads
    values: Float32,
    response: Float32,
    share: Float32,
    start: Indices,
    feature: Indices,
    place: Indices,
    old: Float32,
    ridge: float,
    out: Float32,
) -> None:
    """``out_(e, f) = sum_i s_i p_ic (1[c = d] - p_id) x_ie x_if / n`` for entries e of class c, f of class d.

    Entries with a place in the old matrix keep their products from there. New ones have their diagonal raised
    by the share ``ridge``.
    """
    classes, examples = response.shape
    size = len(feature)
    own = np.empty(_WIDTH, np.float32)
    sides = np.empty((classes, _WIDTH), np.float32)
    for i in range(size):
        for j in range(size):
            here = place[i] >= 0 and place[j] >= 0
            out[i, j] = old[place[i], place[j]] if here else np.float32(0)
    for low in range(0, examples, _WIDTH):
        high = min(low + _WIDTH, examples)
        for c in range(classes):
            for i in range(start[c], start[c + 1]):
                if place[i] >= 0:
                    continue
                for t in range(high - low):
                    own[t] = share[low + t] * response[c, low + t] * values[feature[i], low + t]
                for d in range(classes):
                    # Where all is new, half of the symmetric matrix is enough.
                    begin, stop = start[d], start[d + 1] if len(old) > 0 else min(start[d + 1], i + 1)
                    if begin >= stop:
                        continue
                    side = sides[d]
                    for t in range(high - low):
                        side[t] = -own[t] * response[d, low + t]
                    if d == c:
                        for t in range(high - low):
                            side[t] += own[t]
                    for j in range(begin, stop, 4):
                        j1, j2, j3 = min(j + 1, stop - 1), min(j + 2, stop - 1), min(j + 3, stop - 1)
                        x0, x1 = values[feature[j], low:high], values[feature[j1], low:high]
                        x2, x3 = values[feature[j2], low:high], values[feature[j3], low:high]
                        a0, a1, a2, a3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                        for t in range(high - low):
                            u = side[t]
                            a0 += u * x0[t]
                            a1 += u * x1[t]
                            a2 += u * x2[t]
                            a3 += u * x3[t]
                        out[i, j] += a0
                        if j + 1 < stop:
                            out[i, j + 1] += a1
                        if j + 2 < stop:
                            out[i, j + 2] += a2
                        if j + 3 < stop:
                            out[i, j + 3] += a3
    for i in range(size):
        if place[i] < 0:
            for j in range(size):
                out[i, j] /= examples
            out[i, i] *= 1.0 + ridge
    for i in range(size):
        if place[i] < 0:
            for j in range(size if len(old) > 0 else i):
                out[j, i] = out[i, j]


def _precondition(inverse: Float32, place: Indices, left: Float64, out: Float64) -> None:
    """``out = inverse_c @ left`` over the entries of each class; a place below 0 is padding."""
    classes, size = place.shape
    part = np.empty(size, np.float32)
    for c in range(classes):
        for i in range(size):
            part[i] = left[place[c, i]] if place[c, i] >= 0 else np.float32(0)
        for i in range(size):
            if place[c, i] >= 0:
                total = np.float32(0)
                for k in range(size):
                    total += inverse[c, i, k] * part[k]
                out[place[c, i]] = total


_ENTRIES = "int64[::1], int64[::1]"
_MATRIX, _WIDE = "float32[:,::1]", "float64[:,::1]"
predict: Callable[[], Callable[..., None]] = compiled(
    _predict, f"void({_MATRIX}, {_ENTRIES}, float32[::1], {_MATRIX})"
)
grow: Callable[[], Callable[..., None]] = compiled(
    _grow, f"void({_MATRIX}, float32[::1], int64[::1], int64, {_MATRIX})"
)
couple: Callable[[], Callable[..., None]] = compiled(
    _couple,
    f"void({_MATRIX}, {_MATRIX}, float32[::1], {_ENTRIES}, int64[::1], {_MATRIX}, float64, {_MATRIX})",
)
precondition: Callable[[], Callable[..., None]] = compiled(
    _precondition, "void(float32[:,:,::1], int64[:,::1], float64[::1], float64[::1])"
)
