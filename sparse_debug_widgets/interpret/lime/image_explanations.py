"""``ImageExplanations``: which parts of pictures move which features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_int, check_real, reject
from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.interpret.deep.examples import rgb_bytes
from sparse_debug_widgets.interpret.deep.units import place_of
from sparse_debug_widgets.interpret.lime.surrogate import POOR_R2

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_WHAT = "an explanation"
_NOISE = 1 / 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageExplanations(Result):
    """LIME's answer for B pictures and F features, standardised activations.

    Attributes:
        rows: (B,) rows of the data that the pictures are, or 0 ... B - 1.
        pictures: (B, channels, H, W) float32.
        segments: (B, H, W) int32, the part that each pixel belongs to.
        n_segments: (B,) number of parts of each picture.
        features: (F,) feature numbers.
        feature_names: F names.
        weights: (B, F, D) effect of showing a part instead of hiding it; 0 beyond a picture's parts.
        intercepts: (B, F) surrogate's answer with every part hidden.
        activations: (B, F) the feature's answer for the whole picture.
        predictions: (B, F) the surrogate's.
        r2: (B, F) share of variance explained, as ``lime`` reports it; NaN where the feature did not move.
        r2_left_out: (B, F) the same with each sample left out of the fit that predicts it.
        stability: (B, F) mean cosine between the weights of several seeds, NaN for one seed.
    """

    kind: ClassVar[str] = "image_explanations"
    arrays: ClassVar[Mapping[str, str]] = {
        "rows": "B int",
        "pictures": "B channels H W float",
        "segments": "B H W index",
        "n_segments": "B index",
        "features": "F index",
        "feature_names": "F names",
        "weights": "B F D float",
        "intercepts": "B F float",
        "activations": "B F float",
        "predictions": "B F float",
        "r2": "B F float",
        "r2_left_out": "B F float",
        "stability": "B F float",
    }

    rows: Array
    pictures: Array
    segments: Array
    n_segments: Array
    features: Array
    feature_names: tuple[str, ...]
    weights: Array
    intercepts: Array
    activations: Array
    predictions: Array
    r2: Array
    r2_left_out: Array
    stability: Array

    @property
    def poor(self) -> npt.NDArray[np.bool_]:
        """(B, F) where the surrogate explains less than half of the variance (left out): do not trust it."""
        return np.asarray(~(self.r2_left_out >= POOR_R2))

    def place(self, feature: int | str) -> int:
        """Position of a feature in the arrays, by its number in the model or by its name.

        Args:
            feature: Its number in the model, or its name.

        Raises:
            InputError: It is not among them.
        """
        return place_of(feature, self.features, self.feature_names, _WHAT)

    def heatmap(self, image: int, feature: int | str) -> npt.NDArray[np.float64]:
        """Weights (H, W), each on the pixels of its part.

        Args:
            image: Position of the picture, 0 ... B - 1.
            feature: Number or name.
        """
        return np.asarray(self.weights[image, self.place(feature)][self.segments[image]])

    def _rgb(self, image: int) -> npt.NDArray[np.uint8]:
        """One picture as colours (H, W, 3)."""
        one = self.pictures[image : image + 1]
        return np.asarray(rgb_bytes(one, box_from(self.provenance.params))[0])

    def mask(
        self, image: int, feature: int | str, *, n: int | None = None, share: float = 0.3, sign: int = 1
    ) -> npt.NDArray[np.bool_]:
        """The parts (H, W) that raise a feature most, or lower it.

        Args:
            image: Position of the picture.
            feature: Number or name.
            n: This many parts at most (the paper's code shows 3); None goes by ``share``.
            share: Parts with at least this share of the largest weight of that sign.
            sign: 1 for parts that raise the feature, -1 for those that lower it.

        Raises:
            InputError: Parameters out of range.
        """
        check_real(share, "share", "a mask of superpixels", low=0, high=1)
        if sign not in {1, -1}:
            reject("sign", "a mask of superpixels", "be 1 or -1", sign)
        effects = sign * self.weights[image, self.place(feature)]
        chosen = effects > 0
        if n is None:
            chosen &= effects >= share * effects.max()
        else:
            order = np.argsort(-effects, kind="stable")
            keep = np.zeros_like(chosen)
            keep[order[: check_int(n, "n", "a mask of superpixels")]] = True
            chosen &= keep
        return np.asarray(chosen[self.segments[image]])

    def overlay(self, image: int, feature: int | str) -> npt.NDArray[np.uint8]:
        """The picture (H, W, 3) in faded grey, parts that raise the feature in orange, that lower it in blue.

        The colour is the stronger the larger the weight, relative to the largest of this picture; weights
        below a twelfth of it, which are noise mostly, have none. Light and dark of the picture stay.

        Args:
            image: Position of the picture.
            feature: Its number in the model, or its name.

        Raises:
            InputError: No such feature.
        """
        heat = self.heatmap(image, feature)
        largest = float(np.abs(heat).max()) or 1.0
        share = np.abs(heat) / largest
        strength = (((share - _NOISE) / (1 - _NOISE)).clip(0) ** 0.6)[..., None]
        light = self._rgb(image).mean(2, keepdims=True) / 255
        colour = np.where(heat[..., None] < 0, _rgb(figures.LOWERS_DARK), _rgb(figures.RAISES_DARK))
        mixed = (1 - strength) * (90 + 110 * light) + strength * colour * (0.4 + 0.6 * light)
        return np.asarray(np.rint(mixed.clip(0, 255)), np.uint8)

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if self.n_segments.size and self.n_segments.max() > self.weights.shape[2]:
            yield f"pictures of more than {self.weights.shape[2]} parts"
        elif (self.segments.max((1, 2), initial=-1) >= self.n_segments).any():
            yield "segments beyond n_segments"

    def to_frame(self) -> pd.DataFrame:
        """One row per picture and feature: activation, prediction, the surrogate, largest effects."""
        import pandas as pd

        n_features, n_pictures = len(self.features), len(self.rows)
        return pd.DataFrame(
            {
                "row": np.repeat(self.rows, n_features),
                "feature": np.tile(self.features, n_pictures),
                "name": list(self.feature_names) * n_pictures,
                "activation": self.activations.ravel(),
                "prediction": self.predictions.ravel(),
                "r2": self.r2.ravel(),
                "r2_left_out": self.r2_left_out.ravel(),
                "poor": self.poor.ravel(),
                "stability": self.stability.ravel(),
                "largest_weight": self.weights.max(2).ravel(),
                "smallest_weight": self.weights.min(2).ravel(),
                "n_segments": np.repeat(self.n_segments, n_features),
            }
        )

    def plot(self, features: Iterable[int | str] | None = None, *, n: int = 4, k: int = 3) -> go.Figure:
        """For each feature the k pictures that activate it most, with their overlays.

        Args:
            features: Numbers or names; the first ``n`` by default.
            n: How many features are drawn at most.
            k: Pictures per feature.
        """
        places = range(len(self.features)) if features is None else [self.place(one) for one in features]
        pictures, captions = [], []
        for j in list(places)[:n]:
            for b in np.argsort(-self.activations[:, j], kind="stable")[:k]:
                pictures += [self._rgb(int(b)) / 255]
                pictures += [self.overlay(int(b), int(self.features[j])) / 255]
                quality = "poor fit" if self.poor[b, j] else f"R² {self.r2[b, j]:.2f}"
                captions += [f"row {self.rows[b]}: {self.activations[b, j]:.1f}", quality]
        names = ", ".join(self.feature_names[j] for j in list(places)[:n])
        return figures.images(
            pictures, captions, title=f"LIME: {names}", n_columns=2 * min(k, len(self.rows))
        )


def _rgb(colour: str) -> npt.NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float64)
