"""Proximal maps of the penalties, for NumPy arrays and PyTorch tensors alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    Array = TypeVar("Array", npt.NDArray[Any], torch.Tensor)
else:
    Array = TypeVar("Array")


def soft_threshold(values: Array, threshold: float | Array) -> Array:
    """Shrink every entry towards 0 by ``threshold``: the proximal map of ``threshold * |v|``.

    ``sign(v) * max(|v| - threshold, 0)``. (Eq. 4 of the sparse-linear-layers paper misprints its second
    case: it applies for ``v < -threshold``.)

    Args:
        values: Array or tensor of any shape.
        threshold: Non-negative number, or an array that broadcasts against ``values``.

    Returns:
        A new array or tensor; entries within the threshold are exactly 0.

    >>> soft_threshold(np.array([3.0, -0.5, -2.0]), 1.0)
    array([ 2.,  0., -1.])
    """
    # v - clip(v, -t, t) is the same map: two elementwise passes and an exact 0 inside the threshold.
    if isinstance(values, np.ndarray):
        return cast("Array", values - np.clip(values, -threshold, threshold))
    # Tensors clamp by two numbers or by two tensors; both forms are wanted here.
    bound: Any = threshold
    tensor = cast("Any", values)
    return cast("Array", tensor - tensor.clamp(-bound, bound))


def elastic_net_prox(values: Array, step: float | Array, lambda_: float, alpha: float) -> Array:
    """Proximal map of ``step * lambda * (alpha * |v| + (1 - alpha) / 2 * v**2)``.

    ``sign(v) * max(|v| - step*lambda*alpha, 0) / (1 + step*lambda*(1 - alpha))``; Eq. 4 of the
    sparse-linear-layers paper with its sign corrected.

    Args:
        values: Array or tensor of any shape.
        step: Step size, a number or an array that broadcasts against ``values``.
        lambda_: Strength of the penalty, at least 0.
        alpha: Share of the l1 norm, in [0, 1].

    Returns:
        A new array or tensor.

    >>> elastic_net_prox(np.array([3.0, -0.4]), 1.0, 1.0, 0.5)
    array([1.66666667, 0.        ])
    """
    pull: Any = step
    return cast("Array", soft_threshold(values, pull * lambda_ * alpha) / (1 + pull * lambda_ * (1 - alpha)))
