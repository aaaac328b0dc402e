"""The compiled work between two passes: the loss, and one Frank-Wolfe step towards a sparse vertex.

On a small network thirty small tensor operations cost a quarter of a forward and backward pass.
:meth:`perturb.balls.Ball.advance` and :func:`perturb.classifier.cross_entropy` are the same in PyTorch; the
tests compare both.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[Any]
_BUCKETS = 2048


def is_readable(tensor: Tensor) -> bool:
    """Say whether compiled code can look at the tensor without a copy, row by row."""
    fits = tensor.is_cpu and (tensor.dtype is torch.float32 or tensor.dtype is torch.float64)
    return fits and tensor.is_contiguous() and not tensor.requires_grad


@numba.njit(cache=True, nogil=True)
def cross_entropy_rows(
    logits: Floats, target: npt.NDArray[np.int64], sign: float, losses: Floats, slopes: Floats
) -> None:
    """Cross-entropy of a target, and ``sign`` times its derivative with respect to the logits.

    Args:
        logits: (B, C).
        target: (B,) class indices.
        sign: Factor of the derivative.
        losses: (B,), written to.
        slopes: (B, C), written to.
    """
    n_rows, classes = logits.shape
    for row in range(n_rows):
        z, slope, wanted = logits[row], slopes[row], target[row]
        first = 0
        for c in range(1, classes):
            if z[c] > z[first]:
                first = c
        # Differences in the precision of the logits, sums in double precision. The largest stands outside
        # its sum, so that log1p keeps what log(1 + tiny) would round away; and the target's slope is minus
        # the sum of the others', as in core.outputs.residual.
        rest, others = 0.0, 0.0
        for c in range(classes):
            slope[c] = np.exp(z[c] - z[first])
            rest += slope[c] if c != first else slope[c] - 1.0
            others += slope[c] if c != wanted else 0.0
        losses[row] = (z[first] - z[wanted]) + np.log1p(rest)
        for c in range(classes):
            slope[c] *= sign / (1.0 + rest)
        slope[wanted] = -sign * others / (1.0 + rest)


@numba.njit(cache=True, nogil=True)
def advance_rows(
    gradient: Floats,
    delta: Floats,
    low: Floats,
    high: Floats,
    counts: npt.NDArray[np.int64],
    gamma: float,
    moved: Floats,
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """``moved = (1 - gamma) delta + gamma s``, s the vertex of the l1-q ball between low and high.

    The m largest ``-min(g low, g high) = |g| c`` are compared as float32; of equal ones the first are taken.

    Args:
        gradient: (B, d); NaN counts as 0.
        delta: (B, d).
        low: (B, d) not positive: how far down a coordinate may go.
        high: (B, d) not negative.
        counts: (B,) m.
        gamma: Weight of the vertex; a row without any gain stays where it is.
        moved: (B, d), written to.

    Returns:
        gaps ``<g, delta - s>`` (B,) float64, and how many entries of each row of ``moved`` are not zero.
    """
    n_rows, d = gradient.shape
    gaps = np.zeros(n_rows, np.float64)
    supports = np.zeros(n_rows, np.int64)
    gain = np.empty(d, np.float32)
    # Floats that are not negative are in the same order as their bits.
    bits = gain.view(np.int32)
    near = np.empty(d, np.int32)
    histogram = np.empty(_BUCKETS, np.int32)
    for row in range(n_rows):
        g, x, down, up, out = gradient[row], delta[row], low[row], high[row], moved[row]
        for i in range(d):
            # One of the two is not negative. Comparisons with NaN are false, so that NaN becomes 0.
            below, above = np.float32(-g[i] * down[i]), np.float32(-g[i] * up[i])
            best = below if below > above else above
            gain[i] = best if best > 0 else np.float32(0)
        largest = bits.max()
        weight = gamma if largest > 0 else 0.0
        last, equal = _threshold(bits, largest, counts[row], near, histogram)
        total = _shrink(g, x, 1 - weight, out)
        # Few are chosen: a loop of its own leaves the others to vector instructions.
        for i in range(d):
            if bits[i] >= last and bits[i] > 0 and (bits[i] > last or equal > 0):
                equal -= bits[i] == last
                step = down[i] if g[i] > 0 else up[i]
                total -= g[i] * step
                out[i] = (1 - weight) * x[i] + weight * step
        supports[row] = np.count_nonzero(out)
        gaps[row] = total
    return gaps, supports


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _shrink(g: Floats, x: Floats, share: float, out: Floats) -> float:
    """``out = share x``; returns ``<g, x>`` without the places where g is NaN."""
    total = 0.0
    for i in range(len(g)):
        out[i] = share * x[i]
        product = np.float64(g[i]) * x[i]
        total += product if product == product else 0.0  # noqa: PLR0124 - false for NaN only
    return total


@numba.njit(cache=True, nogil=True)
def _threshold(
    bits: npt.NDArray[np.int32],
    largest: int,
    wanted: int,
    near: npt.NDArray[np.int32],
    histogram: npt.NDArray[np.int32],
) -> tuple[int, int]:
    """Value of the ``wanted``-th largest entry, and how many entries equal to it are wanted.

    A radix search: by exponent and three bits of the fraction, then, among those that agree with the edge, by
    the next eleven and the last nine. ``near`` (d,) and ``histogram`` are overwritten.
    """
    edge, left = _edge(bits, 20, wanted, histogram[: (largest >> 20) + 1])
    size = 0
    for value in bits:
        if value >> 20 == edge:
            near[size] = value & 0xFFFFF
            size += 1
    middle, left = _edge(near[:size], 9, left, histogram)
    closer = 0
    for value in near[:size]:
        if value >> 9 == middle:
            near[closer] = value & 0x1FF
            closer += 1
    end, left = _edge(near[:closer], 0, left, histogram[:512])
    return (edge << 20) | (middle << 9) | end, left


@numba.njit(cache=True, nogil=True)
def _edge(
    values: npt.NDArray[np.int32], shift: int, wanted: int, histogram: npt.NDArray[np.int32]
) -> tuple[int, int]:
    """Bucket of the ``wanted``-th largest value, and its rank from above within the bucket."""
    histogram[:] = 0
    for value in values:
        histogram[value >> shift] += 1
    edge, left = len(histogram) - 1, wanted
    while edge > 0 and left > histogram[edge]:
        left -= histogram[edge]
        edge -= 1
    return edge, left
