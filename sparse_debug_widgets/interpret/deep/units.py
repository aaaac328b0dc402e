"""The features that are meant, and their units: standardised, as the sparse decision layer sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.layer.naming import position, several
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class FeatureUnits:
    """Moments and names of p deep features.

    Attributes:
        layer: Name of the decision layer whose inputs they are; "" where it is to be found.
        mean: (p,) over the training split.
        scale: (p,) population standard deviation; 1 for dead features.
        alive: (p,) bool, False for features that were constant there.
        names: p names.
        path: The path they belong to: where no features are named, those of its selected layer are meant.
        fingerprint: Of the features, or of the path.
    """

    layer: str
    mean: Array
    scale: Array
    alive: Array
    names: tuple[str, ...]
    path: RegularizationPath | None = None
    fingerprint: str = ""

    @property
    def p(self) -> int:
        """Number of features, dead ones included."""
        return len(self.names)

    def indices(self, wanted: object = None) -> npt.NDArray[np.int64]:
        """Feature numbers (F,) for names, numbers, several of them, or None for all that vary or are used.

        Raises:
            InputError: Unknown or repeated features, or none at all.
        """
        if wanted is None:
            found = np.flatnonzero(self.alive if self.path is None else _used(self.path))
        else:
            given = several(wanted.tolist() if isinstance(wanted, np.ndarray) else wanted)
            found = np.array([position(one, self.names, "feature") for one in given], np.int64)
        if len(found) == 0 or len(np.unique(found)) != len(found):
            refuse(f"Name each feature once, and at least one; features= has {found.tolist()[:20]}.")
        return found

    def standardize(self, raw: Array, columns: Array) -> npt.NDArray[np.float64]:
        """Raw activations (..., F) of some features in standardised units, float64."""
        return np.asarray((np.asarray(raw, np.float64) - self.mean[columns]) / self.scale[columns])


def _used(path: RegularizationPath) -> npt.NDArray[np.bool_]:
    return np.asarray((path.weights_at(path.select()) != 0).any(0))


def place_of(feature: object, features: Array, names: tuple[str, ...], what: str) -> int:
    """Position of a feature among those that a result holds.

    Args:
        feature: Its number in the model, or its name.
        features: (F,) numbers of those there are.
        names: F names.
        what: What it is looked up in, for the error.

    Raises:
        InputError: It is not among them, or its name is that of several.
    """
    if isinstance(feature, str):
        return position(feature, names, "feature")
    whole = isinstance(feature, int | np.integer) and not isinstance(feature, bool)
    found = np.flatnonzero(features == feature) if whole else np.zeros(0, np.int64)
    if not len(found):
        reject("feature", what, f"be a name or one of {features[:20].tolist()}", feature)
    return int(found[0])


def units_of(source: object) -> FeatureUnits:
    """Units of deep features, or of a path: then the features that the layer chosen by default uses.

    Raises:
        InputError: Neither of the two.
    """
    if not isinstance(source, DeepFeatures | RegularizationPath):
        must = "be DeepFeatures or a RegularizationPath, which know mean and scale of each feature"
        reject("the source of the features", "their interpretation", must, type(source).__name__)
    return FeatureUnits(
        layer=source.layer,
        mean=np.asarray(source.mean, np.float64),
        scale=np.asarray(source.scale, np.float64),
        alive=np.asarray(source.alive, bool),
        names=source.feature_names,
        path=source if isinstance(source, RegularizationPath) else None,
        fingerprint=source.provenance.fingerprint,
    )
