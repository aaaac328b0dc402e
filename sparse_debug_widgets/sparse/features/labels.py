"""Labels of a fit: class indices or targets, class names, and the split of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_finite, check_real, refuse, reject, shorten
from sparse_debug_widgets.core.classes import are_names, by_name, label_array, names_given
from sparse_debug_widgets.core.seeding import generator

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")


def as_labels(
    labels: object, class_names: Iterable[object] | None, n: int
) -> tuple[npt.NDArray[Any], tuple[str, ...] | None]:
    """Labels as int64 class indices, or as float64 targets for a gaussian fit.

    Args:
        labels: Sequence, array, tensor or series: class indices, booleans, names of classes (strings), or
            real-valued targets of shape (n,) or (n, m).
        class_names: Names in the order of the indices, or None.
        n: Number of rows that labels must have.

    Returns:
        The labels, and the class names where they are given or follow from the labels.

    Raises:
        InputError: Wrong shape or dtype, not finite, or a name that is no class.
    """
    names = names_given(class_names)
    array = label_array(labels)
    if array.ndim == 0 or len(array) != n:
        reject("labels", "features", f"have one entry for each of {n} rows", f"shape {array.shape}")
    if array.dtype.kind == "f":
        targets = array.astype(np.float64)
        check_finite(targets, "labels", "a gaussian fit")
        if targets.ndim > 2:
            reject("labels", "a gaussian fit", "have shape (n,) or (n, m)", f"shape {targets.shape}")
        return targets, names
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        got, advice = several_labels(array)
        reject("labels", "classes", "be one class index per row, shape (n,)", got, advice)
    if are_names(array):
        return by_name(array, names)
    if array.dtype.kind not in "biu":
        reject("labels", "classes", "be whole numbers, names or real targets", f"dtype {array.dtype}")
    return array.astype(np.int64), names


def several_labels(array: npt.NDArray[Any]) -> tuple[str, str]:
    """Explain a table of whole numbers in place of labels, and what to do with it."""
    shape = f"shape {array.shape}"
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        return shape, "For targets to be predicted as numbers pass labels.astype(float)."
    if (array.sum(1) == 1).all():
        return f"one-hot rows, {shape}", "Turn them into indices with labels.argmax(1)."
    advice = (
        "A row may have several classes or none: fit one path for each of them, with labels[:, k], or take "
        "them as numbers to be predicted, labels.astype(float)."
    )
    return f"multi-label rows of 0 and 1, {shape}", advice


def compact_ids(
    labels: npt.NDArray[Any], names: tuple[str, ...] | None, n_outputs: int | None
) -> tuple[npt.NDArray[Any], tuple[str, ...] | None]:
    """Class labels that are ids rather than counts, such as 1003 and 2000001, as indices with names.

    Labels are ids where they cannot be indices: nothing names the classes, and the largest label is not below
    the number of rows, so that some class up to it would have no row. Classes are then those that occur, in
    increasing order, and are called by their ids.

    Args:
        labels: What :func:`as_labels` returned.
        names: Names that were given, or None.
        n_outputs: Rows of the model's own decision layer, or None.

    Returns:
        Labels and names, as they were where labels are no ids.

    Raises:
        InputError: One number far above the others, which is a mark rather than a class.
    """
    known = names is not None or n_outputs is not None or labels.dtype.kind == "f"
    if known or not len(labels) or labels.min() < 0 or labels.max() < len(labels):
        return labels, names
    ids, indices = np.unique(labels, return_inverse=True)
    if len(ids) > 2 and (ids[:-1] == np.arange(len(ids) - 1)).all():
        got = f"0 ... {ids[-2]}, and {ids[-1]} in {int((labels == ids[-1]).sum())} rows"
        advice = (
            f"Drop these rows if {ids[-1]} marks rows without a class; else call that class {len(ids) - 1}."
        )
        reject("labels", f"{len(labels)} rows", f"be below {len(labels)}, or ids throughout", got, advice)
    return indices.astype(np.int64), tuple(f"class {i}" for i in ids)


def split_rows(labels: npt.NDArray[Any], validation: float, seed: int) -> npt.NDArray[np.uint8]:
    """Hold out a share of the rows for validation, of each class alike.

    Each class gives its rounded-down share; what is missing to the total comes from the classes with the
    largest remainders. A class keeps at least one training row.

    Args:
        labels: (n,) class indices, or targets (then the split is not stratified).
        validation: Share of the rows, in [0, 1).
        seed: Seed of the split.

    Returns:
        (n,) of TRAIN and VALIDATION.

    Raises:
        InputError: ``validation`` is not in [0, 1).
    """
    check_real(validation, "validation", "a split", low=0, high=1, open_high=True)
    n = len(labels)
    splits = np.full(n, TRAIN, np.uint8)
    strata = labels if labels.dtype.kind != "f" else np.zeros(n, np.int64)
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    exact = validation * sizes
    take = np.minimum(np.floor(exact).astype(int), sizes - 1)
    missing = round(validation * n) - int(take.sum())
    for index in np.argsort(take - exact, kind="stable")[: max(0, missing)]:
        take[index] += int(take[index] + 1 < sizes[index])
    rng = generator(seed, "validation split")
    for index, count in enumerate(take):
        rows = np.flatnonzero(stratum == index)
        splits[rng.permutation(rows)[:count]] = VALIDATION
    return splits


def check_splits(splits: object, n: int) -> npt.NDArray[np.uint8]:
    """A split column given by the caller: 0 train, 1 validation, 2 test.

    Raises:
        InputError: Wrong length or other values.
    """
    array = label_array(splits, "splits")
    good = array.shape == (n,) and array.dtype.kind in "iu" and bool(np.isin(array, (0, 1, 2)).all())
    if not good:
        got = f"shape {array.shape}, dtype {array.dtype}"
        reject("splits", f"{n} rows", "be 0 (train), 1 (validation) or 2 (test) for each row", got)
    return array.astype(np.uint8)


def check_training_rows(
    labels: npt.NDArray[Any], splits: npt.NDArray[np.uint8], class_names: Sequence[str]
) -> None:
    """Refuse training splits that no classifier can be fitted to.

    Raises:
        InputError: No training rows, fewer rows than classes, one class only, or a class without rows.
    """
    train = labels[splits == TRAIN]
    if len(train) == 0:
        refuse("No rows are left for training. Lower validation=.")
    if labels.dtype.kind == "f":
        return
    count = np.bincount(train, minlength=len(class_names))
    missing = np.flatnonzero(count == 0)
    if len(class_names) < 2 or int((count > 0).sum()) < 2:
        present = shorten(repr(class_names[int(train[0])]))
        refuse(
            f"The training rows are all of one class, {present}: a classifier needs at least two. "
            "Pass data of other classes too."
        )
    if len(train) < len(class_names):
        refuse(
            f"There are {len(train)} training rows for {len(class_names)} classes, and each class needs at "
            "least one. Use more data, or fewer classes."
        )
    if len(missing):
        listed = ", ".join(shorten(repr(class_names[c]), 40) for c in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        refuse(
            f"No training row is of {listed}{more}. Add rows, lower validation=, or renumber the classes "
            "that occur from 0."
        )
