"""``TextExplanations``: which words of sentences move which features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_int
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.interpret.deep.units import place_of
from sparse_debug_widgets.interpret.lime.surrogate import POOR_R2

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TextExplanations(Result):
    """Linear surrogates of F features on the words of S sentences, W words in all.

    Attributes:
        sentences: S texts; untrusted.
        rows: (S,) numbers to know the sentences by.
        words: W words, sentence after sentence, each once per sentence in order of appearance.
        starts: (S + 1,) where the words of a sentence begin.
        weights: (W, F) effect of keeping the word, in standard deviations of the feature.
        intercepts: (S, F) what the surrogate says of the sentence without words.
        activations: (S, F) standardised activation on the whole sentence.
        r2: (S, F) weighted share of variance explained, as ``lime`` reports it; NaN where nothing varied.
        r2_left_out: (S, F) the same with each sample left out of its own fit.
        stability: (S, F) mean cosine of the weights over seeds; NaN for one seed.
        features: (F,) numbers of the features.
        feature_names: F names.
    """

    kind: ClassVar[str] = "text_explanations"
    arrays: ClassVar[Mapping[str, str]] = {
        "sentences": "S names",
        "rows": "S int",
        "words": "W names",
        "starts": "S+1 index sorted",
        "weights": "W F float",
        "intercepts": "S F float",
        "activations": "S F float",
        "r2": "S F float",
        "r2_left_out": "S F float",
        "stability": "S F float",
        "features": "F index",
        "feature_names": "F names",
    }

    sentences: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    words: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    weights: Array
    intercepts: Array
    activations: Array
    r2: Array
    r2_left_out: Array
    stability: Array
    features: npt.NDArray[np.int64]
    feature_names: tuple[str, ...]

    @property
    def poor(self) -> npt.NDArray[np.bool_]:
        """(S, F) which surrogates explain less than half of the variance: not to be trusted."""
        return np.asarray(~(self.r2_left_out >= POOR_R2))

    def place(self, feature: object) -> int:
        """Column of a feature by its name or number.

        Args:
            feature: Its number in the model, or its name.

        Raises:
            InputError: It is not among those explained.
        """
        return place_of(feature, self.features, self.feature_names, "an explanation")

    def words_of(self, index: int) -> tuple[str, ...]:
        """The words of one sentence.

        Args:
            index: Position of the sentence.
        """
        return self.words[self.starts[index] : self.starts[index + 1]]

    def weights_of(self, index: int) -> Array:
        """(d, F) weights of the words of one sentence.

        Args:
            index: Position of the sentence.
        """
        return np.asarray(self.weights[self.starts[index] : self.starts[index + 1]])

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if self.starts[0] != 0 or self.starts[-1] != len(self.words):
            yield f"starts that do not end at the {len(self.words)} words"

    def to_frame(self) -> pd.DataFrame:
        """One row per sentence, word and feature."""
        import pandas as pd

        lengths = np.diff(self.starts)
        sentence = np.repeat(np.arange(len(self.sentences)), lengths)
        n_features = len(self.feature_names)

        def each(values: Array) -> Array:
            return np.asarray(values[sentence].ravel())

        return pd.DataFrame(
            {
                "row": np.repeat(self.rows[sentence], n_features),
                "word": np.repeat(np.array(self.words, object), n_features),
                "feature": np.tile(np.array(self.feature_names, object), len(self.words)),
                "weight": self.weights.ravel(),
                "activation": each(self.activations),
                "r2_left_out": each(self.r2_left_out),
                "poor": each(self.poor),
            }
        )

    def plot(self, index: int = 0, feature: object = None, n_words: int = 15) -> go.Figure:
        """The heaviest words of one sentence for one feature, as signed bars.

        Args:
            index: Place of the sentence.
            feature: Name or number; None for the first.
            n_words: How many bars.

        Raises:
            InputError: No such sentence or feature.
        """
        i = check_int(index, "index", "a figure", low=0, high=len(self.sentences) - 1)
        column = 0 if feature is None else self.place(feature)
        weights, words = self.weights_of(i)[:, column], self.words_of(i)
        shown = np.argsort(-np.abs(weights), kind="stable")[: check_int(n_words, "n_words", "a figure")]
        r2 = self.r2_left_out[i, column]
        told = f"R² {r2:.2f}{', poor' if self.poor[i, column] else ''}" if np.isfinite(r2) else "constant"
        title = f"{self.feature_names[column]} ({told}): {self.sentences[i]}"
        x_title = "effect of the word, standard deviations"
        return figures.bars([words[k] for k in shown], weights[shown], title=title, x_title=x_title)

    def __repr__(self) -> str:
        share = f"{self.poor.mean():.0%}" if self.poor.size else "none"
        return (
            f"TextExplanations({len(self.sentences)} sentences, {len(self.words)} words, "
            f"{len(self.feature_names)} features, {share} poor)"
        )
