"""Confusion: the classes that a layer mixes up, beside the features that they share.

Appendix G.3 (figures 34 and 35) of Wong, Santurkar and Madry (2021).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.cluster import hierarchy
from scipy.sparse import csr_matrix

from sparse_debug_widgets.analysis.common.layers import LAYERS, class_layer, examined_rows
from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, check_int, check_real
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.layer.naming import position
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

SIGNS = ("any", "same", "positive")
"""Two classes share a feature if both have a weight for it: of any sign, of one sign, both positive."""
MEASURES = ("count", "jaccard", "overlap")
"""Shared features; their share of all that either class has; their share of the smaller class's."""
PICTURES = ("pairs", "matrix")
_DRAWN_CLASSES, _DRAWN_POINTS = 40, 4000


class Correlation(NamedTuple):
    """The correlation of confusion and shared features over pairs of classes.

    Attributes:
        r: Pearson's; NaN where one of them never varies.
        p: Its p-value as if pairs were independent.
        permutation_p: The share of permutations of the classes with at least as strong a correlation, which
            holds although each class is in many pairs.
        n: Pairs.
    """

    r: float
    p: float
    permutation_p: float
    n: int

    def __str__(self) -> str:
        if np.isnan(self.r):
            return f"no correlation can be told of {self.n:,} pairs"
        return f"r = {self.r:.2f} over {self.n:,} pairs (permutation p = {self.permutation_p:.3g})"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Confusion(Result):
    """A confusion matrix, and what pairs of classes share.

    A pair is one entry of the arrays of length P = C (C - 1) / 2: (0, 1), (0, 2), ..., (C - 2, C - 1).

    Attributes:
        layer: Name of the layer.
        split: "train", "validation" or "test"; "" for all rows.
        threshold: A weight counts if it is above this share of its class's largest.
        counts: (C, C) rows of each label (first axis) by prediction.
        rows: (n,) row numbers in the features.
        labels: (n,).
        predictions: (n,).
        confused: (P,) the larger of the two shares of rows that are taken for the other class; NaN where
            a class has no rows.
        shared: (3, P) features that count for both classes, for each of SIGNS.
        used: (3, C) features that count for a class: those that may be shared.
        correlations: (3, 3, 3) r, p and permutation p for SIGNS by MEASURES.
        weight_data: Weights that count, class by class, standardised units.
        weight_indices: Their features.
        weight_indptr: (C + 1,) where each class starts.
        feature_names: p names.
        class_names: C names.
    """

    kind: ClassVar[str] = "confusion"
    arrays: ClassVar[Mapping[str, str]] = {
        "counts": "C C index",
        "rows": "n index",
        "labels": "n index <C",
        "predictions": "n index <C",
        "confused": "P float",
        "shared": "3 P index",
        "used": "3 C index",
        "correlations": "3 3 3 float",
        "weight_data": "m float finite",
        "weight_indices": "m index <p",
        "weight_indptr": "C+1 index sorted",
        "feature_names": "p names",
        "class_names": "C names",
    }

    layer: str
    split: str
    threshold: float
    counts: Ints
    rows: Ints
    labels: Ints
    predictions: Ints
    confused: Float64
    shared: Ints
    used: Ints
    correlations: Float64
    weight_data: Float64
    weight_indices: Ints
    weight_indptr: Ints
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def matrix(self) -> Float64:
        """(C, C) shares of each label's rows by prediction; NaN for a class without rows."""
        return _shares(self.counts)

    @property
    def pairs(self) -> tuple[Ints, Ints]:
        """Both classes (P,) of each pair, the first with the smaller number."""
        first, second = np.triu_indices(self.n_classes, 1)
        return first, second

    @property
    def accuracy(self) -> float:
        """Share of the rows that are right."""
        return float(np.mean(self.labels == self.predictions))

    def measure(self, name: str = "overlap", sign: str = "any") -> Float64:
        """Return the amount that each pair shares.

        Args:
            name: "count", "jaccard" or "overlap" (the share of the class that has fewer).
            sign: "any", "same" or "positive".

        Returns:
            (P,); 0 where a class has no weights.

        Raises:
            InputError: No such measure or sign.
        """
        check_choice(name, MEASURES, "measure", "shared features")
        s = SIGNS.index(check_choice(sign, SIGNS, "sign", "shared features"))
        return _measure(name, self.shared[s], self.used[s][self.pairs[0]], self.used[s][self.pairs[1]])

    def correlation(self, name: str = "overlap", sign: str = "any") -> Correlation:
        """The correlation of a measure with confusion, over all pairs of classes that have rows.

        Args:
            name: "count", "jaccard" or "overlap".
            sign: "any", "same" or "positive".

        Raises:
            InputError: No such measure or sign.
        """
        check_choice(name, MEASURES, "measure", "shared features")
        check_choice(sign, SIGNS, "sign", "shared features")
        r, p, permutation_p = self.correlations[SIGNS.index(sign), MEASURES.index(name)].tolist()
        return Correlation(r, p, permutation_p, int(np.isfinite(self.confused).sum()))

    def examples(self, label: int | str, prediction: int | str) -> Ints:
        """Row numbers of one cell of the matrix.

        Args:
            label: Number or name of the class that they are of.
            prediction: Number or name of the class that they are called.

        Raises:
            InputError: No such class.
        """
        i, j = self._class(label), self._class(prediction)
        return np.asarray(self.rows[(self.labels == i) & (self.predictions == j)])

    def pair(self, i: int | str, j: int | str) -> pd.DataFrame:
        """The features that two classes share, those that matter to both first.

        Args:
            i: Number or name of a class.
            j: Of another.

        Returns:
            One row per feature: number, name, both weights, the smaller of their sizes, and their signs.

        Raises:
            InputError: No such class.
        """
        import pandas as pd

        first, second = self._weights(self._class(i)), self._weights(self._class(j))
        both = np.flatnonzero((first != 0) & (second != 0))
        strength = np.minimum(np.abs(first[both]), np.abs(second[both]))
        both, strength = both[order := np.argsort(-strength, kind="stable")], strength[order]
        same, positive = first[both] * second[both] > 0, (first[both] > 0) & (second[both] > 0)
        return pd.DataFrame(
            {
                "feature": both,
                "name": [self.feature_names[f] for f in both],
                "weight_i": first[both],
                "weight_j": second[both],
                "strength": strength,
                "sign": np.where(positive, "positive", np.where(same, "same", "opposite")).astype(object),
            }
        )

    def order(self) -> Ints:
        """The classes in an order that puts those side by side that are mixed up, (C,).

        The leaves of an average-linkage tree over confusion: for matrices with too many classes to be read.
        """
        if self.n_classes <= 2:
            return np.arange(self.n_classes)
        near = np.nan_to_num(self.confused)
        tree = hierarchy.linkage(near.max(initial=0.0) - near, "average")
        return np.asarray(hierarchy.leaves_list(tree), np.int64)

    def _class(self, which: int | str) -> int:
        return position(which, self.class_names, "class", "this result")

    def _weights(self, c: int) -> Float64:
        row = np.zeros(len(self.feature_names))
        part = slice(self.weight_indptr[c], self.weight_indptr[c + 1])
        row[self.weight_indices[part]] = self.weight_data[part]
        return row

    def to_frame(self) -> pd.DataFrame:
        """One row per pair of classes, those that are mixed up most first."""
        import pandas as pd

        first, second = self.pairs
        names = np.array(self.class_names, object)
        columns: dict[str, object] = {
            "first": names[first],
            "second": names[second],
            "confused": self.confused,
            "first_as_second": self.counts[first, second],
            "second_as_first": self.counts[second, first],
        }
        for s, sign in enumerate(SIGNS):
            columns[f"shared_{sign}"] = self.shared[s]
            columns |= {f"{name}_{sign}": self.measure(name, sign) for name in MEASURES[1:]}
        return pd.DataFrame(columns).sort_values(
            "confused", ascending=False, kind="stable", na_position="last", ignore_index=True
        )

    def summary(self) -> pd.DataFrame:
        """One row per sign and measure: the correlation with confusion."""
        import pandas as pd

        found = [(sign, name, *self.correlation(name, sign)) for sign in SIGNS for name in MEASURES]
        return pd.DataFrame(found, columns=["sign", "measure", "r", "p", "permutation_p", "pairs"])

    def plot(self, what: str = "pairs", name: str = "overlap", sign: str = "any") -> go.Figure:
        """Pairs of classes as points, or the matrix.

        Args:
            what: "pairs": shared features against confusion; "matrix": the confusion matrix, of many classes
                those that are mixed up most, in the order of :meth:`order`.
            name: Measure of what is shared, for the pairs.
            sign: Signs of what is shared, for the pairs.

        Raises:
            InputError: No such picture, measure or sign.
        """
        if check_choice(what, PICTURES, "what", "a picture of a confusion") == PICTURES[1]:
            return self._drawn_matrix()
        known = np.isfinite(self.confused)
        both = np.stack([self.measure(name, sign)[known], self.confused[known]], 1)
        places = np.unique(both, axis=0)
        some = np.linspace(0, len(places) - 1, min(len(places), _DRAWN_POINTS)).astype(int)
        axis = {"count": "shared features", "jaccard": "shared features / features of either",
                "overlap": "shared features / features of the smaller class"}[name]  # fmt: skip
        return figures.points(
            places[some, 0],
            places[some, 1],
            title=f"{self.layer} layer: {self.correlation(name, sign)}",
            x_title=axis,
            y_title="confused",
        )

    def _drawn_matrix(self) -> go.Figure:
        order = self.order()
        title = f"{self.layer} layer: shares of each label (row) by prediction"
        if self.n_classes <= _DRAWN_CLASSES:
            order = np.arange(self.n_classes)
        else:
            first, second = self.pairs
            near = np.nan_to_num(self.confused)
            worst = np.zeros(self.n_classes)
            np.maximum.at(worst, first, near)
            np.maximum.at(worst, second, near)
            kept = np.argsort(-worst, kind="stable")[:_DRAWN_CLASSES]
            order = order[np.isin(order, kept)]
            title += f"; the {_DRAWN_CLASSES} of {self.n_classes:,} classes that are mixed up most"
        names = [self.class_names[c] for c in order]
        return figures.heatmap(self.matrix[np.ix_(order, order)], rows=names, columns=names, title=title)

    def __repr__(self) -> str:
        n = len(self.rows)
        parts = [f"{self.layer} layer, {n:,} {self.split or 'examined'} rows, {self.n_classes:,} classes"]
        wrong = int((self.labels != self.predictions).sum())
        parts.append(f"{wrong:,} errors" if wrong else "no errors")
        sharing = int((self.shared[0] > 0).sum())
        parts.append(f"{sharing:,} of {len(self.confused):,} pairs share features")
        parts.append(str(self.correlation()))
        return f"Confusion({'; '.join(parts)})"

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if len(self.confused) != self.n_classes * (self.n_classes - 1) // 2:
            yield f"{len(self.confused)} pairs of {self.n_classes} classes"
        elif int(self.weight_indptr[0]) != 0 or int(self.weight_indptr[-1]) != len(self.weight_data):
            yield "weights that belong to no class"
        elif int(self.counts.sum()) != len(self.rows):
            yield "counts that are not those of the rows"


