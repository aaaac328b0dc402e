"""Colours of a data set: mean, correlation and range of its channels, whatever they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.pixels import Bound, Box

Array = npt.NDArray[Any]
_MARGIN = 1e-3


class Colours(NamedTuple):
    """The colour statistics of a data set's pictures, channel by channel.

    Attributes:
        mean: (channels,) within the range, as a share of it, in (0, 1).
        mix: (channels, channels) symmetric root of the channels' covariance, scaled to a largest column
            norm of 1: independent noise times this has the data's correlations.
        low: Smallest value a picture may have; (channels, 1, 1) where channels differ.
        high: Largest.
    """

    mean: Array
    mix: Array
    low: float | Array
    high: float | Array


def learn_colours(pictures: Array, box: Box | None = None) -> Colours:
    """Colours (the place of ImageNet's constants in other programs) of given pictures.

    Args:
        pictures: (m, channels, H, W).
        box: Range of their pixels; None: values in [0, 1] keep that range, others get their own.

    Returns:
        The colours; channels that never vary are left uncorrelated with the others.
    """
    low, high = _range(pictures) if box is None else (_as_given(end) for end in box)
    share = (np.asarray(pictures, np.float64) - low) / (high - low)
    share = share.transpose(1, 0, 2, 3).reshape(pictures.shape[1], -1)
    covariance = np.atleast_2d(np.cov(share, bias=True))
    sizes, axes = np.linalg.eigh(covariance)
    mix = (axes * np.sqrt(np.maximum(sizes, 1e-10))) @ axes.T
    mix /= np.linalg.norm(mix, axis=0).max()
    return Colours(share.mean(1).clip(_MARGIN, 1 - _MARGIN), mix, low, high)


def _range(pictures: Array) -> tuple[float, float]:
    low, high = float(pictures.min()), float(pictures.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _as_given(end: Bound) -> float | Array:
    """A number for all channels, or one for each."""
    array = np.asarray(end, np.float64)
    return float(array) if array.ndim == 0 else array
