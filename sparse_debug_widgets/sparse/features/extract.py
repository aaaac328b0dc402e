"""Deep features of a live model: what its decision layer sees, batch by batch, the model left untouched."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import Batch, Inputs, batches, count_examples, move
from sparse_debug_widgets.core.checks import check_choice, check_int, check_real, refuse, reject
from sparse_debug_widgets.core.classes import Names, names_of_model
from sparse_debug_widgets.core.fingerprint import DataHasher, combine, model_fingerprint
from sparse_debug_widgets.core.forms import as_data, carry_of, known_labels, numbering
from sparse_debug_widgets.core.hooks import find_module, model_untouched, placement, unwrap
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.text import TextData, as_text_data, for_model
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.labels import (
    TEST,
    as_labels,
    check_training_rows,
    split_rows,
)
from sparse_debug_widgets.sparse.features.origin import Marks, marks_of, named
from sparse_debug_widgets.sparse.features.reading import POOLINGS, FeatureReader, open_reader, reading_limit
from sparse_debug_widgets.sparse.features.store import DiskStore, FeatureStore, MemoryStore, TemporaryStore
from sparse_debug_widgets.sparse.layer.find_layer import find_decision_layer
from sparse_debug_widgets.sparse.layer.naming import resolve_class_names
from sparse_debug_widgets.sparse.layer.outputs import Matched, match_outputs, output_rows

DEFAULT_MEMORY_BUDGET = 2 << 30
_EXAMPLE_ROWS = 8
SPLITS_OF_PARTS = ("training", "test")


def extract_features(  # noqa: PLR0913 - the one entry point, keyword-only
    model: nn.Module,
    data: object,
    *,
    layer: str | None = None,
    test: object = None,
    tokenizer: object = None,
    classes: Iterable[int | str] | None = None,
    pooling: str | None = None,
    max_length: int | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    validation: float = 0.1,
    class_names: Iterable[object] | None = None,
    seed: int = 0,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    cache: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | bool | None = None,
) -> DeepFeatures:
    """Take the deep features of a classifier: the inputs of its final linear layer.

    The model runs in evaluation mode without gradients and is given back exactly as it was, also after an
    exception. Row i belongs to example i of the data set, also where a loader shuffles.

    Args:
        model: Any module with a final ``nn.Linear``: torchvision, timm and Hugging Face classifiers, or your
            own. Wrappers (``torch.compile``, data parallel) are looked through. With ``pooling`` an encoder
            without a decision layer will do.
        data: Training data: Dataset, DataLoader, (X, y), a list of (x, label); see
            :func:`core.batching.batches`. Labels are numbers or names. With a tokenizer: (sentences, labels),
            a table with a column of texts and one of labels, or a data set of sentences.
        layer: Name of the decision layer; found by watching a forward pass if None. With ``pooling``: of any
            submodule, whose output is pooled.
        test: Test data in any of these forms; become the test split. Their classes are counted as those of
            the training data, by name where names are known.
        tokenizer: For sentences: what turns a list of them into token ids, see :class:`core.text.TextData`.
        classes: For a model of more outputs than the data have classes: which of its outputs they are, one
            for each label 0 ... C-1, by number or by name. None: labels are numbers of outputs, and those
            that occur are taken; data with classes of their own, which the model does not know by name, are
            taken without the model's own decision layer.
        pooling: None takes the inputs of the decision layer. Else the output of ``layer``, or of the encoder:
            "pooled" (by its own pooler), "cls" (first token), "mean" (over tokens), "last" (token), or
            "none" for an output that is one vector per example already. Padding never counts.
        max_length: Tokens read of each sentence; the tokenizer's own limit if None.
        batch_size: Examples at a time; a DataLoader keeps its own.
        device: Where to run; the model's own device if None. On another device a copy of the model runs.
        validation: Share of the training data held out, of each class alike.
        class_names: One name per class, in the order of the model's outputs; labels that are names are
            counted by it. None: the model's own (``config.id2label``), else those of the training data.
        seed: Seed of the validation split.
        memory_budget: Features of more bytes than this are memory-mapped instead of held in memory.
        cache: Folder that keeps the features. They are used again only for the same model, layer and data;
            what has changed is said in a warning. An interrupted extraction goes on where it stopped.
        progress: Callback, bool or None; called at least once per minibatch, and may raise ``Cancelled``.

    Returns:
        The features with labels, splits and moments.

    Raises:
        InputError: The model, the data or the features cannot be used; the message says what to do.
        Cancelled: The progress callback asked for it; a cache keeps what was done.

    References:
        Wong, Santurkar, Madry, "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021;
        ``docs/methods/deep_features.md``.
    """
    started = time.perf_counter()
    check_int(memory_budget, "memory_budget", "extraction", low=0)
    check_real(validation, "validation", "a split", low=0, high=1, open_high=True)
    if cache is not None and not isinstance(cache, str | os.PathLike):
        reject("cache", "extraction", "be the path of a folder", cache)
    report = reporter(progress)
    given = [data] if test is None else [data, test]
    texts = tokenizer is not None or max_length is not None
    limit = reading_limit(model, tokenizer, max_length) if texts else None
    parts = [as_text_data(part, tokenizer, limit) if texts else as_data(part) for part in given]
    with model_untouched(model) as bare, torch.no_grad():
        parts = [for_model(bare, part) for part in parts]
        counted = numbering(bare, *parts, given=class_names)
        matching = _Matching(counted[0], classes, names_of_model(bare), given=class_names is not None)
        matching.check(None)
        run = _Extraction(
            _on_device(bare, device), layer, pooling, memory_budget, None if cache is None else Path(cache)
        )
        run.look_ahead = lambda n_outputs, first: _check_ahead(
            parts[0], matching, n_outputs, first, (validation, seed)
        )
        run.expect([count_examples(part) for part in parts], report)
        try:
            for part, name, names in zip(parts, SPLITS_OF_PARTS, counted, strict=False):
                run.consume(part, batch_size, f"features of the {name} data", names)
            values = run.finish()
        except BaseException:
            run.close(failed=True)
            raise
        run.close(failed=False)
    raw = np.concatenate(run.labels)
    size = run.sizes[0]
    matched = matching.match(raw[:size], run.n_outputs)
    halves = zip((raw[:size], raw[size:]), SPLITS_OF_PARTS, strict=True)
    labels = np.concatenate([matched.classes(half, part) for half, part in halves])
    splits = np.full(len(values), TEST, np.uint8)
    splits[:size] = split_rows(labels[:size], validation, seed)
    note = "; ".join(filter(None, (run.reader.note, matched.note)))
    return DeepFeatures.assemble(
        values,
        labels,
        splits,
        feature_names=None,
        class_names=matched.names,
        dense=matched.dense_layer(run.reader.dense()),
        layer=run.reader.name,
        note=note,
        marks=run.every_mark(),
        provenance=Provenance(
            method="extract_features",
            params={"layer": run.reader.name, "batch_size": batch_size, "validation": validation}
            | ({} if pooling is None else {"pooling": pooling})
            | ({} if matched.outputs is None else matched.outputs.facts())
            | {"sizes": list(run.sizes), "sources": [named(part) for part in given]}
            | run.facts(),
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=combine(run.model_hash, run.reading, run.data_hash.hexdigest()),
        ),
    )


def check_names(
    model: nn.Module,
    data: object,
    *,
    layer: str | None = None,
    test: object = None,
    classes: Iterable[int | str] | None = None,
    pooling: str | None = None,
    class_names: Iterable[object] | None = None,
) -> None:
    """Refuse names that :func:`extract_features` would refuse, without running the model.

    Args:
        model: The live model.
        data: Data as extraction takes them; where names are the labels, in a form that ``as_data`` returns.
        layer: See :func:`extract_features`, as all that follow.
        test: Test data, in such a form too.
        classes: Outputs of the model, one for each label.
        pooling: How a text encoder's tokens become a vector.
        class_names: One per class.

    Raises:
        InputError: A layer, a pooling, outputs or classes that do not exist.
    """
    bare = unwrap(model)
    n_outputs = None
    if pooling is not None:
        check_choice(pooling, POOLINGS, "pooling", "deep features")
        if layer:
            find_module(bare, str(layer))
    elif layer is not None:
        n_outputs = int(find_decision_layer(bare, layer)[1].out_features)
    counted = numbering(bare, *([data] if test is None else [data, test]), given=class_names)
    _Matching(counted[0], classes, names_of_model(bare), given=class_names is not None).check(n_outputs)


def _on_device(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    """The model itself, or a copy of it on another device: moving a live model would not leave it alone."""
    if device is None:
        return model
    given: object = device  # whatever a person passed
    if isinstance(given, bool) or not isinstance(given, str | torch.device | int):
        reject("device", "extraction", "be a device of this machine, such as 'cuda'", device)
    try:
        wanted = torch.device(device)
        current, _ = placement(model)
        if wanted.type == current.type and wanted.index in {None, current.index}:
            return model
        return copy.deepcopy(model).to(wanted)
    except (RuntimeError, AssertionError) as error:
        reject("device", "extraction", "be a device of this machine", f"{device!r} ({error})")


@dataclass(frozen=True)
class _Matching:
    """The knowledge of classes and outputs before anything is extracted."""

    names: Names | None
    classes: object
    model_names: Names | None
    given: bool

    def check(self, n_outputs: int | None) -> None:
        """Refuse outputs that the model does not have, as far as is known."""
        if self.classes is not None:
            output_rows(self.classes, n_outputs, self.model_names)

    def match(self, labels: npt.NDArray[Any], n_outputs: int | None) -> Matched:
        """Classes of some training labels beside the outputs of the model."""
        return match_outputs(labels, self.names, n_outputs, self.classes, self.model_names, given=self.given)


def _check_ahead(
    data: object,
    matching: _Matching,
    n_outputs: int | None,
    first: npt.NDArray[Any],
    split: tuple[float, int],
) -> None:
    """Refuse training labels that no fit could use, where they are known before the work begins.

    Args:
        data: The training data.
        matching: What is known of classes.
        n_outputs: Outputs of the model, or None.
        first: Labels of the first batch, as they are counted.
        split: Share and seed of the validation split.
    """
    labels = known_labels(data)
    if labels is None or labels.dtype.kind not in "biu" or labels.ndim != 1:
        return
    carry = carry_of(data, matching.names)
    labels = labels.astype(np.int64)
    if carry is not None and (labels >= 0).all() and (labels < len(carry)).all():
        labels = carry[labels]
    if not np.array_equal(labels[: len(first)], first):
        return  # what a data set calls its targets is not what it yields
    matched = matching.match(labels, n_outputs)
    labels = matched.classes(labels, "training")
    check_training_rows(labels, split_rows(labels, *split), matched.names)


def _marks_of(data: object, batch: Batch, first: int) -> Marks | None:
    if isinstance(data, TextData):
        return marks_of(data.sentences[first : first + batch.size])
    return marks_of(batch.inputs)


@dataclass
class _Extraction:
    """One extraction: the layer is found in the first batch, features go to the store, labels are kept."""

    model: nn.Module
    layer: str | None
    pooling: str | None
    memory_budget: int
    cache: Path | None
    labels: list[npt.NDArray[Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    data_hash: DataHasher = field(default_factory=DataHasher)
    n_outputs: int | None = None

    def __post_init__(self) -> None:
        self.model_hash = model_fingerprint(self.model)
        self._device, self._dtype = placement(self.model)
        self._store: FeatureStore | None = None
        self._marks: list[Marks | None] = []
        self._total = 0
        self._counts: list[int | None] = []
        self._report: ProgressCallback = reporter(False)
        self.look_ahead: Callable[[int | None, npt.NDArray[Any]], None] = lambda *_: None

    def expect(self, counts: list[int | None], report: ProgressCallback) -> None:
        """Note how much is to come, as far as the data say."""
        self._counts, self._report = counts, report
        self._total = sum(count or 0 for count in counts) if None not in counts else 0

    def consume(self, data: object, batch_size: int, note: str, names: Names | None) -> None:
        """Run one data set through the model."""
        before = sum(self.sizes)

        def report(progress: Progress) -> None:
            self._report(Progress(before + progress.done, self._total, note))

        self.sizes.append(0)
        for batch in batches(data, batch_size, progress=report, note=note, classes=names):
            inputs = move(batch.inputs, self._device, self._dtype)
            if self._store is None:
                self._begin(inputs, data.pad_id if isinstance(data, TextData) else 0)
            self._marks.append(_marks_of(data, batch, self.sizes[-1]))
            self._take_labels(batch)
            if len(self.labels) == 1:
                self.look_ahead(self.n_outputs, self.labels[0])
            self._take_features(batch, inputs)
            self.sizes[-1] += batch.size

    def every_mark(self) -> Marks | None:
        """Marks of all examples; None where some have none."""
        known = [marks for marks in self._marks if marks is not None]
        return np.concatenate(known) if known and len(known) == len(self._marks) else None

    def _begin(self, inputs: Inputs, pad_id: int) -> None:
        example = {k: v[:_EXAMPLE_ROWS] for k, v in inputs.items()} if isinstance(inputs, dict) else None
        first = example if example is not None else inputs[:_EXAMPLE_ROWS]  # type: ignore[index]
        self.reader: FeatureReader = open_reader(
            self.model, first, layer=self.layer, pooling=self.pooling, pad_id=pad_id
        )
        self.n_outputs, p = self.reader.n_outputs, self.reader.n_features
        self.reading = self.reader.name if self.pooling is None else f"{self.reader.name}\0{self.pooling}"
        known = sum(count or 0 for count in self._counts)
        if self.cache is not None:
            identity = {"model": self.model_hash, "layer": self.reading}
            self._store = DiskStore(self.cache, identity, p, self.memory_budget)
        elif None in self._counts or known * p * 4 > self.memory_budget:
            self._store = TemporaryStore(p, self.memory_budget)
        else:
            self._store = MemoryStore(known, p)

    def _take_labels(self, batch: Batch) -> None:
        if batch.labels is None:
            refuse("The data have no labels, which a fit needs. Pass (X, y) or a labelled Dataset.")
        first_row = sum(self.sizes)
        labels, _ = as_labels(batch.labels, None, batch.size)
        if self.n_outputs == 1 and labels.dtype.kind == "f" and np.isin(labels, (0.0, 1.0)).all():
            # Binary classifiers with one logit are trained on 0.0 and 1.0.
            labels = labels.astype(np.int64).reshape(-1)
        resolve_class_names(labels, None, self.n_outputs, first_row=first_row)
        if self.labels and self.labels[-1].dtype != labels.dtype:
            reject(
                "labels", "extraction", f"stay {self.labels[-1].dtype}", f"{labels.dtype} in row {first_row}"
            )
        self.labels.append(labels)

    def _take_features(self, batch: Batch, inputs: Inputs) -> None:
        store = self._store
        if store is None:
            return
        self.data_hash.update(batch.inputs, batch.labels)
        digest = ""
        if isinstance(store, DiskStore):
            block = DataHasher()
            block.update(batch.inputs, None)
            digest = block.hexdigest()
        if store.reuse(batch.size, digest):
            return
        features = self.reader.read(self.model, inputs).to("cpu", torch.float32).numpy()
        if features.shape != (batch.size, self.reader.n_features):
            must = f"get one vector per example, shape ({batch.size}, {self.reader.n_features})"
            reject(f"layer {self.reader.name!r}", "deep features", must, f"shape {features.shape}")
        store.append(features, digest)

    def finish(self) -> npt.NDArray[np.float32]:
        """All features in one array."""
        if self._store is None:
            return np.empty((0, 0), np.float32)
        return self._store.finish()

    def close(self, *, failed: bool) -> None:
        """Release the store."""
        if self._store is not None:
            self._store.close(failed=failed)

    def facts(self) -> dict[str, Any]:
        """Collect what a reader (or a panel that looks for stale features) wants to know of this run."""
        reused = self._store.reused_rows if isinstance(self._store, DiskStore) else 0
        return {
            "device": str(self._device),
            "model_fingerprint": self.model_hash,
            "data_fingerprint": self.data_hash.hexdigest(),
            "reused_rows": reused,
        }
