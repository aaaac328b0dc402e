"""Softmax, cross-entropy and their curvature on the CPU, each in one pass over ``(C, n)`` arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.rows.compiled import compiled, ready
from sparse_debug_widgets.sparse.rows.sharing import over_range

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Float64 = npt.NDArray[np.float64]

_SPAN = 4096
"""Examples whose probabilities are summed before these sums are added: alike for any number of threads."""


def _softmax(  # noqa: PLR0912, PLR0913, PLR0917 - all that one pass over the examples reads and writes
    logits: Real,
    shift: Float64,
    labels: npt.NDArray[np.int64],
    response: Real,
    losses: Float64,
    entropies: Float64,
    sums: Float64,
    share: Float64,
    low: int,
    high: int,
) -> None:
    """Softmax of ``logits + shift`` over examples ``low:high``, in float64 whatever the storage.

    Writes probabilities (C, n), cross-entropies (n,), entropies (n,), and the probabilities' sums (spans, C),
    weighted with ``share`` (n,) unless that is empty.

    The exponential is written out (argument reduced by powers of two, Taylor polynomial of degree 12, error
    below 1e-15), because a call of the library's would keep the loop from being vectorised.
    """
    classes = logits.shape[0]
    width = 256
    top, total, slope, weight = np.empty(width), np.empty(width), np.empty(width), np.ones(width)
    fraction, exponent = np.empty(width), np.empty(width)
    bits = np.empty(width, np.int64)
    power = bits.view(np.float64)
    for start in range(low, high, width):
        size = min(width, high - start)
        span = start // _SPAN
        if start % _SPAN == 0:
            for c in range(classes):
                sums[span, c] = 0.0
        for i in range(size):
            top[i] = logits[0, start + i] + shift[0]
            total[i] = 0.0
            slope[i] = 0.0
        for c in range(1, classes):
            for i in range(size):
                top[i] = max(top[i], logits[c, start + i] + shift[c])
        for c in range(classes):
            for i in range(size):
                x = max(logits[c, start + i] + shift[c] - top[i], -700.0)
                k = np.floor(x * 1.4426950408889634 + 0.5)
                r = x - k * 0.6931471805599453
                e = 2.08767569878681e-09
                e = e * r + 2.505210838544172e-08
                e = e * r + 2.755731922398589e-07
                e = e * r + 2.7557319223985893e-06
                e = e * r + 2.48015873015873e-05
                e = e * r + 1.984126984126984e-04
                e = e * r + 1.388888888888889e-03
                e = e * r + 8.333333333333333e-03
                e = e * r + 4.1666666666666664e-02
                e = e * r + 1.6666666666666666e-01
                e = e * r + 0.5
                e = e * r + 1.0
                fraction[i] = 1.0 + r * e
                bits[i] = (np.int64(k) + 1023) << 52
                exponent[i] = x
            for i in range(size):
                e = fraction[i] * power[i]
                total[i] += e
                slope[i] += e * exponent[i]
                response[c, start + i] = e
        for i in range(size):
            logarithm, inverse = np.log(total[i]), 1.0 / total[i]
            own = labels[start + i]
            losses[start + i] = logarithm + top[i] - (logits[own, start + i] + shift[own])
            entropies[start + i] = logarithm - slope[i] * inverse
            total[i] = inverse
        if len(share) > 0:
            for i in range(size):
                weight[i] = share[start + i]
        for c in range(classes):
            added = 0.0
            for i in range(size):
                likely = response[c, start + i] * total[i]
                response[c, start + i] = likely
                added += likely * weight[i]
            sums[span, c] += added


def _curve(response: Real, direction: Real, out: Real, low: int, high: int) -> None:
    """``(diag(p) - p p^T) d`` for the examples ``low:high``."""
    classes = response.shape[0]
    width = 512
    mean = np.empty(width)
    for start in range(low, high, width):
        size = min(width, high - start)
        for i in range(size):
            mean[i] = 0.0
        for c in range(classes):
            for i in range(size):
                mean[i] += response[c, start + i] * direction[c, start + i]
        for c in range(classes):
            for i in range(size):
                out[c, start + i] = response[c, start + i] * (direction[c, start + i] - mean[i])


_WIDE = "float64[::1]"
_SOFTMAX = (
    f"void({{}}[:,::1],{_WIDE},int64[::1],{{}}[:,::1],{_WIDE},{_WIDE},float64[:,::1],{_WIDE},int64,int64)"
)
_CURVE = "void({0}[:,::1],{0}[:,::1],{0}[:,::1],int64,int64)"
_softmaxes = {
    torch.float32: compiled(_softmax, _SOFTMAX.format("float32", "float32")),
    torch.float64: compiled(_softmax, _SOFTMAX.format("float64", "float64")),
}
_narrowing = compiled(_softmax, _SOFTMAX.format("float64", "float32"))
_curves = {
    torch.float32: compiled(_curve, _CURVE.format("float32")),
    torch.float64: compiled(_curve, _CURVE.format("float64")),
}


class Softmax(NamedTuple):
    """The result of :func:`softmax`.

    Attributes:
        response: Probabilities (C, n), in the precision of the logits.
        losses: Cross-entropies (n,) float64.
        entropies: Entropies (n,) float64 of the probabilities.
        sums: Weighted sums (C,) float64 of the probabilities over the examples.
    """

    response: Tensor
    losses: Tensor
    entropies: Tensor
    sums: Tensor


def fits(*arrays: Tensor) -> bool:
    """Say whether the loops can run over these arrays."""
    first = arrays[0]
    return (
        first.device.type == "cpu"
        and first.dtype in _softmaxes
        and all(array.is_contiguous() and array.dtype == first.dtype for array in arrays)
        and ready()
    )


def softmax(
    logits: Tensor, labels: Tensor, shift: Tensor | None = None, weights: Tensor | None = None
) -> Softmax:
    """Softmax of ``logits + shift``; see :func:`fits`.

    Args:
        logits: (C, n).
        labels: Class of each example (n,) int64.
        shift: (C,) float64, an intercept that the logits do not have yet; zero if None.
        weights: (n,) float64, for the sums; ones if None.
    """
    classes, n = logits.shape
    response = recycled.empty_like(logits)
    losses, entropies = (torch.empty(n, dtype=torch.float64) for _ in range(2))
    moved = np.zeros(classes) if shift is None else shift.numpy()
    share = np.empty(0) if weights is None else weights.numpy()
    loop, read = _softmaxes[logits.dtype](), logits.numpy()
    sums = _run(loop, read, moved, labels.numpy(), response.numpy(), losses.numpy(), entropies.numpy(), share)
    return Softmax(response, losses, entropies, torch.from_numpy(sums))


def _run(
    loop: Callable[..., None],
    logits: Real,
    shift: Float64,
    labels: npt.NDArray[np.int64],
    response: Real,
    losses: Float64,
    entropies: Float64,
    share: Float64,
) -> Float64:
    """Run :func:`_softmax` over all examples; the probabilities' sums (C,)."""
    n = logits.shape[1]
    sums = np.zeros((-(-n // _SPAN), len(logits)))

    def part(low: int, high: int) -> None:
        loop(logits, shift, labels, response, losses, entropies, sums, share, low, high)

    over_range(part, n, work=30 * logits.size, grain=_SPAN)
    added: Float64 = sums.sum(0)
    return added


def curve(response: Tensor, direction: Tensor) -> Tensor:
    """``(diag(p) - p p^T) d`` (C, n) of probabilities and a direction in the logits; see :func:`fits`."""
    out = recycled.empty_like(direction)
    loop, operands = _curves[response.dtype](), [array.numpy() for array in (response, direction, out)]
    over_range(lambda low, high: loop(*operands, low, high), response.shape[1], work=4 * response.numel())
    return out


def softmax_into(
    logits: Float64, labels: npt.NDArray[np.int64], response: npt.NDArray[np.float32], losses: Float64
) -> None:
    """Like :func:`softmax`, of float64 logits, written to float32 probabilities; the loops must be ready."""
    classes, n = logits.shape
    _run(_narrowing(), logits, np.zeros(classes), labels, response, losses, np.empty(n), np.empty(0))


def curve_into(
    response: npt.NDArray[np.float32], direction: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
) -> None:
    """Like :func:`curve`, over NumPy arrays (C, n); the loops must be ready."""
    _curves[torch.float32]()(response, direction, out, 0, response.shape[1])
