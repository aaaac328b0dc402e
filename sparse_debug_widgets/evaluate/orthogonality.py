"""Orthogonality: do different x-features look at different places? (thesis, Sec. 3.3.2, point 2)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.evaluate.metric import Metric, probabilities, read_maps

# Eigenvalues of P below this count as this: -logdet of maps that depend on each other would be infinite.
_SMALLEST = 1e-12


def orthogonality(maps: object) -> tuple[Metric, Metric]:
    """O1 = ||P||_F - sqrt(n) and O2 = -log det P of the maps' correlations P; lower is better, 0 is best.

    Each map becomes a distribution over its image (a map of zeros stays zeros); the pixels of all images
    together are the observations of the covariance.

    Args:
        maps: (M, n, H, W) >= 0, the n heat maps of each of M images.

    Returns:
        O1, between 0 and n - sqrt(n), and O2, with ``"correlations"`` (P as nested tuples) and ``"alive"``
        in the details. x-features whose maps do not vary are left out and noted; with one left there is
        nothing to compare, and both are 0.

    Raises:
        InputError: Not such maps.

    References:
        Khorram, "Toward Disentangling the Activations of the Deep Networks", Oregon State University, 2020,
        section 3.3.2; ``docs/methods/metrics.md``.
    """
    values = probabilities(read_maps(maps, "orthogonality"))
    n = values.shape[1]
    flat = values.transpose(1, 0, 2, 3).reshape(n, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1)
    alive = norms > 1e-12 * max(1.0, math.sqrt(flat.shape[1]) * float(values.max()))
    notes = []
    if not alive.all():
        dead = ", ".join(str(k + 1) for k in np.flatnonzero(~alive))
        notes.append(f"x-features with maps that do not vary are left out: {dead}")
    if not alive.any():
        details = {"alive": tuple(alive.tolist()), "correlations": ()}
        missing = (*notes, "no map varies: orthogonality is not defined")
        nan = float("nan")
        return (
            Metric("O1", nan, "lower", 0.0, details, missing),
            Metric("O2", nan, "lower", 0.0, details, missing),
        )
    unit = flat[alive] / norms[alive, None]
    correlations = unit @ unit.T
    np.fill_diagonal(correlations, 1.0)
    if alive.sum() == 1:
        notes.append("one x-feature has nothing to be orthogonal to")
    details = {
        "alive": tuple(alive.tolist()),
        "correlations": tuple(tuple(row) for row in correlations.tolist()),
    }
    o1 = max(0.0, float(np.linalg.norm(correlations)) - math.sqrt(len(correlations)))
    o2, clipped = _minus_logdet(correlations)
    more = ("maps depend on each other linearly: O2 is cut off",) if clipped else ()
    return (
        Metric("O1", o1, "lower", 0.0, details, tuple(notes)),
        Metric("O2", o2, "lower", 0.0, details, (*notes, *more)),
    )


def _minus_logdet(correlations: npt.NDArray[np.float64]) -> tuple[float, bool]:
    values = np.linalg.eigvalsh(correlations)
    clipped = bool((values < _SMALLEST).any())
    return max(0.0, float(-np.log(np.maximum(values, _SMALLEST)).sum())), clipped
