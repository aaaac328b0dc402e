"""``lime_text``: LIME on the standardised activation of many features of a text model at once.

One design matrix and one set of forward passes serves all features of a sentence. Words, masks, samples,
kernel and regression are those of ``lime.lime_text`` (bag of words), so that a single feature's answer is
that of the package itself.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import move
from sparse_debug_widgets.core.checks import check_finite, check_int, reject
from sparse_debug_widgets.core.fingerprint import combine, model_fingerprint
from sparse_debug_widgets.core.hooks import model_untouched, placement
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.core.text import (
    TextData,
    TextInputs,
    TruncatedTextWarning,
    encode,
    for_model,
    pad_id_of,
)
from sparse_debug_widgets.core.text import as_text_data as with_tokenizer
from sparse_debug_widgets.interpret.deep.units import FeatureUnits, units_of
from sparse_debug_widgets.interpret.lime.answers import (
    LimeAnswer,
    common_fields,
    read_answer,
    row_numbers,
    write_answer,
)
from sparse_debug_widgets.interpret.lime.surrogate import fit_surrogates, stability
from sparse_debug_widgets.interpret.lime.text_explanations import TextExplanations
from sparse_debug_widgets.interpret.lime.words import BagOfWords, sample_words
from sparse_debug_widgets.saliency.probe.calls import memory_guard
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.reading import FeatureReader, open_reader, reading_limit

Array = npt.NDArray[Any]
KERNEL_WIDTH, DISTANCE_SCALE = 25.0, 100.0
"""As ``lime.lime_text`` has them."""

_WHAT, _KIND = "LIME on sentences", "lime_text_answer"


def lime_text(  # noqa: PLR0913 - the one entry point, keyword-only
    model: nn.Module,
    sentences: object,
    source: object,
    *,
    tokenizer: object = None,
    features: object = None,
    rows: object = None,
    pooling: str | None = None,
    max_length: int | None = None,
    n_samples: int = 1000,
    repeats: int = 1,
    chunk_size: int = 256,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | bool | None = None,
) -> TextExplanations:
    """Find the words of sentences that raise or lower deep features, by local linear surrogates.

    The model is left untouched. Samples that read the same (short sentences have few) are asked about once.

    Args:
        model: The live model.
        sentences: Texts, or a :class:`~sparse_debug_widgets.core.text.TextData` such as a demo's split.
        source: ``DeepFeatures`` or a path of this model: its layer, mean and scale.
        tokenizer: As for ``extract_features``; None where the sentences carry one.
        features: Names or numbers; None for those of the source that vary, or that the path's layer uses.
        rows: (S,) numbers to remember the sentences by.
        pooling: As the features were taken; None takes it from `DeepFeatures`. A path does not know it.
        max_length: Tokens read of each sentence.
        n_samples: Sentences that the model is asked about, per sentence; ``lime`` takes 5,000 by default.
        repeats: Runs with other samples; with two or more the stability of the weights is reported. The
            weights themselves are those of the first.
        chunk_size: Sentences in one forward pass.
        seed: Of the samples. Those of a sentence depend on it and the sentence alone.
        cache: Folder that keeps the answers, of all features, for the same model, sentence and settings.
        progress: Callback, bool or None; called at least once per forward pass.

    Returns:
        Weights, R^2 and stability of every feature on every word. A sentence without a word has none.

    Raises:
        InputError: Sentences, tokenizer, model, features or parameters that do not fit.
        Cancelled: The progress callback asked for it; a cache keeps the sentences that are done.

    References:
        Ribeiro, Singh, Guestrin, "Why Should I Trust You?", KDD 2016; ``docs/methods/interpretation.md``.
    """
    started = time.perf_counter()
    for value, name, low in (
        (n_samples, "n_samples", 2),
        (repeats, "repeats", 1),
        (chunk_size, "chunk_size", 1),
    ):
        check_int(value, name, _WHAT, low=low)
    own = sentences.max_length if isinstance(sentences, TextData) else None
    used = tokenizer if tokenizer is not None else getattr(sentences, "tokenizer", None)
    data = with_tokenizer(sentences, tokenizer, reading_limit(model, used, max_length or own))
    units = units_of(source)
    columns = units.indices(features)
    labels = row_numbers(rows, len(data), _WHAT)
    if pooling is None and isinstance(source, DeepFeatures):
        pooling = source.provenance.params.get("pooling")
    with model_untouched(model) as bare, torch.no_grad():
        data = for_model(bare, data)
        run = _Run(bare, data, units, pooling, (n_samples, repeats, chunk_size, seed))
        run.report, run.cache = reporter(progress), None if cache is None else Path(cache)
        answers = [run.explain(k, sentence) for k, sentence in enumerate(data.sentences)]
    provenance = Provenance(
        method="lime_text",
        params={"n_samples": n_samples, "repeats": repeats, "layer": run.reader.name, "pooling": pooling},
        seed=seed,
        seconds=time.perf_counter() - started,
        fingerprint=combine(run.fingerprint, units.fingerprint, *data.sentences),
    )
    return _assemble(answers, data, labels, columns, units, provenance)


def random_state(seed: int, sentence: str, repeat: int = 0) -> np.random.RandomState:
    """The state that the samples of a sentence are drawn from; pass one to ``lime`` to get the same ones."""
    drawn = generator(seed, "lime text", repeat, sentence).integers(0, 2**32, 8, dtype=np.uint32)
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(drawn.tolist())))


class _Run:
    """One call: the model is open, sentences are explained one after the other."""

    cache: Path | None = None

    def __init__(
        self,
        model: nn.Module,
        data: TextData,
        units: FeatureUnits,
        pooling: str | None,
        settings: tuple[int, int, int, int],
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.report: ProgressCallback = reporter(False)
        self.fingerprint = combine(model_fingerprint(model), str(pooling), units.layer)
        self._device, self._dtype = placement(model)
        self.reader: FeatureReader = open_reader(
            model,
            self._inputs(list(data.sentences[:2])),
            layer=units.layer or None,
            pooling=pooling,
            pad_id=pad_id_of(data.tokenizer),
        )
        if self.reader.n_features != units.p:
            must = f"see the {units.p} features that were taken from it"
            advice = "Pass the model that the features were extracted from, and pooling= as it was then."
            got = f"{self.reader.n_features} features"
            reject(f"layer {self.reader.name!r} of the model", "these features", must, got, advice)

    def explain(self, number: int, sentence: str) -> LimeAnswer:
        """Surrogates of all features on the words of one sentence, from the cache where it has them."""
        n_samples, repeats, _, seed = self.settings
        path, bag = None, BagOfWords(sentence)
        if self.cache is not None:
            # The words too: how sentences are split may be another way tomorrow.
            settings = f"{n_samples} {repeats} {seed} {self.data.max_length} {len(bag)}"
            key = combine(self.fingerprint, sentence, settings)
            path = self.cache / f"{key}.safetensors"
            known = read_answer(path, _KIND, self.reader.n_features, len(bag))
            if known is not None:
                self._tell(number, n_samples * repeats)
                return known
        runs = [self._once(number, sentence, bag, repeat) for repeat in range(repeats)]
        agreed = stability(np.stack([run.weights for run in runs])) if len(bag) else runs[0].stability
        answer = runs[0]._replace(stability=agreed)
        if path is not None:
            write_answer(path, _KIND, answer)
        return answer

    def _once(self, number: int, sentence: str, bag: BagOfWords, repeat: int) -> LimeAnswer:
        n_samples, _, _, seed = self.settings
        nothing = np.full(self.reader.n_features, np.nan)
        if len(bag) == 0:
            raw = self._features(number, 0, [sentence])[0]
            return LimeAnswer(np.zeros((len(raw), 0)), raw, nothing, nothing, nothing, raw)
        design = sample_words(n_samples, len(bag), random_state(seed, sentence, repeat))
        # The whole sentence comes first, as it is.
        place: dict[str, int] = {}
        where = np.array([place.setdefault(text, len(place)) for text in bag.masked(design)])
        raw = self._features(number, repeat * n_samples, list(place))[where]
        found = fit_surrogates(design, raw, kernel_width=KERNEL_WIDTH, distance_scale=DISTANCE_SCALE)
        return LimeAnswer(found.weights, found.intercepts, found.r2, found.r2_left_out, nothing, raw[0])

    def _features(self, number: int, before: int, texts: list[str]) -> npt.NDArray[np.float64]:
        """Deep features (n, p) of sentences, raw units."""
        size = self.settings[2]
        found = []
        for start in range(0, len(texts), size):
            self._tell(number, before + start)
            inputs = self._inputs(texts[start : start + size], tell=start == 0 and before == 0)
            with memory_guard(min(size, len(texts))):
                found.append(self.reader.read(self.model, inputs).double().cpu().numpy())
        self._tell(number, before + len(texts))
        features = np.concatenate(found)
        check_finite(features, "deep features", _WHAT)
        return features

    def _inputs(self, texts: list[str], *, tell: bool = False) -> TextInputs:
        inputs, cut = encode(texts, self.data.tokenizer, self.data.max_length)
        if tell and cut and cut[0] == 0:
            message = "a sentence is longer than the model reads: words after the cut get weights near 0."
            notice(message, TruncatedTextWarning)
        moved = move(inputs, self._device, self._dtype)
        return dict(moved) if not isinstance(moved, torch.Tensor) else moved

    def _tell(self, number: int, done: int) -> None:
        each = self.settings[0] * self.settings[1]
        total = each * len(self.data)
        note = f"sentence {number + 1} of {len(self.data)}"
        self.report(Progress(number * each + min(done, each), total, note))


def _assemble(
    answers: list[LimeAnswer],
    data: TextData,
    rows: Array,
    columns: npt.NDArray[np.int64],
    units: FeatureUnits,
    provenance: Provenance,
) -> TextExplanations:
    """All sentences in one result, for the wanted features, in standardised units."""
    words = [BagOfWords(sentence).words for sentence in data.sentences]
    weights = [answer.weights[columns].T / units.scale[columns] for answer in answers]
    return TextExplanations(
        provenance=provenance,
        sentences=data.sentences,
        rows=rows,
        words=tuple(word for some in words for word in some),
        starts=np.cumsum([0, *map(len, words)]).astype(np.int64),
        weights=np.concatenate(weights),
        **common_fields(answers, columns, units),
    )
