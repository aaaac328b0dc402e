"""Deep features: what the decision layer of a network sees, with labels, splits and moments."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_int, reject, shorten
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.sparse.features.arrays import as_values, check_dense, feature_names_of
from sparse_debug_widgets.sparse.features.labels import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    as_labels,
    check_splits,
    check_training_rows,
    compact_ids,
    split_rows,
)
from sparse_debug_widgets.sparse.features.standardize import check_features, moments, row_chunks, standardize
from sparse_debug_widgets.sparse.layer.naming import resolve_class_names

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


class DeadFeaturesWarning(UserWarning):
    """Some features are constant on the training split and are kept out of fits."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DeepFeatures(Result):
    """Features (n, p) in raw units with what a sparse decision layer needs to know about them.

    Attributes:
        values: (n, p) float32, raw units; a memory map where it exceeds the memory budget.
        labels: (n,) int64 class indices, or float64 targets (n,) or (n, m).
        splits: (n,) uint8: 0 train, 1 validation, 2 test.
        mean: (p,) float64, mean over the training split.
        scale: (p,) float64, population standard deviation over the training split; 1 for dead features.
        alive: (p,) bool; dead features are constant on the training split and kept out of fits.
        feature_names: p names.
        class_names: One name per class (or per output, for targets).
        layer: Name of the decision layer whose input these are; "" for arrays.
        dense_weight: (C, p) float64, the model's own decision layer in raw units, or None.
        dense_bias: (C,) float64, or None.
        note: What a reader should know about where the features were taken; may be empty.
        marks: (n,) uint64, a hash of each example, by which other data are told from those that the features
            were taken from; None where examples have none.
    """

    kind: ClassVar[str] = "deep_features"
    arrays: ClassVar[Mapping[str, str]] = {
        "values": "n p float",
        "labels": "n ...y number",
        "splits": "n index",
        "mean": "p float finite",
        "scale": "p float positive finite",
        "alive": "p bool",
        "feature_names": "p names",
        "class_names": "C names",
        "dense_weight": "? D p float",
        "dense_bias": "? D float",
    }

    values: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    splits: npt.NDArray[np.uint8]
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    alive: npt.NDArray[np.bool_]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    layer: str = ""
    dense_weight: npt.NDArray[np.float64] | None = None
    dense_bias: npt.NDArray[np.float64] | None = None
    note: str = ""
    marks: npt.NDArray[np.uint64] | None = None

    @property
    def n(self) -> int:
        """Number of rows (examples)."""
        return len(self.values)

    @property
    def p(self) -> int:
        """Number of features, dead ones included."""
        return int(self.values.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of classes (or outputs, for targets)."""
        return len(self.class_names)

    @property
    def dead(self) -> tuple[str, ...]:
        """Names of the features that are constant on the training split."""
        return tuple(self.feature_names[j] for j in np.flatnonzero(~self.alive))

    def rows(self, split: int | str | None = None) -> npt.NDArray[np.bool_]:
        """Return the rows of a split.

        Args:
            split: 0, 1, 2, "train", "validation" or "test"; None for all rows.

        Returns:
            (n,) bool.

        Raises:
            InputError: No such split.
        """
        if split is None:
            return np.ones(self.n, bool)
        index: object = split
        if isinstance(split, str) and split in SPLIT_NAMES:
            index = SPLIT_NAMES.index(split)
        if not isinstance(index, int | np.integer) or index not in range(len(SPLIT_NAMES)):
            reject("split", "features", "be 0, 1, 2, 'train', 'validation', 'test' or None", split)
        return np.asarray(self.splits == index)

    def standardized(
        self, split: int | str | None = None, *, dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Features in standardised units without the dead ones: ``(x - mean) / scale``.

        Args:
            split: As for :meth:`rows`.
            dtype: dtype of the answer; the arithmetic is float64 either way.

        Returns:
            (rows of the split, features alive), in memory.
        """
        rows = self.rows(split)
        return standardize(self.values, self.mean, self.scale, rows=rows, columns=self.alive, dtype=dtype)

    @classmethod
    def from_arrays(  # noqa: PLR0913 - a public constructor
        cls,
        values: object,
        labels: object,
        *,
        feature_names: Iterable[object] | None = None,
        class_names: Iterable[object] | None = None,
        validation: float = 0.1,
        splits: object = None,
        seed: int = 0,
        dense_weight: object = None,
        dense_bias: object = None,
    ) -> Self:
        """Features that exist already: activations of any origin, sparse-autoencoder codes, concepts.

        Args:
            values: (n, p) array, tensor (any device, any float dtype) or DataFrame of numbers.
            labels: (n,) class indices, names of classes, or real-valued targets (n,) or (n, m).
            feature_names: p names; a DataFrame's columns by default.
            class_names: One name per class.
            validation: Share of the rows held out, of each class alike; ignored where ``splits`` are given.
            splits: (n,) of 0 (train), 1 (validation), 2 (test), or None.
            seed: Seed of the split.
            dense_weight: (C, p) weights of an existing linear decision layer, raw units, or None.
            dense_bias: (C,) its bias, or None.

        Returns:
            The features with their moments.

        Raises:
            InputError: See the message: shapes, NaN or infinite values, labels out of range, a class that is
                missing from the training split, features that are all constant.
        """
        started = time.perf_counter()
        array, columns = as_values(values)
        names = feature_names if feature_names is not None else columns
        layer = check_dense(dense_weight, dense_bias, array.shape[1])
        y, given = as_labels(labels, class_names, len(array))
        outputs = len(layer[0]) if layer is not None else None
        y, given = compact_ids(y, given, outputs)
        names_of_classes = resolve_class_names(y, given, outputs)
        chosen = split_rows(y, validation, seed) if splits is None else check_splits(splits, len(y))
        fingerprint = combine(array_fingerprint(array), array_fingerprint(y, chosen))
        return cls.assemble(
            array,
            y,
            chosen,
            feature_names=names,
            class_names=names_of_classes,
            dense=layer,
            provenance=Provenance(
                method="from_arrays",
                params={"validation": validation if splits is None else None},
                seed=seed,
                seconds=time.perf_counter() - started,
                fingerprint=fingerprint,
            ),
        )

    @classmethod
    def assemble(  # noqa: PLR0913 - one field each
        cls,
        values: npt.NDArray[np.float32],
        labels: npt.NDArray[Any],
        splits: npt.NDArray[np.uint8],
        *,
        feature_names: Iterable[object] | None,
        class_names: tuple[str, ...],
        dense: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None,
        provenance: Provenance,
        layer: str = "",
        note: str = "",
        marks: npt.NDArray[np.uint64] | None = None,
    ) -> Self:
        """Check features and compute their moments; both ways to make features end here.

        Args:
            values: Features (n, p).
            labels: Classes (n,), or numbers for squared error.
            splits: Split (n,) of each row.
            feature_names: One per feature; None: they are numbered.
            class_names: One per class.
            dense: Weight (C, p) and bias (C,) of the model's own layer, if there is one.
            provenance: Where the features come from.
            layer: Name of the decision layer.
            note: A sentence for readers.
            marks: Fingerprint (n,) of each example, if known.

        Raises:
            InputError: Features that cannot be fitted.
        """
        names = feature_names_of(feature_names, values.shape[1])
        check_features(values, names)
        check_training_rows(labels, splits, class_names)
        mean, scale, alive = moments(values, splits == TRAIN)
        report_dead(alive, names)
        return cls(
            provenance=provenance,
            values=values,
            labels=labels,
            splits=splits,
            mean=mean,
            scale=scale,
            alive=alive,
            feature_names=names,
            class_names=class_names,
            layer=layer,
            dense_weight=None if dense is None else dense[0],
            dense_bias=None if dense is None else dense[1],
            note=note,
            marks=marks,
        )

    def resplit(self, validation: float, seed: int = 0) -> Self:
        """The same features with another share held out for validation; test rows stay test rows.

        Args:
            validation: Share of the rows that are not test rows, of each class alike.
            seed: Seed of the split.

        Raises:
            InputError: ``validation`` is not in [0, 1), or leaves a class without training rows.
        """
        started = time.perf_counter()
        others = np.flatnonzero(self.splits != TEST)
        splits = self.splits.copy()
        splits[others] = split_rows(self.labels[others], validation, seed)
        dense = None if self.dense_weight is None or self.dense_bias is None else (
            np.asarray(self.dense_weight), np.asarray(self.dense_bias)
        )  # fmt: skip
        return type(self).assemble(
            self.values,
            self.labels,
            splits,
            feature_names=self.feature_names,
            class_names=self.class_names,
            dense=dense,
            layer=self.layer,
            note=self.note,
            marks=self.marks,
            provenance=dataclasses.replace(
                self.provenance,
                params={**self.provenance.params, "validation": validation},
                seed=seed,
                seconds=time.perf_counter() - started,
                fingerprint=combine(self.provenance.fingerprint, array_fingerprint(splits)),
            ),
        )

    def faults(self) -> Iterator[str]:
        """See the base class."""
        kind, n_classes = self.labels.dtype.kind, len(self.class_names)
        if kind not in "iuf":
            yield f"labels of type {self.labels.dtype}"
        elif kind != "f" and self.labels.size and not 0 <= self.labels.min() <= self.labels.max() < n_classes:
            yield f"labels beyond the {n_classes} classes"
        if self.splits.size and self.splits.max() > 2:
            yield "splits that there are not"

    def to_frame(self) -> pd.DataFrame:
        """One row per feature: mean and scale (training split), share of zeros, range, alive."""
        import pandas as pd

        low, high = np.full(self.p, np.inf), np.full(self.p, -np.inf)
        zeros = np.zeros(self.p)
        for chunk in row_chunks(self.n, self.p):
            part = np.asarray(self.values[chunk])
            low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
            zeros += (part == 0).sum(0)
        columns = {
            "mean": self.mean,
            "scale": np.where(self.alive, self.scale, 0.0),
            "zeros": zeros / self.n,
            "min": low,
            "max": high,
            "alive": self.alive,
        }
        return pd.DataFrame(columns, index=pd.Index(self.feature_names, name="feature"))

    def plot(self, n_features: int = 12) -> go.Figure:
        """Histograms of the features that vary most between the class means, in standardised units.

        Args:
            n_features: How many features to draw.

        Raises:
            InputError: ``n_features`` is no count.
        """
        check_int(n_features, "n_features", "a figure")
        chosen = self._most_telling(n_features)
        rows = self.rows(TRAIN)
        columns = np.zeros(self.p, bool)
        columns[chosen] = True
        z: npt.NDArray[Any] = standardize(self.values, self.mean, self.scale, rows=rows, columns=columns)
        position = np.searchsorted(np.flatnonzero(columns), chosen)
        panels = {self.feature_names[j]: z[:, k] for j, k in zip(chosen, position.tolist(), strict=True)}
        title = f"{len(panels)} of {self.p} features, {int(rows.sum())} training rows"
        return figures.histograms(panels, title=title, x_title="standardised activation")

    def _most_telling(self, n_features: int) -> list[int]:
        """Features by the spread of their class means in standardised units, largest first."""
        rows = np.flatnonzero(self.rows(TRAIN))
        if self.labels.dtype.kind == "f":
            return [int(j) for j in np.flatnonzero(self.alive)[:n_features]]
        sums = np.zeros((self.n_classes, self.p))
        for chunk in row_chunks(len(rows), self.p):
            part = rows[chunk]
            np.add.at(sums, self.labels[part], self.values[part].astype(np.float64) - self.mean)
        counts = np.bincount(self.labels[rows], minlength=self.n_classes)
        means = sums / np.maximum(counts, 1)[:, None] / self.scale
        order = np.argsort(-np.where(self.alive, means.var(0), -1.0), kind="stable")
        return [int(j) for j in order[: min(n_features, int(self.alive.sum()))]]

    def __repr__(self) -> str:
        parts = [f"{self.n} examples x {self.p} features"]
        if not self.alive.all():
            parts.append(f"{int((~self.alive).sum())} dead")
        parts.append(f"{self.n_classes} {'outputs' if self.labels.dtype.kind == 'f' else 'classes'}")
        counts = np.bincount(self.splits, minlength=3)
        parts.append("/".join(f"{c} {name}" for c, name in zip(counts, SPLIT_NAMES, strict=True) if c))
        parts.append(f"layer {self.layer!r}" if self.layer else "from arrays")
        if isinstance(self.values, np.memmap):
            parts.append("memory-mapped")
        if self.note:
            parts.append(self.note)
        return f"DeepFeatures({', '.join(parts)})"


def report_dead(alive: npt.NDArray[np.bool_], names: tuple[str, ...]) -> None:
    """Refuse features that are all dead, and warn of some that are."""
    dead = np.flatnonzero(~alive)
    if len(dead) == len(alive):
        got = f"{len(alive)} features that are all constant"
        advice = (
            "Check that the data vary, also as float32 numbers (large means must be subtracted first), and "
            "that the layer is the one you mean."
        )
        reject("features", "a fit", "vary on the training split", got, advice)
    if len(dead):
        listed = ", ".join(shorten(names[j], 40) for j in dead[:5])
        more = f" and {len(dead) - 5} more" if len(dead) > 5 else ""
        notice(
            f"{len(dead)} of {len(alive)} features are constant on the training split and are kept out of "
            f"fits: {listed}{more}.",
            DeadFeaturesWarning,
        )
