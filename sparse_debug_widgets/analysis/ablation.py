"""Ablation: the accuracy of a layer that keeps its strongest features, or all but these.

Section 3.2 and appendix D.2 (tables 3b and 37) of Wong, Santurkar and Madry (2021).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.layers import ClassLayer, class_layers, examined_rows
from sparse_debug_widgets.analysis.common.rates import wilson
from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, check_int, reject
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

PER = ("class", "layer")
"""A set of features for each class, or one for all of them."""
KEPT = ("all", "top", "rest", "random")
"""All features; the k strongest; all but these; as many others at random (the control)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ablation(Result):
    """Accuracies of layers of which the k strongest features are kept or taken away; intercepts stay.

    Attributes:
        layers: Names of the layers.
        ks: (m,) numbers of features, increasing.
        per: "class": the strongest of each class; "layer": the strongest of all classes together.
        centred: The mean over the classes was taken from each feature's weights first.
        split: "train", "validation" or "test"; "" for all rows.
        n_examined: Rows that were looked at.
        n_used: (L,) features with a weight, of the class that has most.
        all_hits: (L,) rows that the whole layer gets right.
        top_hits: (L, m) rows that the k strongest features get right.
        rest_hits: (L, m) rows that the others get right.
        random_hits: (L, m, D) rows that k features get right that were drawn from those with a weight.
        chance: Share of the commonest label.
    """

    kind: ClassVar[str] = "ablation"
    arrays: ClassVar[Mapping[str, str]] = {
        "layers": "L names",
        "ks": "m index increasing",
        "n_used": "L index",
        "all_hits": "L index",
        "top_hits": "L m index",
        "rest_hits": "L m index",
        "random_hits": "L m D index",
    }

    layers: tuple[str, ...]
    ks: Ints
    per: str
    centred: bool
    split: str
    n_examined: int
    n_used: Ints
    all_hits: Ints
    top_hits: Ints
    rest_hits: Ints
    random_hits: Ints
    chance: float

    def accuracy(self, kept: str = "top", layer: str | None = None) -> Float64:
        """Accuracy for each k, with its interval.

        Args:
            kept: "all" (the same for each k), "top", "rest", or "random" (the mean of the draws).
            layer: Name of the layer; None for the first.

        Returns:
            (m, 3): the accuracy and both ends of its 95 % interval.

        Raises:
            InputError: No such layer or way to choose features.
        """
        check_choice(kept, KEPT, "kept", "an ablation")
        name = check_choice(self.layers[0] if layer is None else layer, self.layers, "layer", "this result")
        number = self.layers.index(name)
        hits = {
            "all": np.full(len(self.ks), self.all_hits[number], np.float64),
            "top": self.top_hits[number].astype(np.float64),
            "rest": self.rest_hits[number].astype(np.float64),
            "random": self.random_hits[number].mean(1),
        }[kept]
        return np.stack([hits / self.n_examined, *wilson(hits, self.n_examined)], 1)

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, k and way to choose features."""
        import pandas as pd

        parts = []
        for name in self.layers:
            for kept in KEPT:
                value, low, high = self.accuracy(kept, name).T
                columns = {"accuracy": value, "low": low, "high": high}
                parts.append(pd.DataFrame({"layer": name, "k": self.ks, "kept": kept, **columns}))
        return pd.concat(parts, ignore_index=True)

    def plot(self) -> go.Figure:
        """Accuracy over k, a panel per layer, with chance drawn in."""
        panels = {f"{name} layer": {kept: self.accuracy(kept, name) for kept in KEPT} for name in self.layers}
        of_what = "of each class" if self.per == PER[0] else "of the layer"
        return figures.bands(
            self.ks,
            panels,
            title=f"The k strongest features {of_what}, all others, and k at random",
            x_title="k",
            y_title="accuracy",
            level={"chance": self.chance},
        )

    def __repr__(self) -> str:
        middle = min(range(len(self.ks)), key=lambda i: abs(int(self.ks[i]) - _TOLD))
        parts = [
            f"{self.n_examined:,} {self.split or 'examined'} rows, k = {self.ks[middle]} per {self.per}",
            f"chance {self.chance:.3f}",
        ]
        for name in self.layers:
            told = (f"{kept} {self.accuracy(kept, name)[middle, 0]:.3f}" for kept in KEPT)
            parts.append(f"{name}: {', '.join(told)}")
        return f"Ablation({'; '.join(parts)})"

    def faults(self) -> Iterator[str]:
        """See the base class."""
        hits = (self.all_hits, self.top_hits, self.rest_hits, self.random_hits)
        if not self.layers or not len(self.ks) or not self.random_hits.shape[2]:
            yield "no layers, no k or no draws"
        elif self.n_examined < 1 or max(int(part.max()) for part in hits) > self.n_examined:
            yield f"more hits than {self.n_examined} rows"


_TOLD = 5


def ablation(  # noqa: PLR0913 - each is a choice of its own
    path: RegularizationPath,
    features: DeepFeatures,
    index: int | None = None,
    ks: Sequence[int] = (1, 2, 3, 5, 10, 20),
    per: str = "class",
    centre: bool = False,
    *,
    layers: Iterable[str] | None = None,
    split: str | None = None,
    n_draws: int = 5,
    seed: int = 0,
    progress: object = None,
) -> Ablation:
    """Measure what the strongest features of a layer do alone, and what the others do without them.

    Of a layer that can be understood by a few features, these keep the accuracy and the rest has none.

    Args:
        path: A path of classes.
        features: What it was fitted to, or other features of the same model.
        index: Index of the sparse layer; None for the one that the 5-point rule selects.
        ks: Numbers of features to keep or to take away.
        per: "class": the k largest weights by size of each class; "layer": one set for all classes, by the
            length of a feature's weights.
        centre: Take the mean over the classes from each feature's weights first. Predictions of the whole
            layer stay; but which weights are large depends on a shift that is common to all classes.
        layers: Some of "sparse", "dense", "refit"; None for all that the path knows.
        split: "train", "validation", "test" or "all"; None for held-out rows.
        n_draws: Draws of random features, of which the mean is told.
        seed: Of these draws.
        progress: Called after each k of each layer; may raise Cancelled.

    Returns:
        Accuracies of all, top, rest and random features, per layer and k.

    Raises:
        InputError: A path or labels that are no classes, features of another model, no such layer or rows,
            or no such k.

    References:
        Wong, Santurkar and Madry, "Leveraging sparse linear layers for debuggable deep networks", ICML 2021,
        section 3.2 and appendix D.2.
    """
    started, report = time.perf_counter(), reporter(progress)
    check_choice(per, PER, "per", "an ablation")
    numbers = _numbers(ks)
    draws = check_int(n_draws, "n_draws", "the control")
    rng = generator(seed, "ablation")
    compared = class_layers(path, index, layers)
    if not compared:
        reject("layers", "ablation", "name at least one layer", "none")
    examined = examined_rows(path, features, split, "ablation")
    z, labels = examined.z.astype(np.float64), examined.labels
    m, n_layers = len(numbers), len(compared)
    used, whole = np.zeros(n_layers, np.int64), np.zeros(n_layers, np.int64)
    top, rest = np.zeros((n_layers, m), np.int64), np.zeros((n_layers, m), np.int64)
    random = np.zeros((n_layers, m, draws), np.int64)
    for number, layer in enumerate(compared.values()):
        weights = layer.weights - layer.weights.mean(0) if centre else layer.weights
        strength = _strength(weights, per)
        used[number] = (strength > 0).sum(1).max()
        whole[number] = _hits(layer, z, weights, labels)
        ranks = _ranks(strength)
        drawn = [_ranks(np.where(strength > 0, _noise(strength, per, rng), 0.0)) for _ in range(draws)]
        for i, k in enumerate(numbers):
            top[number, i] = _hits(layer, z, np.where(ranks < k, weights, 0.0), labels)
            rest[number, i] = _hits(layer, z, np.where(ranks < k, 0.0, weights), labels)
            for d, order in enumerate(drawn):
                random[number, i, d] = _hits(layer, z, np.where(order < k, weights, 0.0), labels)
            report(Progress(number * m + i + 1, n_layers * m, f"{layer.name} layer, {k} features"))
    return Ablation(
        provenance=Provenance(
            method="ablation",
            params={"index": None if index is None else path.select(index=index), "n_draws": draws},
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=path.provenance.fingerprint,
        ),
        layers=tuple(compared),
        ks=numbers,
        per=per,
        centred=bool(centre),
        split=examined.split,
        n_examined=len(labels),
        n_used=used,
        all_hits=whole,
        top_hits=top,
        rest_hits=rest,
        random_hits=random,
        chance=float(np.bincount(labels).max() / len(labels)),
    )


def _numbers(ks: object) -> Ints:
    given = list(ks) if isinstance(ks, Iterable) and not isinstance(ks, str | bytes) else []
    if not given:
        reject("ks", "an ablation", "be one or more numbers of features", ks)
    return np.array(sorted({check_int(k, "ks", "an ablation") for k in given}), np.int64)


def _strength(weights: Float64, per: str) -> Float64:
    """Sizes (C, p) by which features are ranked; with one set for all classes all rows are the same."""
    if per == PER[0]:
        return np.abs(weights)
    return np.broadcast_to(np.sqrt((weights**2).sum(0)), weights.shape)


def _noise(strength: Float64, per: str, rng: np.random.Generator) -> Float64:
    """Random sizes above 0, with one set for all classes the same in all rows."""
    if per == PER[0]:
        return 1.0 - rng.random(strength.shape)
    return np.broadcast_to(1.0 - rng.random(strength.shape[1]), strength.shape)


def _ranks(strength: Float64) -> Ints:
    """Ranks (C, p) of the sizes of each row, the largest first."""
    order = np.argsort(-strength, 1, kind="stable")
    ranks = np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], 1)
    return ranks


def _hits(layer: ClassLayer, z: Float64, weights: Float64, labels: Ints) -> int:
    return int(((z @ weights.T + layer.intercepts).argmax(1) == labels).sum())
