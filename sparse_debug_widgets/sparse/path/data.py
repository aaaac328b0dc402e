"""From deep features to the problem of a path: labels per family, weights, standardised matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import check_finite, refuse, reject, shorten
from sparse_debug_widgets.core.classes import label_array
from sparse_debug_widgets.core.mapped import release
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.labels import TRAIN, several_labels
from sparse_debug_widgets.sparse.features.standardize import row_chunks
from sparse_debug_widgets.sparse.path.estimate import fit_memory
from sparse_debug_widgets.sparse.path.request import PathRequest
from sparse_debug_widgets.sparse.path.sample_weights import check_factors, check_weights, weighted_moments
from sparse_debug_widgets.sparse.problem.families import FAMILIES, allowed_families, leanest_family
from sparse_debug_widgets.sparse.problem.losses import Loss
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet, GroupElasticNet
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.rows.feature_file import standardised_file
from sparse_debug_widgets.sparse.rows.memory_meter import MemoryMeter, Shares
from sparse_debug_widgets.sparse.rows.processes import Processes
from sparse_debug_widgets.sparse.rows.row_source import RowSource
from sparse_debug_widgets.sparse.rows.streamed_rows import StreamedRows

STORAGES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Precisions that the solver's matrix may have, by name."""
_SMALL = 4_000_000
"""Up to this many training values the matrix is float64 by itself, beyond it float32."""
_GAUSSIAN_BYTES = 64
"""Bytes of a gaussian fit for each entry of the features' Gram matrix, in float64 and in several versions."""
_CHUNKS_HELD = 16
"""Rows in random order come from everywhere: mapped pages are given back once in so many chunks."""

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Columns:
    """Raw features and how they are standardised.

    Attributes:
        values: (n, p) raw features, an array or a memory map.
        mean: (p,) subtracted.
        scale: (p,) divided by.
        alive: (p,) bool, the columns that are used.
    """

    values: npt.NDArray[Any]
    mean: Float64
    scale: Float64
    alive: npt.NDArray[np.bool_]

    def source(
        self,
        rows: npt.NDArray[np.int64],
        dtype: torch.dtype,
        processes: Processes,
        streamed: tuple[MemoryMeter, Shares] | None,
        device: torch.device | None = None,
    ) -> RowSource:
        """Some rows, standardised, in memory or (increasing rows) in a file."""
        n, place = int(processes.sum_array(len(rows))), device or torch.device("cpu")
        if streamed is None:
            return DesignMatrix(self._matrix(rows, dtype).to(place), n, processes.total)
        meter, shares = streamed
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        write = partial(standardised_file, self.values, rows, dtype=kind, chunk_bytes=shares.chunk)
        file = processes.together(
            lambda: write(mean=self.mean, scale=self.scale, alive=self.alive, meter=meter)
        )
        return StreamedRows(file, shares, place, n=n, total=processes.total)

    def _matrix(self, rows: npt.NDArray[np.int64], dtype: torch.dtype) -> torch.Tensor:
        """Standardised columns (p alive, rows), feature-major; arithmetic in float64, in chunks of rows."""
        out = torch.empty(int(self.alive.sum()), len(rows), dtype=dtype)
        shift, factor = self.mean[self.alive], self.scale[self.alive]
        for place, chunk in enumerate(row_chunks(len(rows), self.values.shape[1])):
            part = self.values[rows[chunk]][:, self.alive]
            out[:, chunk] = torch.from_numpy(((part.astype(np.float64) - shift) / factor).T)
            if dtype == torch.float16 and not bool(out[:, chunk].isfinite().all()):
                peak = float(np.abs((part.astype(np.float64) - shift) / factor).max())
                must = f"stay within {torch.finfo(dtype).max:g} as the solver sees them"
                reject("features", "storage='float16'", must, f"{peak:g}", "Pass storage='bfloat16'.")
            if place % _CHUNKS_HELD == 0:
                release(self.values)
        release(self.values)
        return out


