"""Bias probe: phrases that should not matter, put into sentences, and the answers that they change.

Section 4.1 and Table 4 of Wong, Santurkar and Madry (2021), with phrases in place of single words.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import nn

from sparse_debug_widgets.analysis.common.layers import class_layers
from sparse_debug_widgets.analysis.common.rates import Rate, mcnemar
from sparse_debug_widgets.analysis.common.reader import deep_reader
from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, refuse, reject, shorten
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.core.text import TruncatedTextWarning
from sparse_debug_widgets.interpret.lime.words import pieces_of
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.reading import tokenized
from sparse_debug_widgets.sparse.layer.outputs import as_classes
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Ints = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
POSITIONS = ("end", "start", "random")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BiasProbe(Result):
    """Flips by P phrases and by random words in L layers.

    Each layer is asked about the sentences that it gets right (all, where there are no labels), that do not
    hold the phrase, and that are read to their end with it. A flip is another answer than before.

    Attributes:
        phrases: P phrases; untrusted.
        layers: L names of layers.
        position: "end", "start" or "random", the place of the phrase.
        target: The class that flips are counted into, or -1 for any.
        n: (P, L) sentences.
        flips: (P, L) of them flipped.
        into: (P, L) flipped into the target; the same as ``flips`` without one.
        control: (P, L) flipped by as many random words of the other sentences.
        change: (P, L) mean change of the probability of the answer before.
        p_values: (P,) McNemar's exact test of the first layer against the second, on sentences that both were
            asked about; NaN with one layer.
        class_names: C names.
    """

    kind: ClassVar[str] = "bias_probe"
    arrays: ClassVar[Mapping[str, str]] = {
        "phrases": "P names",
        "layers": "L names",
        "n": "P L index",
        "flips": "P L index",
        "into": "P L index",
        "control": "P L index",
        "change": "P L float",
        "p_values": "P float",
        "class_names": "C names",
    }

    phrases: tuple[str, ...]
    layers: tuple[str, ...]
    position: str
    target: int
    n: Ints
    flips: Ints
    into: Ints
    control: Ints
    change: Float64
    p_values: Float64
    class_names: tuple[str, ...]

    def rate(self, phrase: int | str = 0, layer: str | None = None, *, control: bool = False) -> Rate:
        """The share of sentences that a phrase flips, with its interval.

        Args:
            phrase: Its number or itself.
            layer: Name of the layer; None for the first.
            control: That of the random words instead.

        Raises:
            InputError: No such phrase or layer.
        """
        k = self._phrase(phrase)
        name = check_choice(self.layers[0] if layer is None else layer, self.layers, "layer", "this probe")
        column = self.layers.index(name)
        counts = self.control if control else self.flips
        return Rate.from_counts(int(counts[k, column]), int(self.n[k, column]))

    def _phrase(self, phrase: int | str) -> int:
        if isinstance(phrase, str) and phrase in self.phrases:
            return self.phrases.index(phrase)
        if isinstance(phrase, int) and 0 <= phrase < len(self.phrases):
            return phrase
        return reject(
            "phrase", "this probe", f"be one of {list(self.phrases)[:5]}", shorten(repr(phrase), 60)
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per phrase and layer."""
        import pandas as pd

        rows = []
        for k, phrase in enumerate(self.phrases):
            for column, layer in enumerate(self.layers):
                rate, control = self.rate(k, layer), self.rate(k, layer, control=True)
                rows.append(
                    {
                        "phrase": phrase,
                        "layer": layer,
                        "sentences": rate.n,
                        "flipped": rate.value,
                        "low": rate.low,
                        "high": rate.high,
                        "into_target": self.into[k, column] / rate.n if rate.n else np.nan,
                        "random_words": control.value,
                        "change": self.change[k, column],
                        "p_value": self.p_values[k],
                    }
                )
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Flips by each phrase and layer, with intervals, beside random words in the first layer."""
        names = [shorten(phrase, 40) for phrase in self.phrases]
        numbers = range(len(self.phrases))
        series = {layer: [self.rate(k, layer)[2:] for k in numbers] for layer in self.layers}
        series["random words"] = [self.rate(k, control=True)[2:] for k in numbers]
        return figures.grouped(names, series, title="Answers that a phrase changes", y_title="share flipped")

    def __repr__(self) -> str:
        parts = [f"{len(self.phrases)} phrases at the {self.position}"]
        for k, phrase in enumerate(self.phrases[:5]):
            told = f"{self.rate(k)} flipped, {100 * self.rate(k, control=True).value:.1f} % by random words"
            parts.append(f"{shorten(phrase, 40)!r}: {told}")
        return f"BiasProbe({'; '.join(parts)})"

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if self.position not in POSITIONS or not -1 <= self.target < len(self.class_names):
            yield "a position or target that there is not"
        if (self.flips > self.n).any() or (self.control > self.n).any() or (self.into > self.flips).any():
            yield "more flips than sentences"


def bias_probe(  # noqa: PLR0913 - the one entry point, keyword-only
    model: nn.Module,
    path: RegularizationPath,
    sentences: object,
    phrases: Iterable[str],
    *,
    position: str = "end",
    target: int | str | None = None,
    index: int | None = None,
    layers: Iterable[str] | None = None,
    features: DeepFeatures | None = None,
    tokenizer: object = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: object = None,
) -> BiasProbe:
    """Put phrases that should not matter into sentences, and count the answers that they change.

    One pass through the model serves all layers. The control puts as many random words of other sentences
    into the same places.

    Args:
        model: The live text model; it is left as it was.
        path: A path of this model.
        sentences: Texts, with labels where there are any: then only those that a layer gets right count.
        phrases: Phrases of one or more words.
        position: "end", "start" or "random": between two words.
        target: Class by number or name; flips into it are counted too, and sentences that have this answer
            already are left out.
        index: Index of the sparse layer; None for the one that the 5-point rule selects.
        layers: Some of "sparse", "dense", "refit"; None for all that the path knows.
        features: What the path was fitted to; needed where tokens were pooled.
        tokenizer: For sentences that do not carry one.
        batch_size: Sentences in one forward pass.
        seed: Of the places and of the control.
        progress: Callback, bool or None; may raise ``Cancelled``.

    Returns:
        Flips with intervals, controls, and a test of the first layer against the second.

    Raises:
        InputError: No phrases, phrases without a word, or sentences, model and path that do not fit.
        Cancelled: The progress callback asked for it.

    References:
        Wong, Santurkar and Madry, "Leveraging sparse linear layers for debuggable deep networks", ICML 2021,
        section 4.1; ``docs/methods/analysis.md``.
    """
    started, report = time.perf_counter(), reporter(progress)
    asked = _checked(phrases)
    check_choice(position, POSITIONS, "position", "a bias probe")
    compared = class_layers(path, index, layers)
    wanted = -1 if target is None else path.class_number(target)
    text = tokenized(model, sentences, tokenizer)
    labels = None if text.labels is None else as_classes(path, text.labels)
    texts = list(text.sentences)
    rng = generator(seed, "bias probe")
    places = rng.random(len(texts))
    words = [[piece for piece, word in pieces_of(one) if word] for one in texts]
    total = 1 + 2 * len(asked)
    with deep_reader(
        model, path, text, features=features, tokenizer=text.tokenizer, batch_size=batch_size
    ) as read:
        done = [0]

        def tell(_: int) -> None:
            report(
                Progress(done[0], total, f"phrase {(done[0] + 1) // 2} of {len(asked)}" if done[0] else "")
            )

        read.on_chunk = tell
        before = read(texts)
        changed, whole = [], []
        for phrase in asked:
            drawn = _random_words(words, len(phrase.split()), rng)
            pair, uncut = [], np.ones(len(texts), np.bool_)
            for put in ([phrase] * len(texts), drawn):
                done[0] += 1
                pair.append(read([_inserted(*one, position) for one in zip(texts, put, places, strict=True)]))
                uncut[read.cut] = False
            whole.append(uncut)
            changed.append(pair)
    longer = max((int((~uncut).sum()) for uncut in whole), default=0)
    if longer == len(texts):
        refuse("Every sentence is longer than the model reads with a phrase in it: pass shorter ones.")
    if longer:
        notice(
            f"Up to {longer} of {len(texts)} sentences are longer than the model reads with a phrase in "
            "them, and do not count for it.",
            TruncatedTextWarning,
        )
    counts = [
        _counted(compared, before, after, labels, wanted, _without(texts, phrase) & uncut)
        for phrase, after, uncut in zip(asked, changed, whole, strict=True)
    ]
    report(Progress(total, total, f"{len(asked)} phrases"))
    return BiasProbe(
        provenance=Provenance(
            method="bias_probe",
            params={"position": position, "target": wanted, "index": index},
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=path.provenance.fingerprint,
        ),
        phrases=asked,
        layers=tuple(compared),
        position=position,
        target=wanted,
        **{name: np.array([one[name] for one in counts]) for name in counts[0]},
        class_names=path.class_names,
    )


def _checked(phrases: object) -> tuple[str, ...]:
    listed = [phrases] if isinstance(phrases, str) else list(phrases) if isinstance(phrases, Iterable) else []
    if not listed or not all(isinstance(one, str) and any(w for _, w in pieces_of(one)) for one in listed):
        refuse("phrases= must be at least one phrase, each a text with a word in it.")
    return tuple(dict.fromkeys(one.strip() for one in listed))


def _without(texts: Sequence[str], phrase: str) -> npt.NDArray[np.bool_]:
    return np.array([phrase.casefold() not in one.casefold() for one in texts])


def _random_words(words: Sequence[Sequence[str]], n: int, rng: np.random.Generator) -> list[str]:
    """For each sentence n words of all sentences, drawn at random."""
    every = [word for one in words for word in one] or ["."]
    drawn = rng.integers(0, len(every), (len(words), n))
    return [" ".join(every[k] for k in row) for row in drawn]


def _inserted(sentence: str, phrase: str, place: float, position: str) -> str:
    before, after = POSITIONS[:2]
    if position == before:
        return f"{sentence.rstrip()} {phrase}"
    if position == after:
        return f"{phrase} {sentence.lstrip()}"
    parts = sentence.split(" ")
    k = round(place * len(parts))
    return " ".join([*parts[:k], phrase, *parts[k:]])


def _counted(
    compared: Mapping[str, Any],
    before: Float64,
    after: Sequence[Float64],
    labels: npt.NDArray[Any] | None,
    target: int,
    absent: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    """Counts of one phrase in each layer."""
    rows: dict[str, list[float]] = {name: [] for name in ("n", "flips", "into", "control", "change")}
    used, flipped = [], []
    for layer in compared.values():
        said = layer.predictions(before)
        use = absent & (said != target)
        if labels is not None:
            use = use & (said == labels)
        now, control = (layer.predictions(z) for z in after)
        flip = (now != said) & use
        each = np.arange(len(said))
        moved = layer.probabilities(after[0])[each, said] - layer.probabilities(before)[each, said]
        rows["n"].append(int(use.sum()))
        rows["flips"].append(int(flip.sum()))
        rows["into"].append(int((flip & (now == target)).sum()) if target >= 0 else int(flip.sum()))
        rows["control"].append(int(((control != said) & use).sum()))
        rows["change"].append(float(moved[use].mean()) if use.any() else float("nan"))
        used.append(use)
        flipped.append(flip)
    p_value = float("nan")
    if len(used) > 1:
        both = used[0] & used[1]
        p_value = mcnemar(flipped[1][both], flipped[0][both])
    return {**rows, "p_values": p_value}