def confusion(  # noqa: PLR0913 - each is a choice of its own
    path: RegularizationPath,
    features: DeepFeatures,
    layer: str = "sparse",
    index: int | None = None,
    split: str | None = None,
    *,
    threshold: float = 0.0,
    n_permutations: int = 999,
    seed: int = 0,
    progress: object = None,
) -> Confusion:
    """Compare the classes that a layer mixes up with the features that they share.

    At the layer of the 5-point rule classes may share next to nothing: pass the index of a layer with about
    ten features a class, ``index=path.select(n_features=10)``.

    Args:
        path: A path of classes.
        features: What it was fitted to, or other features of the same model.
        layer: "sparse", "dense" or "refit".
        index: Index of the sparse layer; None for the one that the 5-point rule selects.
        split: "train", "validation", "test" or "all"; None for held-out rows.
        threshold: A weight counts if its size is above this share of its class's largest, in [0, 1); 0.05
            makes sense for layers that are not sparse.
        n_permutations: Permutations of the classes for the p-value; 0 for none.
        seed: Of the permutations.
        progress: Called after each hundred permutations; may raise Cancelled.

    Returns:
        The matrix, pairs of classes and correlations.

    Raises:
        InputError: A path or labels that are no classes, features of another model, no such layer or rows.

    References:
        Wong, Santurkar and Madry, "Leveraging sparse linear layers for debuggable deep networks", ICML 2021,
        appendix G.3. Mantel, "The detection of disease clustering and a generalized regression approach",
        Cancer Research 27, 1967 (the permutations).
    """
    started, report = time.perf_counter(), reporter(progress)
    check_choice(layer, LAYERS, "layer", "confusion")
    share = check_real(threshold, "threshold", "shared features", low=0, high=1, open_high=True)
    times = check_int(n_permutations, "n_permutations", "a permutation test", low=0)
    rng = generator(seed, "confusion")
    examined_layer = class_layer(path, layer, index)
    examined = examined_rows(path, features, split, "confusion")
    predictions = examined_layer.predictions(examined.z)
    n_classes = examined_layer.n_classes
    counts = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(counts, (examined.labels, predictions), 1)

    weights = examined_layer.weights
    limit = share * np.abs(weights).max(1, initial=0.0, keepdims=True)
    weights = np.where(np.abs(weights) > limit, weights, 0.0)
    kept = csr_matrix(weights)
    shared, used = _shared(weights)
    confused = _confused(counts)
    correlations = _correlations(confused, shared, used, counts.sum(1) > 0, times, rng, report)
    return Confusion(
        provenance=Provenance(
            method="confusion",
            params={
                "index": None if index is None else path.select(index=index),
                "n_permutations": times,
            },
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=path.provenance.fingerprint,
        ),
        layer=layer,
        split=examined.split,
        threshold=share,
        counts=counts,
        rows=examined.rows,
        labels=examined.labels,
        predictions=predictions,
        confused=confused,
        shared=shared,
        used=used,
        correlations=correlations,
        weight_data=np.asarray(kept.data, np.float64),
        weight_indices=kept.indices.astype(np.int64),
        weight_indptr=kept.indptr.astype(np.int64),
        feature_names=path.feature_names,
        class_names=path.class_names,
    )


