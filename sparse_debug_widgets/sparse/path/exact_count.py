"""A path point at which a class has exactly so many features: bisection between two strengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparse_debug_widgets.core.checks import check_int, refuse
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.path.path import elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

_BISECTIONS = 40


def path_with_count(
    features: DeepFeatures | object,
    y: object = None,
    *,
    n_features: int,
    class_index: int | str,
    **options: Any,  # noqa: ANN401 - handed on to elastic_net_path
) -> tuple[RegularizationPath, int]:
    """Fit a path on which a class has exactly ``n_features`` nonzero weights somewhere.

    If no point of the path has, the strength between its neighbours is bisected, each fit starting from the
    path. Two features can enter at the same strength, and a feature can leave as another enters; where the
    number is jumped over, the error names the numbers beside it.

    Args:
        features: As for :func:`elastic_net_path`.
        y: As for :func:`elastic_net_path`.
        n_features: The number of nonzero weights.
        class_index: Index or name of the class.
        **options: Anything else that :func:`elastic_net_path` takes, except ``start``.

    Returns:
        A path, and the index on it.

    Raises:
        InputError: The class never has that many features.
    """
    wanted = check_int(n_features, "n_features", "a count of features", low=0)
    path = elastic_net_path(features, y, **options)
    counts = _counts(path, class_index)
    if (counts == wanted).any():
        return path, int(np.flatnonzero(counts == wanted)[0])
    beyond = np.flatnonzero(counts > wanted)
    if len(beyond) == 0 or beyond[0] == 0:
        refuse(
            f"Class {class_index!r} never has exactly {wanted} features: this path gives it "
            f"{int(counts.min())} to {int(counts.max())}. A smaller eps reaches denser layers."
        )
    rest = {name: value for name, value in options.items() if name not in ("lambdas", "n_lambdas", "eps")}
    high, low = float(path.lambdas[beyond[0] - 1]), float(path.lambdas[beyond[0]])
    near = {int(counts[beyond[0] - 1]), int(counts[beyond[0]])}
    single, count = path, -1
    for _ in range(_BISECTIONS):
        middle = math.sqrt(high * low)
        single = elastic_net_path(features, y, lambdas=[middle], start=path, **rest)
        count = int(_counts(single, class_index)[0])
        near.add(count)
        if count == wanted:
            break
        high, low = (middle, low) if count < wanted else (high, middle)
    if count != wanted:
        below, above = max(n for n in near if n < wanted), min(n for n in near if n > wanted)
        refuse(
            f"Class {class_index!r} never has exactly {wanted} features: it has {below}, and then {above}. "
            "Take one of these."
        )
    return single, 0


def _counts(path: RegularizationPath, class_index: int | str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray((path.class_path(class_index) != 0).sum(1), np.int64)
