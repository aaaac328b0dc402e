"""The inner loop of the solver: coordinate descent on a dense quadratic model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.sparse.rows.compiled import compiled

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Scalar = np.float32
Kernel = Callable[[Float32, Float32, Float32, Float32, Float32, Scalar, Scalar, int], int]

_SIGNATURE = (
    "int64(float32[:,::1], float32[::1], float32[::1], float32[::1], float32[::1], float32, float32, int64)"
)


def _descend(
    gram: Float32,
    gradient: Float32,
    weights: Float32,
    l1: Float32,
    l2: Float32,
    scale: np.float32,
    tol: np.float32,
    max_sweeps: int,
) -> int:
    """Minimise ``g'd + scale d'Hd/2 + sum_j l1_j |w_j + d_j| + l2_j (w_j + d_j)^2 / 2`` over d, in place.

    Sweeps alternate between all coordinates and those that are not zero.

    Args:
        gram: H, (a, a) symmetric, C-contiguous.
        gradient: g at ``weights``, (a,); on return the model's gradient at the new weights.
        weights: w, (a,); on return w + d.
        l1: (a,) factors of the absolute values; 0 for an intercept.
        l2: (a,) factors of half the squares.
        scale: Factor of H.
        tol: Stop when a sweep over all coordinates lowers the model by at most this in every coordinate.
        max_sweeps: Sweeps at most.

    Returns:
        Sweeps used.
    """
    size = weights.shape[0]
    everything = True
    sweeps = 0
    while sweeps < max_sweeps:
        sweeps += 1
        largest = np.float32(0.0)
        for j in range(size):
            old = weights[j]
            if not everything and old == 0.0:
                continue
            curvature = scale * gram[j, j] + np.float32(1e-12)
            point = curvature * old - gradient[j]
            if point > l1[j]:
                new = (point - l1[j]) / (curvature + l2[j])
            elif point < -l1[j]:
                new = (point + l1[j]) / (curvature + l2[j])
            else:
                new = np.float32(0.0)
            step = new - old
            if step != 0.0:
                weights[j] = new
                scaled = scale * step
                for i in range(size):
                    gradient[i] += scaled * gram[j, i]
                gain = curvature * step * step
                largest = max(largest, gain)
        if largest <= tol:
            if everything:
                break
            everything = True
        else:
            everything = False
    return sweeps


_descending_exactly = compiled(_descend, _SIGNATURE.replace("float32", "float64"), first=True)
_descending = compiled(_descend, _SIGNATURE, first=True)


def coordinate_descent() -> Kernel:
    """The compiled loop, see :func:`_descend`; waits for the compilation if it is still under way."""
    kernel: Kernel = _descending()
    return kernel


def exact_descent() -> Callable[[Float64, Float64, Float64, Float64, Float64, float, float, int], int]:
    """The same loop in float64."""
    kernel: Callable[[Float64, Float64, Float64, Float64, Float64, float, float, int], int]
    kernel = _descending_exactly()
    return kernel
