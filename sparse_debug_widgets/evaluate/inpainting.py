"""Filling the hidden part of a picture smoothly from what is left of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject

Array = npt.NDArray[Any]


def inpaint(image: Array, kept: Array) -> npt.NDArray[np.float64]:
    """The picture whose hidden pixels are the mean of their four neighbours (harmonic inpainting).

    The smoothest filling there is: it adds no edge that was not kept. At the border of the picture the
    neighbours that exist are averaged. Without any kept pixel the picture is 0.

    Args:
        image: (channels, H, W).
        kept: (H, W) boolean, the pixels that stay as they are.

    Returns:
        (channels, H, W) float64, within the range of what was kept.

    Raises:
        InputError: Shapes that do not fit.

    >>> inpaint(np.array([[[0.0, 9.0, 9.0, 3.0]]]), np.array([[True, False, False, True]])).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    if image.ndim != 3 or kept.shape != image.shape[1:] or kept.dtype != np.bool_:
        got = f"an image of shape {image.shape} and {kept.dtype} of shape {kept.shape}"
        reject("kept", "the image", "be boolean (height, width) of an image (channels, height, width)", got)
    filled = image.astype(np.float64)
    if kept.all():
        return filled
    if not kept.any():
        return np.zeros_like(filled)
    hidden = ~kept
    filled[:, hidden] = _solve(filled, hidden)
    low, high = image[:, kept].min(axis=1), image[:, kept].max(axis=1)
    return np.asarray(np.clip(filled, low[:, None, None], high[:, None, None]))


def _solve(image: npt.NDArray[np.float64], hidden: Array) -> npt.NDArray[np.float64]:
    """Values (channels, hidden pixels): degree * value = sum of the neighbours."""
    from scipy.sparse import coo_matrix, csc_matrix, diags
    from scipy.sparse.linalg import splu

    height, width = hidden.shape
    number = np.full(hidden.shape, -1)
    number[hidden] = np.arange(hidden.sum())
    rows, columns = np.nonzero(hidden)
    degree = np.zeros(len(rows))
    known = np.zeros((len(rows), len(image)))
    pairs: list[tuple[Array, Array]] = []
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        i, j = rows + down, columns + right
        exists = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        degree += exists
        i, j, own = i[exists], j[exists], np.flatnonzero(exists)
        other = number[i, j]
        known[own[other < 0]] += image[:, i[other < 0], j[other < 0]].T
        pairs.append((own[other >= 0], other[other >= 0]))
    first, second = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    links = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(rows), len(rows)))
    return np.asarray(splu(csc_matrix(diags(degree) - links)).solve(known)).T
