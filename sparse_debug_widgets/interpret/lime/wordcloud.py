"""``word_clouds``: what a feature of a text model listens to, over many sentences (the paper's Algorithm 2).

The weight of a word is the mean of its LIME weights over *all* sentences that contain it, or, as the
algorithm is printed, over all its occurrences. (The paper's public code averages over the sentences in which
the word was among LIME's ten heaviest, which makes rare words with one lucky sentence look strong; a minimum
count is the honest cure.) The sentences are a corpus: those that activate a feature most would have been
chosen by the feature itself.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, check_int, check_real, refuse
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.interpret.deep.units import place_of
from sparse_debug_widgets.interpret.lime.text_explanations import TextExplanations
from sparse_debug_widgets.interpret.lime.words import pieces_of

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
Sign = Literal["positive", "negative"]
SIGNS = ("positive", "negative")
COUNTS = ("sentences", "occurrences")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WordClouds(Result):
    """Mean LIME weights of V words for F features.

    Attributes:
        words: V words, most frequent first; untrusted.
        counts: (V,) number of sentences that contain the word.
        means: (V, F) mean weight over these sentences or over the word's occurrences in them, in standard
            deviations of the feature.
        low: (V, F) lower end of the confidence interval of the mean (Student's t over sentences); NaN for
            words of a single sentence.
        high: (V, F) upper end.
        features: (F,) numbers of the features.
        feature_names: F names.
        n_sentences: Number of sentences.
        top: Words in a cloud.
        seed: Of the layout of the pictures.
    """

    kind: ClassVar[str] = "word_clouds"
    arrays: ClassVar[Mapping[str, str]] = {
        "words": "V names",
        "counts": "V index",
        "means": "V F float",
        "low": "V F float",
        "high": "V F float",
        "features": "F index",
        "feature_names": "F names",
    }

    words: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    means: Array
    low: Array
    high: Array
    features: npt.NDArray[np.int64]
    feature_names: tuple[str, ...]
    n_sentences: int
    top: int
    seed: int

    def place(self, feature: object) -> int:
        """Column of a feature by its name or number.

        Args:
            feature: Its number in the model, or its name.

        Raises:
            InputError: It is not among them.
        """
        return place_of(feature, self.features, self.feature_names, "word clouds")

    def cloud(self, feature: object, sign: Sign = "positive") -> tuple[tuple[str, float], ...]:
        """The words of one cloud with their mean weights, strongest first, at most `top`.

        Args:
            feature: Name or number.
            sign: "positive" for words that raise the feature, "negative" for those that lower it.

        Returns:
            Pairs; none where no word has that sign.

        Raises:
            InputError: No such feature or sign.
        """
        return tuple(
            (self.words[k], float(self.means[k, self.place(feature)])) for k in self._rows(feature, sign)
        )

    def _rows(self, feature: object, sign: str) -> list[int]:
        check_choice(sign, SIGNS, "sign", "a word cloud")
        means = self.means[:, self.place(feature)] * (1 if sign == "positive" else -1)
        order = np.argsort(-means, kind="stable")[: self.top]
        # What rounding leaves of no effect at all is no word of a cloud.
        least = 1e-9 * max(1.0, float(np.abs(self.means).max(initial=0.0)))
        return [int(k) for k in order if means[k] > least]

    def table(self, feature: object) -> pd.DataFrame:
        """The table behind both clouds of a feature: word, cloud, mean weight, interval, sentences.

        Args:
            feature: Its number in the model, or its name.
        """
        import pandas as pd

        column = self.place(feature)
        rows = [(k, sign) for sign in SIGNS for k in self._rows(feature, sign)]
        chosen = [k for k, _ in rows]
        return pd.DataFrame(
            {
                "word": [self.words[k] for k in chosen],
                "cloud": [sign for _, sign in rows],
                "weight": self.means[chosen, column],
                "low": self.low[chosen, column],
                "high": self.high[chosen, column],
                "sentences": self.counts[chosen],
            }
        )

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if self.top < 1:
            yield f"clouds of {self.top} words"

    def to_frame(self) -> pd.DataFrame:
        """The tables of all features under each other."""
        import pandas as pd

        tables = [self.table(int(j)).assign(feature=name) for j, name in self._named()]
        return pd.concat(tables, ignore_index=True)

    def _named(self) -> list[tuple[int, str]]:
        return list(zip(self.features.tolist(), self.feature_names, strict=True))

    def picture(
        self,
        feature: object,
        sign: Sign = "positive",
        *,
        size: tuple[int, int] = (400, 240),
        dark: bool = False,
        font: str | os.PathLike[str] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """The cloud as pixels, drawn by the ``wordcloud`` package; the same each time.

        Args:
            feature: Name or number.
            sign: "positive" (orange) or "negative" (blue).
            size: Width and height in pixels.
            dark: On black instead of white.
            font: A font file. The package's own has Latin letters only, and writes boxes for emoji, Arabic,
                Hebrew or Chinese; letters are not joined or turned for scripts that want it.

        Returns:
            (H, W, 3); blank where no word has that sign.
        """
        ground = np.full(3, 17 if dark else 255, np.float64)
        drawn = self._drawn(feature, sign, size, dark=dark, font=font).astype(np.float64)
        ink = drawn[..., 3:] / 255
        return np.rint(ink * drawn[..., :3] + (1 - ink) * ground).astype(np.uint8)

    def _drawn(
        self,
        feature: object,
        sign: Sign,
        size: tuple[int, int],
        *,
        dark: bool | None,
        font: str | os.PathLike[str] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """(H, W, 4): the words, and how much of each pixel they cover; None is for a ground of any colour."""
        words = self.cloud(feature, sign)
        width, height = (check_int(n, "size", "a picture", low=16) for n in size)
        if not words:
            return np.zeros((height, width, 4), np.uint8)
        from wordcloud import WordCloud

        shades = _SHADES[sign, dark]
        largest = max(abs(weight) for _, weight in words)
        strength = {word: abs(weight) / largest for word, weight in words}

        def colour(word: str, **_: object) -> str:
            return shades[0] if strength[word] > 0.5 else shades[1]

        drawing = WordCloud(
            width=width,
            height=height,
            mode="RGBA",
            background_color=None,
            color_func=colour,
            font_path=None if font is None else os.fspath(font),
            max_words=self.top,
            prefer_horizontal=1.0,
            random_state=self.seed,
            relative_scaling=0.5,
        )
        return np.asarray(drawing.generate_from_frequencies(strength).to_array(), np.uint8)

    def plot(self, feature: object = None, *, dark: bool | None = None) -> go.Figure:
        """Both clouds of a feature, beside each other.

        Args:
            feature: Name or number; None for the first.
            dark: On black (True) or on white (False); None follows the page.

        Raises:
            InputError: No such feature.
        """
        chosen: object = self.feature_names[0] if feature is None else feature
        name = self.feature_names[self.place(chosen)]
        pictures = [
            self._drawn(chosen, sign, _WIDE, dark=dark) / np.float64(255) for sign in ("positive", "negative")
        ]
        title = f"{name}: words that raise it, words that lower it ({self.n_sentences} sentences)"
        figure = figures.images(pictures, ["raise it", "lower it"], title=title, n_columns=2)
        figures.themed(figure, title=title, dark=dark)
        # As high as wide pictures are in half of an ordinary cell: they fill its width.
        return figure.update_layout(height=320, margin={"l": 10, "r": 10, "t": 70, "b": 10})

    def __repr__(self) -> str:
        return (
            f"WordClouds({len(self.feature_names)} features, {len(self.words)} words, "
            f"{self.n_sentences} sentences)"
        )


_WIDE = (720, 360)
_SHADES: dict[tuple[str, bool | None], tuple[str, str]] = {
    ("positive", None): ("#C8641A", "#C8641A"),
    ("negative", None): ("#2B83BD", "#2B83BD"),
    ("positive", False): ("#853900", figures.RAISES),
    ("negative", False): ("#004A75", figures.LOWERS),
    ("positive", True): ("#FFC79C", figures.RAISES_DARK),
    ("negative", True): ("#A6DBF7", figures.LOWERS_DARK),
}
"""Heavy words, lighter words; all of them legible on their ground, those for None on white and on black."""


def word_clouds(
    explanations: TextExplanations,
    *,
    min_count: int = 1,
    top: int = 30,
    fold_case: bool = False,
    count: str = "sentences",
    confidence: float = 0.95,
    seed: int = 0,
) -> WordClouds:
    """Average the weights of words over all sentences that contain them (Algorithm 2 of the paper).

    Args:
        explanations: Of :func:`~sparse_debug_widgets.interpret.lime.lime_text.lime_text`, best on sentences
            that the model was not trained on; poor surrogates count like any other.
        min_count: Words of fewer sentences are left out; the paper leaves none out.
        top: Words in a cloud.
        fold_case: Count "The" and "the" as one word, as models do that read lower case. A sentence that has
            both enters once, with the sum of their weights; of occurrences each keeps its own.
        count: What a mean is taken over: "sentences", each once, or "occurrences", as the algorithm is
            printed, where a sentence weighs as much as it has the word. LIME has one weight for all
            occurrences in a sentence, so the two differ only where words are repeated within sentences.
        confidence: Of the intervals.
        seed: Of the layout of the pictures.

    Returns:
        The clouds of all explained features.

    Raises:
        InputError: No word is left, or parameters are out of range.

    References:
        Wong, Santurkar, Madry, "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021,
        Algorithm 2; ``docs/methods/interpretation.md``.
    """
    started = time.perf_counter()
    check_int(min_count, "min_count", "word clouds")
    check_int(top, "top", "word clouds")
    level = check_real(confidence, "confidence", "an interval", low=0, high=1, open_low=True, open_high=True)
    check_choice(count, COUNTS, "count", "word clouds")
    words = [word.lower() for word in explanations.words] if fold_case else list(explanations.words)
    names, where = np.unique(np.array([*words, ""], object), return_inverse=True)
    entries = _entries(explanations, where[:-1], once=count == "sentences")
    counts = entries.sentences(len(names))
    kept = np.flatnonzero(counts >= min_count)
    if not len(kept):
        refuse(
            f"No word occurs in as many as {min_count} sentences ({len(set(words))} words in all). "
            "Lower min_count= or explain more sentences."
        )
    kept = kept[np.lexsort((names[kept], -counts[kept]))]
    means, low, high = _averages(entries, len(names), level)
    return WordClouds(
        provenance=Provenance(
            method="word_clouds",
            params={
                "min_count": min_count,
                "top": top,
                "fold_case": fold_case,
                "count": count,
                "confidence": level,
            },
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=explanations.provenance.fingerprint,
        ),
        words=tuple(str(names[k]) for k in kept),
        counts=counts[kept].astype(np.int64),
        means=means[kept],
        low=low[kept],
        high=high[kept],
        features=np.asarray(explanations.features),
        feature_names=explanations.feature_names,
        n_sentences=len(explanations.sentences),
        top=top,
        seed=seed,
    )


class _Entries(NamedTuple):
    """LIME's weights, an entry for each that a mean is taken of.

    Attributes:
        weights: (E, F).
        words: (E,) numbers of words.
        sentence: (E,) numbers of sentences.
        times: (E,) how much each counts.
    """

    weights: Array
    words: Array
    sentence: Array
    times: Array

    def sentences(self, n_words: int) -> Array:
        """(V,) in how many sentences each word occurs."""
        pairs = np.unique(np.stack([self.sentence, self.words], 1), axis=0)
        return np.bincount(pairs[:, 1], minlength=n_words)


def _entries(explanations: TextExplanations, where: Array, *, once: bool) -> _Entries:
    """The entries of each sentence: words that are one by case are joined, or each has its occurrences."""
    sentence = np.repeat(np.arange(len(explanations.sentences)), np.diff(explanations.starts))
    weights = np.asarray(explanations.weights)
    if not once:
        times = [
            found.get(word, 1)
            for i, text in enumerate(explanations.sentences)
            for found in [Counter(piece for piece, word in pieces_of(text) if word)]
            for word in explanations.words_of(i)
        ]
        return _Entries(weights, where, sentence, np.array(times, np.int64))
    pairs = np.stack([sentence, where], 1)
    distinct, entry = np.unique(pairs, axis=0, return_inverse=True)
    if len(distinct) < len(pairs):
        together = sparse.csr_matrix(
            (np.ones(len(pairs)), (entry.ravel(), np.arange(len(pairs)))), (len(distinct), len(pairs))
        )
        weights, sentence, where = np.asarray(together @ weights), distinct[:, 0], distinct[:, 1]
    return _Entries(weights, where, sentence, np.ones(len(where), np.int64))


def _averages(entries: _Entries, n_words: int, level: float) -> tuple[Array, Array, Array]:
    """Means (V, F) of each word, and both ends of their intervals.

    Sentences are what was drawn: the spread of a mean is that of the sentences' parts in it.
    """
    weights, where, sentence, times = entries
    size = np.maximum(np.bincount(where, weights=times, minlength=n_words), 1)[:, None]

    def summed(rows: Array, columns: Array, count: int, values: Array) -> Array:
        table = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (count, len(columns)))
        return np.asarray(table @ values)

    order = np.arange(len(where))
    means = summed(where, order, n_words, weights * times[:, None]) / size
    # What each sentence adds to a word's mean, above its share of it.
    parts = (weights - means[where]) * times[:, None] / size[where]
    pairs, entry = np.unique(np.stack([sentence, where], 1), axis=0, return_inverse=True)
    joined = summed(entry.ravel(), order, len(pairs), parts)
    squares = summed(pairs[:, 1], np.arange(len(pairs)), n_words, joined**2)
    n = np.maximum(np.bincount(pairs[:, 1], minlength=n_words), 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(squares * n / (n - 1))
        reach = np.where(n > 1, stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * error, np.nan)
    return means, means - reach, means + reach
