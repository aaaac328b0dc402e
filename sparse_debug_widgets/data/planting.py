"""The choice of the examples of a generated data set that carry the planted flaw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def planted(
    labels: NDArray[np.int64],
    n_classes: int,
    flaw_class: int,
    rates: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Choose the examples that carry the flaw: exact shares, so that a small split has it too.

    Args:
        labels: Class of each example (n,).
        n_classes: How many classes there are.
        flaw_class: The class that the flaw gives away.
        rates: Share of that class which carries it, and share of the others.
        rng: Chooses the members.

    Returns:
        (n,) booleans.
    """
    tagged = np.zeros(len(labels), dtype=bool)
    for label in range(n_classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        rate = rates[0] if label == flaw_class else rates[1]
        tagged[members[: round(rate * len(members))]] = True
    return tagged
