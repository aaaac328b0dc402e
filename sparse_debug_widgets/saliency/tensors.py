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


def host(tensor: Tensor) -> npt.NDArray[Any]:
    """A NumPy array; half precision becomes float32, which NumPy and files can hold."""
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype not in {torch.float32, torch.float64}:
        tensor = tensor.float()
    return np.ascontiguousarray(tensor.cpu().numpy())
