"""The layers that analyses compare: the sparse one, the network's own, and the dense end of the path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_choice, refuse, reject
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.labels import SPLIT_NAMES
from sparse_debug_widgets.sparse.features.origin import check_model_of
from sparse_debug_widgets.sparse.features.standardize import standardize
from sparse_debug_widgets.sparse.layer.naming import position, several
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
LAYERS = ("sparse", "dense", "refit")
"""The sparse layer of a path, the network's own layer, and the dense end of the path (what the paper's code
calls dense)."""


class HeldOutWarning(UserWarning):
    """Training rows are examined, because no others are there."""


@dataclass(frozen=True, eq=False)
class ClassLayer:
    """A linear decision layer with one row of weights per class, in standardised units.

    Attributes:
        name: One of LAYERS.
        weights: (C, p) float64. Of two classes that share one row, class 0 has its negative.
        intercepts: (C,).
        shared: Two classes share one row: their scores are -z and z.
    """

    name: str
    weights: Float64
    intercepts: Float64
    shared: bool = False

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.intercepts)

    def scores(self, z: Array) -> Float64:
        """Scores (n, C) of standardised features (n, p)."""
        return np.asarray(np.asarray(z, np.float64) @ self.weights.T + self.intercepts)

    def predictions(self, z: Array) -> npt.NDArray[np.int64]:
        """Predicted classes (n,) of standardised features (n, p)."""
        return np.asarray(self.scores(z).argmax(1), np.int64)

    def probabilities(self, z: Array) -> Float64:
        """Probabilities (n, C) of standardised features (n, p)."""
        # The two rows of a shared one are z and -z: half of each is a softmax's.
        logits = self.scores(z) * (0.5 if self.shared else 1.0)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(shares / shares.sum(1, keepdims=True))

    def without(self, features: object) -> ClassLayer:
        """The layer with some features silenced: held at their mean, for all classes.

        Args:
            features: Their numbers.
        """
        weights = self.weights.copy()
        weights[:, np.asarray(features, np.int64)] = 0.0
        return replace(self, weights=weights)


def class_layer(path: RegularizationPath, name: str = "sparse", index: int | None = None) -> ClassLayer:
    """One of the layers, with a row per class.

    Args:
        path: The path.
        name: "sparse", "dense" or "refit".
        index: Index of the sparse layer; None for the one that the 5-point rule selects.

    Raises:
        InputError: No such layer or index, a path of numbers, or a path that knows no layer of the network.
    """
    check_choice(name, LAYERS, "layer", "an analysis")
    check_path(path)
    family = path.labels_are
    if family.numbers:
        refuse(
            f"This analysis is about classes, and the path predicts {path.labels_are.many} (numbers). "
            "For such a path look at contributions and at feature_order."
        )
    if name == "dense":
        if path.dense_weight is None or path.dense_bias is None:
            refuse(
                "The path does not know the network's own decision layer. Fit it to features of a model "
                "(extract_features), or leave the layer 'dense' out."
            )
        rows, intercepts = np.asarray(path.dense_weight), np.asarray(path.dense_bias)
    else:
        k = (
            path.n_lambdas - 1
            if name == "refit"
            else path.select(index=index)
            if index is not None
            else path.select()
        )
        rows, intercepts = path.weights_at(k), path.intercepts_at(k)
    shared = len(intercepts) == 1 and path.n_classes == 2
    if shared:
        rows, intercepts = np.concatenate([-rows, rows]), np.concatenate([-intercepts, intercepts])
    elif family.single_row and len(intercepts) == 2:
        # The network has two logits where the fit has one row: their difference, with either sign.
        shared, rows, intercepts = True, rows - rows[::-1], intercepts - intercepts[::-1]
    return ClassLayer(name, np.asarray(rows, np.float64), np.asarray(intercepts, np.float64), shared)


def check_path(path: object) -> None:
    """Refuse what is no path.

    Raises:
        InputError: Something else.
    """
    if not isinstance(path, RegularizationPath):
        must = "be a RegularizationPath, as elastic_net_path returns it"
        reject("path", "an analysis", must, type(path).__name__)


def class_layers(
    path: RegularizationPath, index: int | None = None, names: Iterable[str] | None = None
) -> dict[str, ClassLayer]:
    """Several layers by name.

    Args:
        path: The path.
        index: Index of the sparse layer; None for the one that the 5-point rule selects.
        names: Some of LAYERS; None for all that the path knows.

    Raises:
        InputError: As for :func:`class_layer`.
    """
    check_path(path)
    if names is None:
        names = [name for name in LAYERS if name != "dense" or path.dense_weight is not None]
    return {name: class_layer(path, name, index) for name in names}


def feature_numbers(path: RegularizationPath, features: object) -> tuple[int, ...]:
    """Numbers of features that are given by number or name, each once.

    Raises:
        InputError: An unknown feature.
    """
    found = [position(one, path.feature_names, "feature", "this path") for one in several(features)]
    return tuple(dict.fromkeys(found))


class Examined(NamedTuple):
    """The rows that an analysis looks at.

    Attributes:
        z: (n, p) float32, standardised as the path has it; features without spread are 0.
        labels: (n,) classes.
        rows: (n,) row numbers in the features.
        split: "train", "validation" or "test"; "" for all rows or chosen ones.
    """

    z: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    split: str


def examined_rows(
    path: RegularizationPath,
    features: object,
    split: str | None = None,
    what: str = "this analysis",
    *,
    rows: Sequence[int] | None = None,
) -> Examined:
    """Standardised features and labels of some rows, held-out ones by default.

    Args:
        path: The path.
        features: The :class:`DeepFeatures` that it was fitted to, or others of the same model.
        split: "train", "validation", "test", or "all". None: test rows, or validation rows where there are
            none of these, or training rows with a warning.
        what: Name of the analysis, for messages.
        rows: These very rows instead.

    Raises:
        InputError: Features of another model, no labels that are classes, or no such rows.
    """
    if not isinstance(features, DeepFeatures):
        must = "be DeepFeatures, as extract_features returns them"
        reject("features", what, must, type(features).__name__)
    check_model_of(path, features, what)
    if features.labels.dtype.kind == "f":
        refuse(f"{what} is about classes, and the labels of these features are numbers.")
    chosen, name = _rows(features, split, what) if rows is None else (_given(features, rows), "")
    z = standardize(
        features.values,
        np.asarray(path.mean),
        np.asarray(path.scale),
        rows=chosen,
        columns=np.ones(features.p, bool),
    )
    z[:, ~np.asarray(path.alive)] = 0.0
    return Examined(z, features.labels[chosen].astype(np.int64), np.flatnonzero(chosen), name)


def _rows(features: DeepFeatures, split: str | None, what: str) -> tuple[npt.NDArray[np.bool_], str]:
    if split == "all":
        return features.rows(), ""
    if split is not None:
        chosen = features.rows(split)
        if not chosen.any():
            refuse(f"These features have no {split} rows. Pass split='all', or extract them with test=.")
        return chosen, split
    for name in reversed(SPLIT_NAMES):
        chosen = features.rows(name)
        if chosen.any():
            if name == SPLIT_NAMES[0]:
                notice(
                    f"{what} looks at training rows, because no others are there: rates are too good. "
                    "Extract features with test=, or with validation > 0.",
                    HeldOutWarning,
                )
            return chosen, name
    return refuse("There are no rows in these features.")


def _given(features: DeepFeatures, rows: Sequence[int]) -> npt.NDArray[np.bool_]:
    numbers = np.asarray(rows)
    fits = numbers.ndim == 1 and numbers.dtype.kind in "iu" and len(numbers)
    if not fits or numbers.min() < 0 or numbers.max() >= features.n:
        reject("rows", "the features", f"be row numbers in 0 ... {features.n - 1}", rows)
    chosen = np.zeros(features.n, bool)
    chosen[numbers] = True
    return chosen