@dataclass(frozen=True, eq=False)
class PathData:
    """Everything a path fit reads.

    Attributes:
        features: The deep features.
        family: A name in :data:`~sparse_debug_widgets.sparse.problem.families.FAMILIES`.
        labels: (n,) int64 or (n, m) float64, as the family wants them.
        sample_weight: (n,) float64 or None, as given.
        centre: (p,) mean over the training rows, whether or not it is subtracted.
        mean: (p,) subtracted from the features.
        scale: (p,) that the features are divided by.
        alive: (p,) bool, the columns that the solver sees.
        factors: (p,) penalty factors as given, or None.
        problem: The training problem over the columns alive, rows shuffled if they are in memory.
        processes: The processes that the rows are shared out over.
        meter: What a fit that reads its features from disk has used; None in memory.
    """

    features: DeepFeatures
    family: str
    labels: npt.NDArray[Any]
    sample_weight: Float64 | None
    centre: Float64
    mean: Float64
    scale: Float64
    alive: npt.NDArray[np.bool_]
    factors: Float64 | None
    problem: Problem
    processes: Processes
    meter: MemoryMeter | None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes or outputs."""
        if not FAMILIES[self.family].numbers or self.features.labels.dtype.kind == "f":
            return self.features.class_names
        return ("output 0",)

    def split_loss(self, split: int) -> Loss | None:
        """Loss of a split, in the rows' own order; None where it is empty or weightless."""
        rows = np.flatnonzero(self.features.rows(split))
        mass = len(rows) if self.sample_weight is None else self.sample_weight[rows].sum()
        if not self.processes.sum_array(mass) > 0:
            return None
        weights = _normalised(self.sample_weight, rows, self.processes)
        return _loss(self.family, self.labels[rows], weights, self.features.n_classes, self.processes)

    def split(self, split: int) -> tuple[RowSource, Loss] | None:
        """Rows and loss of a split, in the rows' own order; None where it is empty or weightless."""
        loss = self.split_loss(split)
        if loss is None:
            return None
        rows = np.flatnonzero(self.features.rows(split))
        columns = Columns(self.features.values, self.mean, self.scale, self.alive)
        return columns.source(rows, torch.float32, self.processes, self.streamed), loss

    @property
    def streamed(self) -> tuple[MemoryMeter, Shares] | None:
        """Meter and shares of a fit that reads its features from disk."""
        design = self.problem.design
        return (self.meter, design.shares) if self.meter and isinstance(design, StreamedRows) else None


def prepare(features: DeepFeatures, request: PathRequest, processes: Processes | None = None) -> PathData:
    """Check the data against what was asked for, and build the problem.

    Args:
        features: Deep features.
        request: The settings. The moments that standardise are weighted as the rows are, so that a weight of
            2 equals a row that occurs twice.
        processes: The processes that the rows are shared out over; None for this one alone.

    Raises:
        InputError: Labels that do not fit the family, weights that are negative, not finite or all zero, or
            features that do not fit the storage.
    """
    processes = processes or Processes()
    family, storage = request.family, request.storage
    labels = family_labels(features.labels, family, features.n_classes)
    weights = check_weights(request.sample_weight, features, labels, family, processes)
    train = np.flatnonzero(features.rows(TRAIN))
    mean, scale, alive = features.mean, features.scale, features.alive
    if weights is not None:
        train = train[weights[train] > 0]
        mean, scale, alive = weighted_moments(features, train, weights, processes)
    factors = check_factors(request.penalty_factors, features.p)
    if factors is not None:
        alive = alive & np.isfinite(factors)
        if not alive.any():
            got = "infinity for every live one"
            reject("penalty_factors", "a fit", "leave at least one live feature in", got)
    centre = mean
    if not request.standardize:
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    counts = processes.gather(len(train))
    if min(counts) == 0:
        got = f"none in process {counts.index(0)}"
        reject("features", "a fit shared over processes", "have training rows in every process", got)
    dtype = torch.float64 if sum(counts) * int(alive.sum()) <= _SMALL else torch.float32
    if storage is not None:
        dtype = STORAGES[storage]
    streamed = _streamed(features, request, labels, alive, len(train), dtype, processes)
    if streamed is not None and dtype.itemsize == 2:
        advice = "Leave out storage, or raise memory_budget until the features fit in it."
        must = "be 'float32' or 'float64' where features are read from a file"
        reject("storage", "this memory_budget", must, repr(storage), advice)
    order = train
    if streamed is None:
        order = train[generator(request.seed, "row order").permutation(len(train))]
    place = request.device
    design = Columns(features.values, mean, scale, alive).source(order, dtype, processes, streamed, place)
    loss = _loss(
        family,
        labels[order],
        _normalised(weights, order, processes),
        features.n_classes,
        processes,
        place,
    )
    kind = GroupElasticNet if request.group else ElasticNet
    live = None if factors is None else torch.as_tensor(factors[alive], device=place)
    problem = Problem(design, loss, kind(request.alpha, live))
    return PathData(
        features,
        family,
        labels,
        weights,
        centre,
        mean,
        scale,
        alive,
        factors,
        problem,
        processes,
        None if streamed is None else streamed[0],
    )


