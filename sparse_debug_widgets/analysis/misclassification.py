"""Misclassification: the feature that makes an error, and the errors that go when it is silenced.

Equation 8 and section 4.3 of Wong, Santurkar and Madry (2021).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.layers import ClassLayer, class_layers, examined_rows
from sparse_debug_widgets.analysis.common.rates import Rate
from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, reject
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

AT = ("mean", "off")
"""Values at which a feature may be silenced: its mean, or 0 in raw units."""
MEASURES = {
    "explained": "explained by the problematic feature",
    "any_flip": "the answer changes",
    "best": "explained by any single feature",
    "random": "a random feature (control)",
}
_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Misclassification(Result):
    """The errors of one or more layers, each with the feature that speaks most for the wrong class.

    An error is one entry of the arrays of length E; the errors of the first layer come first. Silencing
    feature j lowers the margin of the predicted class p over the label l by
    ``gamma_j = (W_pj - W_lj) (z_j - o_j)``, where o is the value at which it is held: for all classes, so
    that a third class may win. -1 stands for no feature.

    Attributes:
        layers: Names of the layers.
        at: "mean" or "off", the value at which features are silenced.
        split: "train", "validation" or "test"; "" for all rows.
        n_examined: Rows that were looked at.
        layer: (E,) numbers of the layers.
        rows: (E,) row numbers in the features.
        labels: (E,).
        predictions: (E,).
        problematic: (E,) the feature with the largest gamma; -1 if none is above 0.
        gamma: (E,) its gamma.
        margin: (E,) score of the prediction less score of the label.
        margin_after: (E,) the same with the problematic feature silenced.
        flipped_to: (E,) the prediction then.
        supporting: (E,) the feature with the smallest gamma, for the label; -1 if none is below 0.
        supporting_gamma: (E,) its gamma.
        best: (E,) of the features that explain the error when silenced alone, that with the largest gamma;
            -1 if there is none.
        random: (E,) a feature drawn from those that tell the two classes apart; -1 if none does.
        random_flipped_to: (E,) the prediction with that one silenced.
        feature_names: p names.
        class_names: C names.
    """

    kind: ClassVar[str] = "misclassification"
    arrays: ClassVar[Mapping[str, str]] = {
        "layers": "L names",
        "layer": "E index <L",
        "rows": "E index",
        "labels": "E index <C",
        "predictions": "E index <C",
        "problematic": "E class <p",
        "gamma": "E float finite",
        "margin": "E float finite",
        "margin_after": "E float finite",
        "flipped_to": "E index <C",
        "supporting": "E class <p",
        "supporting_gamma": "E float finite",
        "best": "E class <p",
        "random": "E class <p",
        "random_flipped_to": "E index <C",
        "feature_names": "p names",
        "class_names": "C names",
    }

    layers: tuple[str, ...]
    at: str
    split: str
    n_examined: int
    layer: Ints
    rows: Ints
    labels: Ints
    predictions: Ints
    problematic: Ints
    gamma: Float64
    margin: Float64
    margin_after: Float64
    flipped_to: Ints
    supporting: Ints
    supporting_gamma: Float64
    best: Ints
    random: Ints
    random_flipped_to: Ints
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    def explained(self) -> Bools:
        """(E,) the answer is the label once the problematic feature is silenced in all rows."""
        return np.asarray(self.flipped_to == self.labels)

    def errors(self, layer: str | None = None) -> Ints:
        """Entries of one layer.

        Args:
            layer: Its name; None for the first layer.

        Returns:
            Positions in the arrays.

        Raises:
            InputError: No such layer.
        """
        name = check_choice(self.layers[0] if layer is None else layer, self.layers, "layer", "this result")
        return np.flatnonzero(self.layer == self.layers.index(name))

    def rate(self, measure: str = "explained", layer: str | None = None) -> Rate:
        """A share of the errors of a layer, with its interval.

        Args:
            measure: "explained"; "any_flip": another answer, right or wrong; "best": explained by any single
                feature, an upper bound; "random": explained by a random feature, the control.
            layer: Its name; None for the first layer.

        Raises:
            InputError: No such measure or layer.
        """
        check_choice(measure, MEASURES, "measure", "a share of errors")
        happened = {
            "explained": self.explained,
            "any_flip": self.flipped_to != self.predictions,
            "best": self.best >= 0,
            "random": self.random_flipped_to == self.labels,
        }[measure]
        return Rate.of(happened[self.errors(layer)])

    def summary(self) -> pd.DataFrame:
        """One row per layer: errors, and the shares of them with intervals."""
        import pandas as pd

        rows = []
        for name in self.layers:
            n = len(self.errors(name))
            row: dict[str, object] = {"layer": name, "examined": self.n_examined, "errors": n}
            for measure in MEASURES:
                rate = self.rate(measure, name)
                row |= {measure: rate.value, f"{measure}_low": rate.low, f"{measure}_high": rate.high}
            rows.append(row)
        return pd.DataFrame(rows)

    def pairs(self, layer: str | None = None) -> pd.DataFrame:
        """Errors by label and prediction, the commonest pair first.

        Args:
            layer: Its name; None for the first layer.

        Raises:
            InputError: No such layer.
        """
        import pandas as pd

        chosen = self.errors(layer)
        both = np.stack([self.labels[chosen], self.predictions[chosen]], 1)
        found, group = np.unique(both, axis=0, return_inverse=True)
        feature, times = _commonest(group.reshape(-1), self.problematic[chosen], len(found))
        table = {
            "label": [self.class_names[i] for i in found[:, 0]],
            "prediction": [self.class_names[i] for i in found[:, 1]],
            "errors": np.bincount(group.reshape(-1), minlength=len(found)),
            "explained": np.bincount(group.reshape(-1), self.explained[chosen], len(found)).astype(int),
            "feature": [self._name(j) for j in feature],
            "errors_of_feature": times,
        }
        return pd.DataFrame(table).sort_values("errors", ascending=False, kind="stable", ignore_index=True)

    def features(self, layer: str | None = None) -> pd.DataFrame:
        """Features by the errors that they are the problem of, the worst first.

        Args:
            layer: Its name; None for the first layer.

        Raises:
            InputError: No such layer.
        """
        import pandas as pd

        chosen = self.errors(layer)
        chosen = chosen[self.problematic[chosen] >= 0]
        found, group = np.unique(self.problematic[chosen], return_inverse=True)
        count = np.bincount(group, minlength=len(found))
        towards, times = _commonest(group, self.predictions[chosen], len(found))
        table = {
            "feature": found,
            "name": [self.feature_names[j] for j in found],
            "errors": count,
            "explained": np.bincount(group, self.explained[chosen], len(found)).astype(int),
            "mean_gamma": np.bincount(group, self.gamma[chosen], len(found)) / np.maximum(count, 1),
            "prediction": [self.class_names[i] for i in towards],
            "errors_of_prediction": times,
        }
        return pd.DataFrame(table).sort_values("errors", ascending=False, kind="stable", ignore_index=True)

    def _name(self, feature: int) -> str:
        return self.feature_names[feature] if feature >= 0 else ""

    def to_frame(self) -> pd.DataFrame:
        """One row per error and layer."""
        import pandas as pd

        classes = {name: getattr(self, name) for name in ("labels", "predictions", "flipped_to")}
        named = {name: [self.class_names[i] for i in values] for name, values in classes.items()}
        return pd.DataFrame(
            {
                "layer": [self.layers[i] for i in self.layer],
                "row": self.rows,
                "label": named["labels"],
                "prediction": named["predictions"],
                "feature": self.problematic,
                "name": [self._name(j) for j in self.problematic],
                "gamma": self.gamma,
                "margin": self.margin,
                "margin_after": self.margin_after,
                "flipped_to": named["flipped_to"],
                "explained": self.explained,
                "supporting_feature": self.supporting,
                "supporting_gamma": self.supporting_gamma,
                "best_feature": self.best,
                "random_feature": self.random,
                "random_flipped_to": [self.class_names[i] for i in self.random_flipped_to],
            }
        )

    def plot(self) -> go.Figure:
        """Shares of the errors per layer, with the control and intervals."""
        series = {
            title: [self.rate(measure, name)[2:] for name in self.layers]
            for measure, title in MEASURES.items()
        }
        counts = [f"{name} ({len(self.errors(name)):,} errors)" for name in self.layers]
        return figures.grouped(counts, series, title="Errors that one feature explains", y_title="share")

    def __repr__(self) -> str:
        parts = [f"{self.n_examined:,} {self.split or 'examined'} rows, silenced at {self.at}"]
        for name in self.layers:
            rate, control = self.rate(layer=name), self.rate("random", name)
            told = f"{rate} errors explained, {100 * control.value:.1f} % by a random feature"
            parts.append(f"{name}: {told if rate.n else 'no errors'}")
        return f"Misclassification({'; '.join(parts)})"

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if not self.layers:
            yield "no layers"
        if self.at not in AT:
            yield f"features silenced at {self.at}"


def misclassification(
    path: RegularizationPath,
    features: DeepFeatures,
    at: str = "mean",
    index: int | None = None,
    layers: Iterable[str] | None = None,
    split: str | None = None,
    seed: int = 0,
    progress: object = None,
) -> Misclassification:
    """Find the problematic feature of each error, and whether silencing it gives the right answer.

    Args:
        path: A path of classes.
        features: What it was fitted to, or other features of the same model.
        at: "mean": a silenced feature stays at its mean over the training rows; "off": at 0 in raw units.
        index: Index of the sparse layer; None for the one that the 5-point rule selects.
        layers: Some of "sparse", "dense", "refit"; None for all that the path knows.
        split: "train", "validation", "test" or "all"; None for held-out rows.
        seed: Of the control, which silences a random feature.
        progress: Called after each chunk of errors; may raise Cancelled.

    Returns:
        The errors with their features. No errors are a result too.

    Raises:
        InputError: A path or labels that are no classes, features of another model, no such layer or rows.

    References:
        Wong, Santurkar and Madry, "Leveraging sparse linear layers for debuggable deep networks", ICML 2021,
        equation 8 and section 4.3.
    """
    started, report = time.perf_counter(), reporter(progress)
    check_choice(at, AT, "at", "silencing a feature")
    rng = generator(seed, "misclassification")
    compared = class_layers(path, index, layers)
    if not compared:
        reject("layers", "misclassification", "name at least one layer", "none")
    examined = examined_rows(path, features, split, "misclassification")
    origin = np.zeros(path.n_features)
    if at == AT[1]:
        origin = -np.asarray(path.mean, np.float64) / np.asarray(path.scale, np.float64)
    found = [_no_errors()]
    for number, layer in enumerate(compared.values()):
        scores = layer.scores(examined.z)
        wrong = np.flatnonzero(scores.argmax(1) != examined.labels)
        size = max(1, _CELLS // max(layer.weights.shape))
        for start in range(0, len(wrong), size):
            part = wrong[start : start + size]
            moved = examined.z[part].astype(np.float64) - origin
            found.append(
                _errors(layer, number, moved, scores[part], examined.labels[part], examined.rows[part], rng)
            )
            done = number + min(start + size, len(wrong)) / len(wrong)
            report(Progress(done, len(compared), f"{layer.name} layer, {len(wrong):,} errors"))
        report(Progress(number + 1, len(compared), f"{layer.name} layer, {len(wrong):,} errors"))
    return Misclassification(
        provenance=Provenance(
            method="misclassification",
            params={"at": at, "index": path.select(index=index) if index is not None else None},
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=path.provenance.fingerprint,
        ),
        layers=tuple(compared),
        at=at,
        split=examined.split,
        n_examined=len(examined.rows),
        **{name: np.concatenate([getattr(part, name) for part in found]) for name in _Errors._fields},
        feature_names=path.feature_names,
        class_names=path.class_names,
    )


class _Errors(NamedTuple):
    """Some errors of one layer, as in the result."""

    layer: Ints
    rows: Ints
    labels: Ints
    predictions: Ints
    problematic: Ints
    gamma: Float64
    margin: Float64
    margin_after: Float64
    flipped_to: Ints
    supporting: Ints
    supporting_gamma: Float64
    best: Ints
    random: Ints
    random_flipped_to: Ints


_REAL = ("gamma", "margin", "margin_after", "supporting_gamma")


def _no_errors() -> _Errors:
    numbers, reals = np.zeros(0, np.int64), np.zeros(0)
    empty: dict[str, Any] = {name: reals if name in _REAL else numbers for name in _Errors._fields}
    return _Errors(**empty)


def _errors(
    layer: ClassLayer,
    number: int,
    moved: Float64,
    scores: Float64,
    labels: Ints,
    rows: Ints,
    rng: np.random.Generator,
) -> _Errors:
    """Errors with their features; ``moved`` is (m, p), the way of each feature to where it is held."""
    each = np.arange(len(rows))
    predictions = scores.argmax(1)
    gammas = (layer.weights[predictions] - layer.weights[labels]) * moved
    most, least = gammas.argmax(1), gammas.argmin(1)
    gamma, supporting_gamma = np.maximum(gammas[each, most], 0.0), np.minimum(gammas[each, least], 0.0)
    problematic = np.where(gamma > 0, most, -1)
    after = _silenced(layer, moved, scores, each, problematic)
    flipped_to = after.argmax(1)
    margin = scores[each, predictions] - scores[each, labels]
    drawn = _drawn(layer, labels, predictions, rng)
    return _Errors(
        layer=np.full(len(rows), number),
        rows=rows,
        labels=labels,
        predictions=predictions,
        problematic=problematic,
        gamma=gamma,
        margin=margin,
        margin_after=after[each, predictions] - after[each, labels],
        flipped_to=flipped_to,
        supporting=np.where(supporting_gamma < 0, least, -1),
        supporting_gamma=supporting_gamma,
        best=_best(layer, moved, scores, labels, gammas, margin, np.where(flipped_to == labels, most, -1)),
        random=drawn,
        random_flipped_to=_silenced(layer, moved, scores, each, drawn).argmax(1),
    )


def _silenced(layer: ClassLayer, moved: Float64, scores: Float64, each: Ints, features: Ints) -> Float64:
    """Scores (m, C) of some rows with one feature silenced in each; -1 is none."""
    way = np.where(features >= 0, moved[each, features], 0.0)
    return np.asarray(scores[each] - layer.weights[:, features].T * way[:, None])


def _best(
    layer: ClassLayer,
    moved: Float64,
    scores: Float64,
    labels: Ints,
    gammas: Float64,
    margin: Float64,
    first: Ints,
) -> Ints:
    """The features with the largest gamma that explain an error each; ``first`` are those known already."""
    best = first.copy()
    # A feature can explain an error only if it takes the whole margin; 0.1 % less is for rounding.
    open_, candidates = np.nonzero((gammas >= margin[:, None] * 0.999) & (gammas > 0) & (first < 0)[:, None])
    size = max(1, _CELLS // layer.n_classes)
    for start in range(0, len(open_), size):
        each, feature = open_[start : start + size], candidates[start : start + size]
        right = _silenced(layer, moved, scores, each, feature).argmax(1) == labels[each]
        each, feature = each[right], feature[right]
        # Ascending gamma: the last that is written stays.
        order = np.argsort(gammas[each, feature], kind="stable")
        each, feature = each[order], feature[order]
        known = np.where(best[each] >= 0, gammas[each, best[each]], -np.inf)
        better = gammas[each, feature] > known
        best[each[better]] = feature[better]
    return best


def _drawn(layer: ClassLayer, labels: Ints, predictions: Ints, rng: np.random.Generator) -> Ints:
    """A feature for each error, drawn from those whose weights tell prediction and label apart."""
    drawn = np.full(len(labels), -1, np.int64)
    shares = rng.random(len(labels))
    pairs, group = np.unique(np.stack([labels, predictions], 1), axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(group.reshape(-1), minlength=len(pairs)))
    for (label, prediction), members in zip(pairs, np.split(order, ends[:-1]), strict=True):
        used = np.flatnonzero(layer.weights[label] != layer.weights[prediction])
        if len(used):
            drawn[members] = used[(shares[members] * len(used)).astype(np.int64)]
    return drawn


def _commonest(group: Ints, values: Ints, n_groups: int) -> tuple[Ints, Ints]:
    """The commonest value of each group, and how often it is there."""
    both, count = np.unique(np.stack([group, values], 1), axis=0, return_counts=True)
    order = np.argsort(count, kind="stable")
    value, times = np.full(n_groups, -1, np.int64), np.zeros(n_groups, np.int64)
    value[both[order, 0]], times[both[order, 0]] = both[order, 1], count[order]
    return value, times
