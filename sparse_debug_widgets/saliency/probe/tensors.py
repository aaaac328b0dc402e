"""Tensors of vectors: unit length, and arrays on the host."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., d) of length 1; zero stays zero.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return cast("Tensor", vectors / length.clamp_min(torch.finfo(vectors.dtype).tiny))


def all_finite(tensor: Tensor) -> bool:
    """Say whether no value is NaN or infinite; the sum tells it at a fraction of the cost if none is.

    >>> all_finite(torch.tensor([3e38, 3e38])), all_finite(torch.tensor([1.0, float("nan")]))
    (True, False)
    """
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def host(tensor: Tensor) -> npt.NDArray[Any]:
    """A NumPy array; half precision becomes float32, which NumPy and files can hold."""
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype not in {torch.float32, torch.float64}:
        tensor = tensor.float()
    return np.ascontiguousarray(tensor.cpu().numpy())