def _shared(weights: Float64) -> tuple[Ints, Ints]:
    """Features that each pair shares (3, P), and those that each class has (3, C), for SIGNS."""
    up, down = (weights > 0).astype(np.float32), (weights < 0).astype(np.float32)
    any_ = up + down
    positive = up @ up.T
    upper = np.triu_indices(len(weights), 1)
    pairs = np.stack([(any_ @ any_.T)[upper], (positive + down @ down.T)[upper], positive[upper]])
    used = np.stack([any_.sum(1), any_.sum(1), up.sum(1)])
    return np.rint(pairs).astype(np.int64), np.rint(used).astype(np.int64)


def _shares(counts: Ints) -> Float64:
    """Each row divided by its sum (C, C); NaN where that is 0."""
    of_class = counts.sum(1, keepdims=True).astype(np.float64)
    return np.asarray(counts / np.where(of_class > 0, of_class, np.nan))


def _confused(counts: Ints) -> Float64:
    """The larger share of each pair that is taken for the other (P,); NaN where a class has no rows."""
    matrix = _shares(counts)
    first, second = np.triu_indices(len(counts), 1)
    return np.asarray(np.maximum(matrix[first, second], matrix[second, first]))


def _measure(name: str, shared: Ints, first: Ints, second: Ints) -> Float64:
    if name == MEASURES[0]:
        return shared.astype(np.float64)
    whole = np.minimum(first, second) if name == MEASURES[2] else first + second - shared
    return np.asarray(shared / np.maximum(whole, 1))


