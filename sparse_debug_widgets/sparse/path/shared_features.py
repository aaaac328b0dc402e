"""Features whose rows are shared out over processes: labels, split and moments as of all rows together.

Each process keeps its own rows. What depends on all of them (which classes there are, which rows are held
out, mean and scale) is computed as if the processes' rows stood below one another, in the processes' order.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.sparse.features.arrays import as_values, feature_names_of
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures, report_dead
from sparse_debug_widgets.sparse.features.labels import (
    TRAIN,
    as_labels,
    check_training_rows,
    compact_ids,
    split_rows,
)
from sparse_debug_widgets.sparse.features.standardize import Moments, check_features, running_moments
from sparse_debug_widgets.sparse.layer.naming import resolve_class_names
from sparse_debug_widgets.sparse.path.data import plain_labels
from sparse_debug_widgets.sparse.path.request import PathRequest
from sparse_debug_widgets.sparse.rows.processes import Processes, offsets


def shared_features(features: object, y: object, request: PathRequest, processes: Processes) -> DeepFeatures:
    """This process's rows as features that know about the others.

    Args:
        features: :class:`DeepFeatures` of this process's rows (labels, split and class names are kept, the
            moments are computed anew), or an array, tensor or DataFrame X.
        y: Labels for an X.
        request: Family of the fit, share of all rows of an X to hold out, and seed of that split.
        processes: The processes; every one of them must call this.

    Raises:
        InputError: Input that cannot be fitted, or that does not fit together; in every process.
    """
    ready = isinstance(features, DeepFeatures)
    processes.all_equal(ready, "features", "be DeepFeatures in every process, or arrays in every one")
    if isinstance(features, DeepFeatures):
        if y is not None:
            reject("y", "DeepFeatures", "be left out, since they carry their labels", type(y).__name__)
        return _with_shared_moments(features, processes)
    started = time.perf_counter()

    def own() -> tuple[npt.NDArray[np.float32], list[str] | None, npt.NDArray[Any]]:
        if y is None:
            reject("y", "an array of features", "be given: one label per row", "None")
        array, columns = as_values(features)
        check_features(array, feature_names_of(columns, array.shape[1]))
        labels = np.asarray(plain_labels(y, request.family))
        if labels.ndim == 0 or len(labels) != len(array):
            must = f"have one entry for each of {len(array)} rows"
            reject("labels", "features", must, f"shape {labels.shape}")
        return array, columns, labels

    array, columns, labels = processes.together(own)
    processes.all_equal(array.shape[1], "features", "have as many columns in every process")
    processes.all_equal(columns, "the columns' names")
    every = processes.gather(labels)
    mine = offsets([len(part) for part in every], processes.rank)
    # From here on all processes compute the same, and fail alike.
    known, given = as_labels(_joined(every), None, sum(len(part) for part in every))
    known, given = compact_ids(known, given, None)
    class_names = resolve_class_names(known, given, None)
    splits = split_rows(known, request.validation, request.seed)
    check_training_rows(known, splits, class_names)
    names = feature_names_of(columns, array.shape[1])
    shared = _moments(array, splits[mine], names, processes)
    return DeepFeatures(
        provenance=Provenance(
            method="from_arrays",
            params={"validation": request.validation, "processes": processes.size},
            seed=request.seed,
            seconds=time.perf_counter() - started,
            fingerprint=combine(
                *processes.gather(array_fingerprint(array)), array_fingerprint(known, splits)
            ),
        ),
        values=array,
        labels=known[mine],
        splits=splits[mine],
        mean=shared.mean,
        scale=shared.scale,
        alive=shared.alive,
        feature_names=names,
        class_names=class_names,
    )


def _joined(parts: Iterable[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The labels of all processes; names and numbers do not mix."""
    found = list(parts)
    kinds = {"text" if part.dtype.kind in "OUST" else "numbers" for part in found}
    if len(kinds) > 1:
        reject("labels", "a fit shared over processes", "be names or numbers in every process", "both")
    return np.concatenate(found)


def _moments(
    values: npt.NDArray[Any], splits: npt.NDArray[np.uint8], names: tuple[str, ...], processes: Processes
) -> Moments:
    own = running_moments(values, splits == TRAIN)
    shared = reduce(add, processes.gather(own)).finish()
    report_dead(shared.alive, names)
    return shared


def _with_shared_moments(features: DeepFeatures, processes: Processes) -> DeepFeatures:
    processes.all_equal(features.feature_names, "the features' names")
    processes.all_equal(features.class_names, "the classes' names")
    processes.all_equal(features.labels.dtype.kind, "the kind of labels")
    dense = features.dense_weight
    processes.all_equal("" if dense is None else array_fingerprint(dense), "the model's own layer")
    shared = _moments(features.values, features.splits, features.feature_names, processes)
    known = features.provenance
    whole = combine(*processes.gather(known.fingerprint))
    return dataclasses.replace(
        features,
        mean=shared.mean,
        scale=shared.scale,
        alive=shared.alive,
        provenance=dataclasses.replace(known, fingerprint=whole),
    )
