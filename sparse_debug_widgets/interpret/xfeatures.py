"""``x_features``: a few concepts that explain one class, with a heat map of each on a gallery of pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_int, reject
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.interpret.xfeatures_figure import xfeature_figure

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_WHAT = "x-features"
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class XFeatures(Result):
    """The x-features of one class (thesis, chapter 3): what they are worth and where they look.

    The model's score of the class is mimicked by ``sum_i v_i E_i + bias``; ``v_i E_i`` is what x-feature i
    contributes on a picture. k pictures, n x-features.

    Attributes:
        images: (k, channels, H, W) float32, the gallery.
        labels: (k,) int64, true class of each picture; -1 where the data have none.
        predictions: (k,) int64, the class with the model's largest score.
        class_index: The class that is explained.
        class_names: C names.
        layer: The layer that the explanation network reads; the decision layer stands for what enters it.
        method: "srae", "nn", "sae", "cae" or "lasso".
        activations: (k, n) float32, E_i of each picture.
        weights: (n,) float64, v_i of eq. 3.6.
        bias: Of the linear read-out.
        scores: (k,) float64, the model's own score (logit) of the class.
        reconstructed: (k,) float64, ``sum_i v_i E_i + bias``.
        maps: (k, n, h, w) float32, excitation backprop from each x-feature; >= 0 unless contrastive. All 0
            where the x-feature is not active on the picture.
        baseline: (k, h, w) float32, excitation backprop from the class score itself (the 1-heatmap).
        mass: (k, n) float32, share of the excitation that arrived in the map.
        names: n names of concepts.
        fidelity: "F_reg" (mean absolute error in logits), "F_cls" (share of the decisions that stay when the
            class's logit is replaced) and "R2", each with "_train" and "_test".
    """

    kind: ClassVar[str] = "x_features"

    images: Array
    labels: Array
    predictions: Array
    class_index: int
    class_names: tuple[str, ...]
    layer: str
    method: str
    activations: Array
    weights: Array
    bias: float
    scores: Array
    reconstructed: Array
    maps: Array
    baseline: Array
    mass: Array
    names: tuple[str, ...]
    fidelity: Mapping[str, float]

    def __post_init__(self) -> None:
        """Freeze the arrays, and see that their shapes go together."""
        super().__post_init__()
        k, n = len(self.images), len(self.weights)
        wanted: dict[str, tuple[int, ...]] = {
            "labels": (k,),
            "predictions": (k,),
            "activations": (k, n),
            "scores": (k,),
            "reconstructed": (k,),
            "maps": (k, n, *self.maps.shape[2:]),
            "baseline": (k, *self.maps.shape[2:]),
            "mass": (k, n),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                reject(name, _WHAT, f"have shape {shape}", f"shape {getattr(self, name).shape}")
        if self.images.ndim != 4 or self.maps.ndim != 4 or len(self.names) != n:
            must = f"have pictures (k, channels, H, W), maps (k, n, h, w) and {n} names"
            got = f"pictures {self.images.shape}, maps {self.maps.shape} and {len(self.names)} names"
            reject("a result", _WHAT, must, got)

    @property
    def n(self) -> int:
        """Number of x-features."""
        return len(self.weights)

    @property
    def contributions(self) -> npt.NDArray[np.float64]:
        """(k, n) what each x-feature adds to the score of each picture, v_i E_i, in logits."""
        return np.asarray(self.activations * self.weights, np.float64)

    def renamed(self, index: int, name: str) -> Self:
        """The same result with another name for one concept; names are kept by ``save``.

        Args:
            index: Number of the x-feature, from 0.
            name: What a person calls it.

        Raises:
            InputError: No such x-feature, or a name that is empty or longer than 200 characters.
        """
        place = check_int(index, "index", f"{self.n} x-features", low=0, high=self.n - 1)
        text = " ".join(str(name).split())
        if not 0 < len(text) <= _LONGEST_NAME:
            reject("name", "a concept", f"be a text of 1 to {_LONGEST_NAME} characters", name)
        names = (*self.names[:place], text, *self.names[place + 1 :])
        return dataclasses.replace(self, names=names)

    def to_frame(self) -> pd.DataFrame:
        """One row per picture and x-feature: classes, score, activation, contribution, mass."""
        import pandas as pd

        k, n = self.activations.shape
        rows = np.repeat(np.arange(k), n)
        return pd.DataFrame(
            {
                "image": rows,
                "label": self.labels[rows],
                "prediction": self.predictions[rows],
                "score": self.scores[rows],
                "reconstructed": self.reconstructed[rows],
                "x_feature": np.tile(np.arange(n), k),
                "name": np.tile(np.array(self.names, object), k),
                "weight": np.tile(self.weights, k),
                "activation": self.activations.ravel(),
                "contribution": self.contributions.ravel(),
                "mass": self.mass.ravel(),
            }
        )

    def plot(self, image: int = 0) -> go.Figure:
        """One picture, its 1-heatmap, and the map of each x-feature under its contribution, largest first.

        Args:
            image: Number of the picture in the gallery.

        Raises:
            InputError: No such picture.
        """
        check_int(image, "image", "this gallery", low=0, high=len(self.images) - 1)
        return xfeature_figure(self, image)
