"""Group labels as people give them, beside the rows of deep features."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.labels import TEST

_FORM = "a list of group labels, one for each example"


class GivenGroups(NamedTuple):
    """Groups of all rows.

    Attributes:
        names: G names, sorted.
        numbers: (n,) number of each row's group; -1 where none is given.
    """

    names: tuple[str, ...]
    numbers: npt.NDArray[np.int64]


def listed_groups(groups: object) -> list[str] | None:
    """Group labels as texts; None where none are given.

    Raises:
        InputError: No list of labels, one a row.
    """
    if groups is None:
        return None
    listed = groups.tolist() if _is_column(groups) else groups
    if not isinstance(listed, list | tuple) or not listed:
        reject("groups", "these data", f"be {_FORM}", type(groups).__name__)
    for k, value in enumerate(listed):
        if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
            refuse(f"Example {k} has no group: give each one a label, for example 'none'.")
        if not isinstance(value, str | int | float | np.generic):
            reject("groups", "these data", f"be {_FORM}", f"a {type(value).__name__} among them")
    return [str(value) for value in listed]


def _is_column(groups: Any) -> TypeGuard[Any]:  # noqa: ANN401 (whatever a person passed)
    """Tell an array, a tensor or a series of one axis, whose numbers lie in memory."""
    if isinstance(groups, torch.Tensor):
        return groups.ndim == 1 and groups.layout is torch.strided
    return hasattr(groups, "tolist") and getattr(groups, "ndim", 0) == 1


def check_length(given: list[str] | None, n_data: int | None, n_test: int | None) -> None:
    """Refuse group labels of another number than examples, where their number is known.

    Args:
        given: Labels as texts.
        n_data: Examples of the data; None if unknown.
        n_test: Examples of the test data; None if unknown, 0 without.
    """
    if given is None or n_data is None or n_test is None:
        return
    allowed = {n_data + n_test, n_test} if n_test else {n_data}
    if len(given) not in allowed:
        said = f"{n_data + n_test} labels (of data, then of test) or {n_test} (of test)" if n_test else ""
        reject("groups", "these data", f"be {said or f'{n_data} labels'}", f"{len(given)}")


def groups_of(features: DeepFeatures, given: list[str] | None) -> GivenGroups:
    """Number the groups of all rows.

    Args:
        features: Rows of the data, then of the test data.
        given: One label for each row, or for each test row.

    Raises:
        InputError: Another number of labels.
    """
    numbers = np.full(features.n, -1, np.int64)
    if given is None:
        return GivenGroups((), numbers)
    test = features.splits == TEST
    n_test = int(test.sum())
    check_length(given, features.n - n_test, n_test)
    names, found = np.unique(np.asarray(given, dtype=object).astype(str), return_inverse=True)
    if len(given) == features.n:
        numbers[:] = found
    else:
        numbers[test] = found
    return GivenGroups(tuple(str(name) for name in names), numbers)
