"""``feature_order``: in which order features enter a class along the path, with what they stand for (A.3).

The paper's Figures 12 to 15. The l1 part of the penalty lets features in one after the other as the strength
falls: those that enter early are what the class can least do without.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_int, reject
from sparse_debug_widgets.core.fingerprint import combine
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.interpret.deep.units import place_of
from sparse_debug_widgets.interpret.order.figure import order_figure
from sparse_debug_widgets.interpret.order.gallery import gather
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.problem.families import FAMILIES

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_WHAT = "the order of features"
_SPLITS = ("train", "validation", "test")
_NAMED = 6


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FeatureOrder(Result):
    """The F features that enter a class's row, in order; the first S with what they stand for.

    Features that enter at the same strength are ordered by the size of their weight there.

    Attributes:
        class_name: Of the class.
        family: Of the path; it says what the accuracies are (R^2 for "gaussian").
        lambdas: (K,) strengths, decreasing.
        accuracies: (K, 3) of the whole layer, on the training, validation and test split; NaN if unknown.
        features: (F,) feature numbers in the order of entering.
        feature_names: F names.
        entered: (F,) index of the strength at which each enters.
        weights: (K, F) of the class along the path, standardised units.
        n_shown: S, features that pictures or words were looked up for.
        columns: T headings of pictures.
        pictures: (S, T, h, w, 3) bytes, or None.
        notes: S x T texts: activation, R^2 of LIME, or "" where there is no picture.
        raising: S times the words that raise the feature, strongest first.
        lowering: S times the words that lower it.
        sentences: S sentences that activate it most, or "".
        never: (M,) features that never enter.
        never_names: M names.
        constant: (M,) bool, which of these are constant on the training split.
        entry_ranges: (2, F) indices between which each enters at the optimum, as the path's bound on weights
            proves; K where none is proved. None where the path has no such bound.
    """

    kind: ClassVar[str] = "feature_order"
    arrays: ClassVar[Mapping[str, str]] = {
        "lambdas": "K float positive decreasing",
        "accuracies": "K 3 float",
        "features": "F index",
        "feature_names": "F names",
        "entered": "F index <K",
        "weights": "K F float finite",
        "columns": "T names",
        "pictures": "? S T h w 3 number",
        "sentences": "S names",
        "never": "M index",
        "never_names": "M names",
        "constant": "M bool",
        "entry_ranges": "? 2 F index",
    }

    class_name: str
    family: str
    lambdas: Array
    accuracies: Array
    features: Array
    feature_names: tuple[str, ...]
    entered: Array
    weights: Array
    n_shown: int
    columns: tuple[str, ...]
    pictures: Array | None
    notes: tuple[tuple[str, ...], ...]
    raising: tuple[tuple[str, ...], ...]
    lowering: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    never: Array
    never_names: tuple[str, ...]
    constant: Array
    entry_ranges: Array | None = None

    @property
    def undecided(self) -> npt.NDArray[np.bool_]:
        """(F,) features that may enter at another strength than here: the path is solved no more exactly."""
        if self.entry_ranges is None:
            return np.zeros(len(self.features), np.bool_)
        return np.asarray(self.entry_ranges[0] != self.entry_ranges[1])

    @property
    def signs(self) -> npt.NDArray[np.int64]:
        """(F,) 1 for features that enter as evidence for the class, -1 against it."""
        return np.sign(self.weights[self.entered, np.arange(len(self.features))]).astype(np.int64)

    @property
    def final_weights(self) -> npt.NDArray[np.float64]:
        """(F,) weight at the end of the path; 0 for features that left again."""
        return np.asarray(self.weights[-1], np.float64)

    @property
    def split(self) -> int:
        """Column of the accuracies that is shown: validation, or training where there is none."""
        return 0 if np.isnan(self.accuracies[:, 1]).all() else 1

    def place(self, feature: object) -> int:
        """Rank of a feature, from 0, by its number or name.

        Args:
            feature: Its number in the model, or its name.

        Raises:
            InputError: It does not enter.
        """
        return place_of(feature, self.features, self.feature_names, _WHAT)

    def said(self, n: int | None = None) -> str:
        """Say in words how many features enter, how many of them are shown, and which never enter.

        Args:
            n: How many are shown; None: all that interpretations were looked up for.
        """
        shown = self.n_shown if n is None else n
        total = len(self.features) + len(self.never)
        text = f"{len(self.features)} of {total} features enter"
        if 0 < shown < len(self.features):
            text += f", the first {shown} are shown" if shown > 1 else ", the first is shown"
        open_ = int(self.undecided[: self.n_shown if n is None else n].sum())
        if open_:
            text += f" ({open_} of them with ~: the bound on weights leaves open at which lambda)"
        if not len(self.never):
            return text + "; none stays out."
        listed = ", ".join(self.never_names[:_NAMED])
        more = f" and {len(self.never) - _NAMED} more" if len(self.never) > _NAMED else ""
        text += f". {len(self.never)} never {'enters' if len(self.never) == 1 else 'enter'}: {listed}{more}"
        dead = int(self.constant.sum())
        return text + (f"; {dead} of them cannot, being constant." if dead else ".")

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if self.family not in FAMILIES:
            yield f"family {self.family!r}"
        if not 0 <= self.n_shown <= len(self.features):
            yield f"n_shown {self.n_shown} of {len(self.features)} features"
        if not self.weights[self.entered, np.arange(len(self.features))].all():
            yield "features that have no weight where they enter"

    def to_frame(self) -> pd.DataFrame:
        """One row per feature that enters: when, beside how many others, accuracy, sign, weights, words."""
        import pandas as pd

        ranks = np.arange(len(self.features))
        inside = (self.weights != 0).sum(1)
        frame: dict[str, object] = {
            "rank": ranks + 1,
            "feature": self.features,
            "name": list(self.feature_names),
            "index": self.entered,
            "lambda": self.lambdas[self.entered],
            "features_of_class": inside[self.entered],
            "proved": ~self.undecided if self.entry_ranges is not None else np.zeros(len(ranks), np.bool_),
        }
        for i, split in enumerate(_SPLITS):
            frame[f"{split}_{FAMILIES[self.family].column}"] = self.accuracies[self.entered, i]
        frame |= {
            "sign": self.signs,
            "entering_weight": self.weights[self.entered, ranks],
            "final_weight": self.final_weights,
        }
        if any(self.raising) or any(self.lowering):
            blank = [""] * (len(ranks) - self.n_shown)
            frame["raised_by"] = [", ".join(words) for words in self.raising] + blank
            frame["lowered_by"] = [", ".join(words) for words in self.lowering] + blank
        return pd.DataFrame(frame)

    def plot(self, n: int | None = None, *, dark: bool | None = None) -> go.Figure:
        """One row per feature: its weight along the path, where it enters, and what it stands for.

        Args:
            n: How many features; None for all that interpretations were looked up for.
            dark: On black (True) or on white (False); None follows the page.

        Raises:
            InputError: ``n`` is no count.
        """
        rows = self.n_shown if n is None else min(check_int(n, "n", "a figure"), self.n_shown)
        return order_figure(self, rows, dark=dark)

    def __repr__(self) -> str:
        first = "first none" if not len(self.features) else f"first {self.feature_names[0]!r}"
        return f"FeatureOrder({self.class_name!r}: {first}; {self.said()})"


def feature_order(
    path: RegularizationPath,
    class_index: int | str,
    *interpretations: Result,
    n_features: int = 20,
    n_prototypes: int = 2,
) -> FeatureOrder:
    """Order the features of a class by when they enter along the path, with what each stands for.

    Call it with the path alone to learn which features are meant (``.features``), and again with what was
    found out about them::

        order = sdw.feature_order(path, "mushroom")
        prototypes = sdw.find_prototypes(features, data, features=order.features[:20])
        sdw.feature_order(path, "mushroom", prototypes).plot()

    Args:
        path: The path.
        class_index: Number or name of the class.
        *interpretations: ``Prototypes`` with their pictures or sentences, ``ImageExplanations``,
            ``Visualizations``, ``TextExplanations`` or ``WordClouds``, in the order of their columns.
            Features that they do not hold stay without.
        n_features: How many features are shown with what they stand for.
        n_prototypes: Pictures of each feature's prototypes.

    Returns:
        The order of all features that enter; those that never do are named.

    Raises:
        InputError: No path, no such class, or interpretations of other features.

    References:
        Wong, Santurkar, Madry, "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021,
        section A.3; ``docs/methods/interpretation.md``.
    """
    started = time.perf_counter()
    if not isinstance(path, RegularizationPath):
        reject("path", _WHAT, "be a RegularizationPath", type(path).__name__)
    check_int(n_features, "n_features", _WHAT)
    check_int(n_prototypes, "n_prototypes", _WHAT)
    weights, entered = path.class_path(class_index), path.feature_order(class_index)
    inside = np.flatnonzero(entered < path.n_lambdas)
    at_entry = np.abs(weights[entered[inside], inside])
    order = inside[np.lexsort((inside, -at_entry, entered[inside]))]
    gallery = gather(interpretations, order[:n_features], path.n_features, n_prototypes)
    never = np.flatnonzero(entered == path.n_lambdas)
    names = path.feature_names
    fingerprints = [one.provenance.fingerprint for one in interpretations]
    return FeatureOrder(
        provenance=Provenance(
            method="feature_order",
            params={"n_features": n_features, "n_prototypes": n_prototypes},
            seconds=time.perf_counter() - started,
            fingerprint=combine(path.provenance.fingerprint, *fingerprints),
        ),
        class_name=path.class_names[path.class_number(class_index)],
        family=path.family,
        lambdas=path.lambdas,
        accuracies=path.accuracies,
        features=order,
        feature_names=tuple(names[j] for j in order),
        entered=entered[order],
        weights=weights[:, order],
        n_shown=min(n_features, len(order)),
        never=never,
        never_names=tuple(names[j] for j in never),
        constant=~np.asarray(path.alive[never], bool),
        entry_ranges=None if path.weight_bounds is None else path.entry_range(class_index)[:, order],
        **gallery._asdict(),
    )