def _correlations(
    confused: Float64,
    shared: Ints,
    used: Ints,
    seen: Array,
    times: int,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> Float64:
    """R, p and permutation p (3, 3, 3) over the pairs of classes that have rows."""
    first, second = np.triu_indices(len(seen), 1)
    known = seen[first] & seen[second]
    y, first, second = confused[known], first[known], second[known]
    measures = np.stack(
        [
            _measure(name, shared[s][known], used[s][first], used[s][second])
            for s in range(len(SIGNS))
            for name in MEASURES
        ],
        1,
    )
    found = np.full((measures.shape[1], 3), np.nan)
    if len(y) > 2 and np.ptp(y) > 0:
        varies = np.ptp(measures, axis=0) > 0
        for m in np.flatnonzero(varies):
            found[m, :2] = stats.pearsonr(measures[:, m], y)
        found[varies, 2] = _permuted(
            y, measures[:, varies], first, second, found[varies, 0], times, rng, report
        )
    return found.reshape(len(SIGNS), len(MEASURES), 3)


def _permuted(
    y: Float64,
    measures: Float64,
    first: Ints,
    second: Ints,
    r: Float64,
    times: int,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> Float64:
    """The share of permutations of the classes whose correlation is at least as strong (Mantel's test)."""
    if not times or not len(r):
        return np.full(len(r), np.nan)
    # Means and deviations stay as they are when classes change places: only the sum of products moves, and
    # to it only pairs that are mixed up at all contribute.
    classes = np.unique(np.concatenate([first, second]))
    n_classes = len(classes)
    table = np.zeros((n_classes, n_classes, measures.shape[1]))
    i, j = np.searchsorted(classes, first), np.searchsorted(classes, second)
    table[i, j] = table[j, i] = measures
    mixed = np.flatnonzero(y)
    i, j, y_mixed = i[mixed], j[mixed], y[mixed]
    mean = measures.mean(0)
    spread = measures.std(0) * y.std() * len(y)
    as_strong = np.zeros(len(r))
    for k in range(times):
        place = rng.permutation(n_classes)
        moved = (y_mixed @ table[place[i], place[j]] - mean * y.sum()) / spread
        as_strong += np.abs(moved) >= np.abs(r) - 1e-12
        if k % 100 == 0 or k == times - 1:
            report(Progress(k + 1, times, "permutations of the classes"))
    return np.asarray((1 + as_strong) / (1 + times))
