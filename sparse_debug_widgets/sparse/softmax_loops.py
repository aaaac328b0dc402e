"""Softmax, cross-entropy and their curvature on the CPU, each in one pass over ``(C, n)`` arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.compiled import compiled, ready

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Float64 = npt.NDArray[np.float64]


def _softmax(logits: Real, labels: npt.NDArray[np.int64], response: Real, losses: Float64) -> None:
    """Probabilities (C, n) and cross-entropies (n,), in float64 whatever the storage.

    The exponential is written out (argument reduced by powers of two, Taylor polynomial of degree 12, error
    below 1e-15), because a call of the library's would keep the loop from being vectorised.
    """
    classes, examples = logits.shape
    width = 256
    top, total, fraction = np.empty(width), np.empty(width), np.empty(width)
    bits = np.empty(width, np.int64)
    power = bits.view(np.float64)
    for start in range(0, examples, width):
        size = min(width, examples - start)
        for i in range(size):
            top[i] = logits[0, start + i]
            total[i] = 0.0
        for c in range(1, classes):
            for i in range(size):
                top[i] = max(top[i], np.float64(logits[c, start + i]))
        for c in range(classes):
            for i in range(size):
                x = max(np.float64(logits[c, start + i]) - top[i], -700.0)
                k = np.floor(x * 1.4426950408889634 + 0.5)
                r = x - k * 0.6931471805599453
                e = 1.0 + r / 12.0
                e = 1.0 + r / 11.0 * e
                e = 1.0 + r / 10.0 * e
                e = 1.0 + r / 9.0 * e
                e = 1.0 + r / 8.0 * e
                e = 1.0 + r / 7.0 * e
                e = 1.0 + r / 6.0 * e
                e = 1.0 + r / 5.0 * e
                e = 1.0 + r / 4.0 * e
                e = 1.0 + r / 3.0 * e
                e = 1.0 + r / 2.0 * e
                fraction[i] = 1.0 + r * e
                bits[i] = (np.int64(k) + 1023) << 52
            for i in range(size):
                e = fraction[i] * power[i]
                total[i] += e
                response[c, start + i] = e
        for i in range(size):
            losses[start + i] = np.log(total[i]) + top[i] - logits[labels[start + i], start + i]
            total[i] = 1.0 / total[i]
        for c in range(classes):
            for i in range(size):
                response[c, start + i] *= total[i]


def _curve(response: Real, direction: Real, out: Real) -> None:
    """``(diag(p) - p p^T) d`` for every example."""
    classes, examples = response.shape
    width = 512
    mean = np.empty(width)
    for start in range(0, examples, width):
        size = min(width, examples - start)
        for i in range(size):
            mean[i] = 0.0
        for c in range(classes):
            for i in range(size):
                mean[i] += response[c, start + i] * direction[c, start + i]
        for c in range(classes):
            for i in range(size):
                out[c, start + i] = response[c, start + i] * (direction[c, start + i] - mean[i])


_SOFTMAX = "void({}[:,::1],int64[::1],{}[:,::1],float64[::1])"
_CURVE = "void({0}[:,::1],{0}[:,::1],{0}[:,::1])"
_softmaxes = {
    torch.float32: compiled(_softmax, _SOFTMAX.format("float32", "float32")),
    torch.float64: compiled(_softmax, _SOFTMAX.format("float64", "float64")),
}
_narrowing = compiled(_softmax, _SOFTMAX.format("float64", "float32"))
_curves = {
    torch.float32: compiled(_curve, _CURVE.format("float32")),
    torch.float64: compiled(_curve, _CURVE.format("float64")),
}


def fits(*arrays: Tensor) -> bool:
    """Whether the loops can run over these arrays."""
    first = arrays[0]
    return (
        first.device.type == "cpu"
        and first.dtype in _softmaxes
        and all(array.is_contiguous() and array.dtype == first.dtype for array in arrays)
        and ready()
    )


def softmax(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (C, n) and cross-entropies (n,) float64 of logits (C, n); see :func:`fits`."""
    response = torch.empty_like(logits)
    losses = torch.empty(logits.shape[1], dtype=torch.float64)
    _softmaxes[logits.dtype]()(logits.numpy(), labels.numpy(), response.numpy(), losses.numpy())
    return response, losses


def curve(response: Tensor, direction: Tensor) -> Tensor:
    """``(diag(p) - p p^T) d`` (C, n) of probabilities and a direction in the logits; see :func:`fits`."""
    out = torch.empty_like(direction)
    _curves[response.dtype]()(response.numpy(), direction.numpy(), out.numpy())
    return out


def softmax_into(
    logits: Float64, labels: npt.NDArray[np.int64], response: npt.NDArray[np.float32], losses: Float64
) -> None:
    """Like :func:`softmax`, of float64 logits, written to float32 probabilities; the loops must be ready."""
    _narrowing()(logits, labels, response, losses)


def curve_into(
    response: npt.NDArray[np.float32], direction: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
) -> None:
    """Like :func:`curve`, over NumPy arrays (C, n); the loops must be ready."""
    _curves[torch.float32]()(response, direction, out)
