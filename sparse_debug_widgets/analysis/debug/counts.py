"""Right answers per class and group, and confusions, of several layers on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.layers import ClassLayer, Examined

Int64 = npt.NDArray[np.int64]


class Counts(NamedTuple):
    """Counts of S layers on n rows of C classes in G groups.

    Attributes:
        class_counts: (C,) rows of each class.
        class_hits: (S, C) rows of each class that a layer is right about.
        group_counts: (G,).
        group_hits: (S, G).
        confusion: (S, C, C) rows of class i (first) that are called j.
        predictions: (S, n).
    """

    class_counts: Int64
    class_hits: Int64
    group_counts: Int64
    group_hits: Int64
    confusion: Int64
    predictions: Int64


def counts_of(
    layers: Mapping[str, ClassLayer], examined: Examined, n_classes: int, groups: Int64, n_groups: int
) -> Counts:
    """Count what layers answer.

    Args:
        layers: By the name of their stage.
        examined: The rows.
        n_classes: C.
        groups: (n,) number of each row's group; -1 for none.
        n_groups: G.
    """
    labels = examined.labels
    predictions = np.stack([layer.predictions(examined.z) for layer in layers.values()])
    right = predictions == labels
    grouped = groups >= 0
    return Counts(
        _counted(labels, n_classes),
        np.stack([_counted(labels[one], n_classes) for one in right]),
        _counted(groups[grouped], n_groups),
        np.stack([_counted(groups[grouped & one], n_groups) for one in right]),
        np.stack(
            [
                _counted(labels * n_classes + answer, n_classes**2).reshape(n_classes, n_classes)
                for answer in predictions
            ]
        ),
        predictions,
    )


def _counted(numbers: npt.NDArray[Any], size: int) -> Int64:
    return np.asarray(np.bincount(numbers, minlength=size), np.int64)
