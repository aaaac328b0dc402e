"""Products of few classes with many examples on the CPU, over some rows of a matrix where they lie.

``weights @ X[rows]`` and ``residuals @ X[rows].T`` with ten classes or so are too thin for matrix libraries:
these loops are 1.3 to 2 times as fast, need no copy of the rows, and multiply float64 with float32 without
one. Many classes go to the library.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.rows.compiled import compiled, ready
from sparse_debug_widgets.sparse.rows.sharing import over_range

_THIN = 24
"""Up to this many classes the loops are used."""
_SCATTERED = 0.12
"""Share of nonzero weights up to which the loops predict for any number of classes: they skip the zeros."""
_PICKED = 0.2
"""Share of a gradient's entries up to which the loops compute just these, for any number of classes."""

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def _predict(weights: Real, values: Real, rows: Rows, out: Real, low: int, high: int) -> None:
    """``out[:, low:high] = weights @ values[rows, low:high]``."""
    classes, size = weights.shape
    width = 512
    for start in range(low, high, width):
        stop = min(start + width, high)
        for c in range(classes):
            for i in range(start, stop):
                out[c, i] = 0
        # Four rows at a time for each class: one load and one store of the sum for four products.
        j = 0
        while j + 4 <= size:
            x0, x1 = values[rows[j], start:stop], values[rows[j + 1], start:stop]
            x2, x3 = values[rows[j + 2], start:stop], values[rows[j + 3], start:stop]
            for c in range(classes):
                w0, w1, w2, w3 = weights[c, j], weights[c, j + 1], weights[c, j + 2], weights[c, j + 3]
                if w0 != 0 or w1 != 0 or w2 != 0 or w3 != 0:
                    sums = out[c, start:stop]
                    for i in range(stop - start):
                        sums[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
            j += 4
        while j < size:
            x0 = values[rows[j], start:stop]
            for c in range(classes):
                w0 = weights[c, j]
                if w0 != 0:
                    sums = out[c, start:stop]
                    for i in range(stop - start):
                        sums[i] += w0 * x0[i]
            j += 1


def _predict_few(  # noqa: PLR0912 - unrolled by hand
    weights: Real, values: Real, rows: Rows, out: Real, low: int, high: int
) -> None:
    """The same for weights that are mostly zero: four nonzero ones of a class at a time."""
    classes, size = weights.shape
    width, block = 512, 64
    used, count = np.empty((classes, size), np.int64), np.zeros(classes, np.int64)
    for c in range(classes):
        for j in range(size):
            if weights[c, j] != 0:
                used[c, count[c]] = j
                count[c] += 1
    place = np.empty(classes, np.int64)
    for start in range(low, high, width):
        stop = min(start + width, high)
        for c in range(classes):
            place[c] = 0
            for i in range(start, stop):
                out[c, i] = 0
        # A block of rows stays in the cache while all classes use it.
        for edge in range(block, size + block, block):
            for c in range(classes):
                sums, k = out[c, start:stop], place[c]
                while k + 4 <= count[c] and used[c, k + 3] < edge:
                    j0, j1, j2, j3 = used[c, k], used[c, k + 1], used[c, k + 2], used[c, k + 3]
                    w0, w1, w2, w3 = weights[c, j0], weights[c, j1], weights[c, j2], weights[c, j3]
                    x0, x1 = values[rows[j0], start:stop], values[rows[j1], start:stop]
                    x2, x3 = values[rows[j2], start:stop], values[rows[j3], start:stop]
                    for i in range(stop - start):
                        sums[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
                    k += 4
                place[c] = k
        for c in range(classes):
            sums = out[c, start:stop]
            for k in range(place[c], count[c]):
                w0, x0 = weights[c, used[c, k]], values[rows[used[c, k]], start:stop]
                for i in range(stop - start):
                    sums[i] += w0 * x0[i]


def _gradient(  # noqa: PLR0912 - unrolled by hand
    residuals: Real, values: Real, rows: Rows, out: npt.NDArray[np.float64], low: int, high: int
) -> None:
    """``out[:, low:high] = residuals @ values[rows[low:high]].T``, blocks of examples summed in float64."""
    classes, examples = residuals.shape
    width = 1024
    zero = residuals.dtype.type(0)
    for c in range(classes):
        for j in range(low, high):
            out[c, j] = 0.0
    for start in range(0, examples, width):
        stop = min(start + width, examples)
        # Two classes by four rows at a time: eight sums in registers. Clamped indices repeat a sum.
        for j in range(low, high, 4):
            j1, j2, j3 = min(j + 1, high - 1), min(j + 2, high - 1), min(j + 3, high - 1)
            x0, x1 = values[rows[j], start:stop], values[rows[j1], start:stop]
            x2, x3 = values[rows[j2], start:stop], values[rows[j3], start:stop]
            for c in range(0, classes, 2):
                d = min(c + 1, classes - 1)
                left, right = residuals[c, start:stop], residuals[d, start:stop]
                a0, a1, a2, a3 = zero, zero, zero, zero
                b0, b1, b2, b3 = zero, zero, zero, zero
                for i in range(stop - start):
                    u, v = left[i], right[i]
                    a0 += u * x0[i]
                    b0 += v * x0[i]
                    a1 += u * x1[i]
                    b1 += v * x1[i]
                    a2 += u * x2[i]
                    b2 += v * x2[i]
                    a3 += u * x3[i]
                    b3 += v * x3[i]
                out[c, j] += a0
                if j1 > j:
                    out[c, j1] += a1
                if j2 > j1:
                    out[c, j2] += a2
                if j3 > j2:
                    out[c, j3] += a3
                if d > c:
                    out[d, j] += b0
                    if j1 > j:
                        out[d, j1] += b1
                    if j2 > j1:
                        out[d, j2] += b2
                    if j3 > j2:
                        out[d, j3] += b3


def _pick(
    residuals: Real, values: Real, rows: Rows, starts: Rows, out: npt.NDArray[np.float64], low: int, high: int
) -> None:
    """``out[k] = residuals[c] @ values[rows[k]]`` for classes ``low:high``, c's k begin at ``starts[c]``."""
    examples = residuals.shape[1]
    width = 1024
    zero = residuals.dtype.type(0)
    for k in range(starts[low], starts[high]):
        out[k] = 0.0
    # A block of examples stays in the cache while all classes use it.
    for start in range(0, examples, width):
        stop = min(start + width, examples)
        for c in range(low, high):
            left, last = residuals[c, start:stop], starts[c + 1] - 1
            for k in range(starts[c], starts[c + 1], 4):
                k1, k2, k3 = min(k + 1, last), min(k + 2, last), min(k + 3, last)
                x0, x1 = values[rows[k], start:stop], values[rows[k1], start:stop]
                x2, x3 = values[rows[k2], start:stop], values[rows[k3], start:stop]
                a0, a1, a2, a3 = zero, zero, zero, zero
                for i in range(stop - start):
                    u = left[i]
                    a0 += u * x0[i]
                    a1 += u * x1[i]
                    a2 += u * x2[i]
                    a3 += u * x3[i]
                out[k] += a0
                if k1 > k:
                    out[k1] += a1
                if k2 > k1:
                    out[k2] += a2
                if k3 > k2:
                    out[k3] += a3


def _weigh(values: Real, rows: Rows, first: int, part: Rows, weights: Real, out: Real) -> None:
    """``out[i, t] = values[rows[i], part[t]] weights[t]``; without a part, all from example ``first`` on."""
    size = len(weights)
    for i in range(len(rows)):
        row = values[rows[i]]
        if len(part) > 0:
            for t in range(size):
                out[i, t] = row[part[t]] * weights[t]
        else:
            for t in range(size):
                out[i, t] = row[first + t] * weights[t]


_WEIGH = "void({0}[:,::1],int64[::1],int64,int64[::1],{0}[::1],{0}[:,::1])"
_PREDICT = "void({0}[:,::1],{1}[:,::1],int64[::1],{0}[:,::1],int64,int64)"
_PICK = "void({0}[:,::1],{1}[:,::1],int64[::1],int64[::1],float64[::1],int64,int64)"
_GRADIENT = "void({0}[:,::1],{1}[:,::1],int64[::1],float64[:,::1],int64,int64)"
_NAMES = {torch.float32: "float32", torch.float64: "float64"}
_loops = {
    (kind, left, right): compiled(loop, signature.format(_NAMES[left], _NAMES[right]))
    # Those that are needed first are compiled first; the last are the certificates of large problems.
    for left, right in (
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.float64, torch.float32),
    )
    for kind, loop, signature in (
        ("predict", _predict, _PREDICT),
        ("few", _predict_few, _PREDICT),
        ("gradient", _gradient, _GRADIENT),
        ("pick", _pick, _PICK),
    )
}

_weighs = {dtype: compiled(_weigh, _WEIGH.format(_NAMES[dtype])) for dtype in _NAMES}


def thin(classes: int, values: Tensor) -> bool:
    """Say whether these loops are the way to multiply so many classes with a matrix."""
    return classes <= _THIN and reached(values)


def scattered(weights: Tensor, values: Tensor) -> bool:
    """Say whether these loops are the way to predict from weights (C, m): of few classes, or mostly zero."""
    if not reached(values):
        return False
    few = _SCATTERED * weights.numel()
    return len(weights) <= _THIN or int(torch.count_nonzero(weights)) <= few


def reached(values: Tensor) -> bool:
    """Say whether these loops can read a matrix."""
    known = values.dtype in (torch.float32, torch.float64)
    here = values.device.type == "cpu" and values.is_contiguous()
    return known and here and ready()


def predict(weights: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """``weights @ values[rows]``, (C, n), of weights (C, m) and rows (m,) int64; see :func:`thin`.

    The sums have the precision of the weights, which is the values' own or float64.
    """
    out = recycled.empty(len(weights), values.shape[1], weights.dtype)
    few = 2 * int(torch.count_nonzero(weights)) < weights.numel()
    loop = _loops["few" if few else "predict", weights.dtype, values.dtype]()
    operands = [operand.numpy() for operand in (weights.contiguous(), values, rows, out)]
    size = values.shape[1]
    over_range(lambda low, high: loop(*operands, low, high), size, work=len(rows) * size)
    return out


def gradient(residuals: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """``residuals @ values[rows].T``, (C, m) float64, of residuals (C, n); see :func:`thin`.

    Sums over short blocks have the precision of the residuals, which is the values' own or float64.
    """
    out = torch.empty(len(residuals), len(rows), dtype=torch.float64)
    loop = _loops["gradient", residuals.dtype, values.dtype]()
    operands = [operand.numpy() for operand in (residuals.contiguous(), values, rows, out)]
    size = len(rows)
    over_range(lambda low, high: loop(*operands, low, high), size, work=size * values.shape[1])
    return out


def picks(wanted: Tensor, values: Tensor) -> bool:
    """Say whether these loops are the way to the wanted entries (C, m) bool of a gradient: they are few."""
    return reached(values) and int(torch.count_nonzero(wanted)) <= _PICKED * wanted.numel()


def picked_gradient(residuals: Tensor, values: Tensor, rows: Tensor, wanted: Tensor) -> Tensor:
    """The wanted entries (C, m) bool of :func:`gradient`, the others zero; see :func:`picks`."""
    classes, places = wanted.nonzero(as_tuple=True)
    starts = torch.zeros(len(wanted) + 1, dtype=torch.long)
    torch.cumsum(wanted.sum(1), 0, out=starts[1:])
    sums = torch.empty(len(places), dtype=torch.float64)
    loop = _loops["pick", residuals.dtype, values.dtype]()
    operands = [x.numpy() for x in (residuals.contiguous(), values, rows[places], starts, sums)]
    work = len(places) * values.shape[1]
    over_range(lambda low, high: loop(*operands, low, high), len(wanted), work=work, grain=1)
    out = torch.zeros(wanted.shape, dtype=torch.float64)
    out[classes, places] = sums
    return out


def picked_products(
    left: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
    rows: Rows,
    starts: Rows,
    out: npt.NDArray[np.float64],
) -> None:
    """``out[k] = left[c] @ values[rows[k]]`` over NumPy arrays; c's k begin at ``starts[c]``."""
    _loops["pick", torch.float32, torch.float32]()(left, values, rows, starts, out, 0, len(left))


def gradient_loop(dtype: torch.dtype) -> Callable[..., None]:
    """The loop behind :func:`gradient`, for residuals and values of one precision: see :func:`_gradient`."""
    return _loops["gradient", dtype, dtype]()


def weighed_rows(values: Tensor, rows: Tensor, part: slice | Tensor, weights: Tensor) -> Tensor:
    """``values[rows][:, part] * weights``, (m, k), a copy; see :func:`reached`.

    Args:
        values: The matrix (p, n).
        rows: Rows (m,) int64.
        part: A range of k examples, or their places (k,) int64.
        weights: (k,) in the precision of the matrix.
    """
    out = values.new_empty(len(rows), len(weights))
    first, places = (part.start, torch.empty(0, dtype=torch.long)) if isinstance(part, slice) else (0, part)
    operands = (values, rows), (places, weights.contiguous(), out)
    before, after = ([operand.numpy() for operand in group] for group in operands)
    _weighs[values.dtype]()(*before, first, *after)
    return out