def _streamed(
    features: DeepFeatures,
    request: PathRequest,
    labels: npt.NDArray[Any],
    alive: npt.NDArray[np.bool_],
    n: int,
    dtype: torch.dtype,
    processes: Processes,
) -> tuple[MemoryMeter, Shares] | None:
    """Meter and shares of a fit that does not fit in its budget; None where it does, in every process."""
    budget = request.memory_budget
    if budget is None:
        return None
    p = int(alive.sum())
    kind = FAMILIES[request.family]
    outputs = labels.shape[1] if kind.numbers else kind.n_rows(features.n_classes)
    needed = fit_memory(n, p, outputs, request.solver)
    if kind.numbers:
        needed += _GAUSSIAN_BYTES * (p + outputs) ** 2
    if max(processes.gather(needed)) <= budget:
        return None
    meter = MemoryMeter(int(budget), file_bytes=n * p * dtype.itemsize)
    shares = processes.together(lambda: meter.shares(n, p, outputs, dtype.itemsize))
    # A budget that ends the path ends it in all processes at once.
    resident, grams = (min(processes.gather(share)) for share in (shares.resident, shares.grams))
    return meter, shares._replace(resident=resident, grams=grams)


def family_labels(labels: npt.NDArray[Any], family: str, n_classes: int) -> npt.NDArray[Any]:
    """Labels (n,) int64 of a classification, or targets (n, m) float64 of a regression.

    Raises:
        InputError: Labels that do not fit the family.
    """
    if FAMILIES[family].numbers:
        return np.asarray(labels, np.float64).reshape(len(labels), -1)
    if labels.dtype.kind == "f":
        must = "be class indices or names, one per row"
        numbers = f"family={leanest_family(None)!r}"
        advice = f"Pass {numbers} for real-valued targets, and labels.argmax(1) for one-hot rows."
        reject("labels", f"family={family!r}", must, f"real numbers of shape {labels.shape}", advice)
    if not FAMILIES[family].allows(n_classes):
        advice = f"Use family={leanest_family(n_classes)!r}."
        refuse(f"family={family!r} is for two classes, and the labels have {n_classes}. {advice}")
    return labels


def plain_labels(labels: object, family: str) -> object:
    """Labels as a caller may have them, made such that :class:`DeepFeatures` reads them as the family does.

    Whole numbers stored as floats become class indices for classification, and become targets for gaussian.

    Raises:
        InputError: One-hot rows, or real numbers where classes are wanted.
    """
    array = label_array(labels)
    if FAMILIES[family].numbers:
        if array.dtype.kind not in "biuf":
            got = f"dtype {array.dtype}"
            names = f"Use family={allowed_families(3)[0]!r} for names."
            reject("labels", f"family={family!r}", "be numbers", got, names)
        return array.astype(np.float64)
    if array.dtype.kind != "f" and array.ndim == 1:
        return array
    if array.ndim != 1:
        got, advice = several_labels(array)
        reject("labels", f"family={family!r}", "be one class per row, shape (n,)", got, advice)
    check_finite(array, "labels", f"family={family!r}")
    if not (array == np.round(array)).all():
        value = shorten(str(array[array != np.round(array)][0]))
        advice = f"Pass family={leanest_family(None)!r} for real-valued targets."
        reject("labels", f"family={family!r}", "be class indices or names", value, advice)
    return array.astype(np.int64)


def _normalised(weights: Float64 | None, rows: npt.NDArray[np.int64], processes: Processes) -> Float64 | None:
    """Weights of some rows, scaled to sum to the number of such rows, over all processes."""
    if weights is None:
        return None
    count, mass = processes.sum_array([len(rows), weights[rows].sum()]).tolist()
    return np.asarray(weights[rows] * (count / mass))


def _loss(
    family: str,
    labels: npt.NDArray[Any],
    weights: Float64 | None,
    n_classes: int,
    processes: Processes,
    device: torch.device | None = None,
) -> Loss:
    sample = None if weights is None else torch.as_tensor(weights, device=device)
    n, total = int(processes.sum_array(len(labels))), processes.total
    kind = FAMILIES[family]
    targets = torch.as_tensor(np.ascontiguousarray(labels.T) if kind.numbers else labels, device=device)
    return kind.make_loss(targets, n_classes, sample, n, total)
