"""``suspects``: the graft test over all classes of a layer, its verdicts in words, and repairs measured.

A search for small fixed causes that works on the data that carry the flaw; ours, see
``docs/methods/analysis.md``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import nn

from sparse_debug_widgets.analysis.common.layers import class_layer, feature_numbers
from sparse_debug_widgets.analysis.common.reader import deep_reader
from sparse_debug_widgets.analysis.suspects.graft import FOUND, UNTESTED, Tested, Verdict, graft_test
from sparse_debug_widgets.analysis.suspects.repair import REPAIRS, Repairs, measure_repairs
from sparse_debug_widgets.analysis.suspects.views import Pictures, Rows, Sentences, View
from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.interpret.deep.examples import PICTURES, SERIES, form_of
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.reading import tokenized
from sparse_debug_widgets.sparse.layer.decision_layer import SparseDecisionLayer
from sparse_debug_widgets.sparse.layer.outputs import Outputs, as_classes, counted_by
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Ints = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
MAX_EXAMPLES = 4000
CANNOT_SEE = (
    "The test sees a small cause at a fixed place (or a phrase) that makes other examples the class. Marks "
    "that wander, backgrounds, tints of the whole picture, and causes that only work together are invisible "
    "to it: look at groups, and at the errors themselves."
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Suspects(Result):
    """The verdict on each class, suspects first, and the repairs of the strongest suspect.

    Attributes:
        classes: (V,) numbers of the classes.
        class_names: C names.
        statuses: V verdicts: "suspect", "worth a look", "no small fixed cause found" or "not tested".
        features: (V,) the feature that carries most of the cause, or that the class rests on most; -1 for
            none.
        regions: V parts in words; "" where none was found.
        cells: V tuples: numbers of cells or columns, or words.
        unit: "cells", "words" or "columns".
        screened: (V,) share of others that became the class, on the half where the cause was looked for.
        flips: (V,) the same on the other half; NaN where that was not confirmed.
        low: (V,) lower bound of ``flips``, all bounds hold together with probability .95.
        control: (V,) share with the same part of other examples that are not of the class.
        elsewhere: (V,) share with an equally large other part of members of the class.
        high: (V,) the larger upper bound of the two controls.
        scores: (V,) above 0 for suspects, minus infinity where nothing was confirmed.
        carriers: V tuples of pairs (feature, share in logits), strongest first.
        feature_names: p names.
        rows: (V, 2) example (into, of) that shows the cause, rows of the data; -1 for none.
        pictures: (S, 2, ...) for pictures: the example, and with the part grafted in, of the first S verdicts
            that have one; None for sentences and tables.
        sentences: The same for sentences, pairs of texts; () for others.
        repairs: Names of the repairs that were measured; () without a suspect.
        accuracy: (4,) accuracy after each on coin-tossed examples; empty without a suspect.
        worst: (4,) accuracy of the worst group.
        worst_groups: Names of the worst groups.
        n_nonzero: (4,) nonzero weights.
        n_measured: Examples that they were measured on.
        refit_weights: (C, p) weights of the layer fitted again, standardised units of the path, or None.
        refit_intercepts: (C,), or None.
        n_examples: Examples that were looked at.
        forwards: Inputs that were sent through the model.
    """

    kind: ClassVar[str] = "suspects"
    arrays: ClassVar[Mapping[str, str]] = {
        "classes": "V index <C",
        "class_names": "C names",
        "statuses": "V names",
        "features": "V class <p",
        "regions": "V names",
        "screened": "V float",
        "flips": "V float",
        "low": "V float",
        "control": "V float",
        "elsewhere": "V float",
        "high": "V float",
        "scores": "V float",
        "feature_names": "p names",
        "rows": "V 2 int",
        "pictures": "? S 2 ...x float",
        "repairs": "R names",
        "accuracy": "R float",
        "worst": "R float",
        "worst_groups": "R names",
        "n_nonzero": "R index",
        "refit_weights": "? C p float finite",
        "refit_intercepts": "? C float finite",
    }

    classes: Ints
    class_names: tuple[str, ...]
    statuses: tuple[str, ...]
    features: Ints
    regions: tuple[str, ...]
    cells: tuple[tuple[Any, ...], ...]
    unit: str
    screened: Float64
    flips: Float64
    low: Float64
    control: Float64
    elsewhere: Float64
    high: Float64
    scores: Float64
    carriers: tuple[tuple[tuple[int, float], ...], ...]
    feature_names: tuple[str, ...]
    rows: Ints
    pictures: npt.NDArray[np.float32] | None
    sentences: tuple[tuple[str, str], ...]
    repairs: tuple[str, ...]
    accuracy: Float64
    worst: Float64
    worst_groups: tuple[str, ...]
    n_nonzero: Ints
    n_measured: int
    refit_weights: Float64 | None
    refit_intercepts: Float64 | None
    n_examples: int
    forwards: int

    cannot_see: ClassVar[str] = CANNOT_SEE
    """What the test cannot find: no verdict ever says that a layer is sound."""

    @property
    def n_suspects(self) -> int:
        """Number of classes with a suspect."""
        return self.statuses.count(FOUND)

    def sentence(self, place: int = 0) -> str:
        """One verdict in words.

        Args:
            place: Its place in the table.

        Raises:
            InputError: No such place.
        """
        k = check_int(place, "place", "these suspects", low=0, high=len(self.classes) - 1)
        name, status = self.class_names[self.classes[k]], self.statuses[k]
        if np.isfinite(self.flips[k]):
            return (
                f"{name}: {status}. Put into examples of other classes, {self.regions[k]} makes "
                f"{100 * self.flips[k]:.0f} % of them {name} (at least {100 * self.low[k]:.0f} %); the same "
                f"part of others {100 * self.control[k]:.0f} %, another part {100 * self.elsewhere[k]:.0f} %."
            )
        if status == UNTESTED:
            return f"{name}: {status}, too few examples of it are predicted right."
        return f"{name}: {status}."

    def refit_layer(self, path: RegularizationPath) -> SparseDecisionLayer:
        """The layer that was fitted again, balanced over who carries the part, as a module for the model.

        Args:
            path: The path that the suspects are of.

        Raises:
            InputError: There is none, because there was no suspect or repairs were not asked for; another
                path.
        """
        if self.refit_weights is None or self.refit_intercepts is None:
            refuse("No layer was fitted again: that is done for a suspect, with repair=True.")
        if self.provenance.fingerprint != path.provenance.fingerprint:
            reject("path", "these suspects", "be the path that they were found on", "another one")
        rows = slice(1, 2) if path.labels_are.single_row else slice(None)
        outputs = Outputs.of(path)
        return SparseDecisionLayer.from_standardized(
            np.asarray(self.refit_weights)[rows],
            np.asarray(self.refit_intercepts)[rows],
            path.mean,
            path.scale,
            feature_names=path.feature_names,
            class_names=path.class_names,
            layer=path.layer,
            outputs=() if outputs is None else outputs.rows,
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per class, best evidence first."""
        import pandas as pd

        names = [self.feature_names[j] if j >= 0 else "" for j in self.features]
        return pd.DataFrame(
            {
                "class": [self.class_names[c] for c in self.classes],
                "verdict": self.statuses,
                "feature": self.features,
                "name": names,
                "region": self.regions,
                "flips": self.flips,
                "low": self.low,
                "control": self.control,
                "elsewhere": self.elsewhere,
                "high": self.high,
                "score": self.scores,
                "carriers": [tuple(j for j, _ in pairs) for pairs in self.carriers],
                "sentence": [self.sentence(k) for k in range(len(self.classes))],
            }
        )

    def repairs_frame(self) -> pd.DataFrame:
        """One row per repair of the first suspect: accuracy and worst group on coin-tossed examples."""
        import pandas as pd

        return pd.DataFrame(
            {
                "repair": self.repairs,
                "accuracy": self.accuracy,
                "worst_group_accuracy": self.worst,
                "worst_group": self.worst_groups,
                "n_nonzero": self.n_nonzero,
            }
        )

    def plot(self) -> go.Figure:
        """Flips of each class that was confirmed, beside both controls."""
        shown = np.flatnonzero(np.isfinite(self.flips))
        names = [self.class_names[self.classes[k]] for k in shown]
        nothing = (float("nan"), float("nan"))
        series = {
            "with the part": [(float(self.flips[k]), float(self.low[k]), 1.0) for k in shown],
            "the same part of others": [(float(self.control[k]), *nothing) for k in shown],
            "another part": [(float(self.elsewhere[k]), *nothing) for k in shown],
        }
        title = f"{self.n_suspects} of {len(self.classes)} classes have a suspect"
        return figures.grouped(names, series, title=title, y_title="share that becomes the class")

    def __repr__(self) -> str:
        parts = [f"{self.n_examples:,} examples, {self.forwards:,} forward passes"]
        named = [self.sentence(k) for k, status in enumerate(self.statuses) if status == FOUND]
        parts.append(
            " ".join(named) if named else "no small fixed cause found, which does not say that it is sound"
        )
        for name, accuracy, worst in zip(self.repairs, self.accuracy, self.worst, strict=True):
            parts.append(f"{name}: {100 * accuracy:.1f} %, worst group {100 * worst:.1f} %")
        return f"Suspects({'; '.join(parts)})"

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if not len(self.cells) == len(self.carriers) == len(self.classes):
            yield "other numbers of regions or carriers than of classes"
        elif any(not 0 <= j < len(self.feature_names) for pairs in self.carriers for j, _ in pairs):
            yield "carriers that are no features"


def suspects(  # noqa: PLR0913 - the one entry point, keyword-only
    path: RegularizationPath,
    model: nn.Module,
    data: object,
    *,
    features: DeepFeatures | None = None,
    index: int | None = None,
    silence: object = (),
    tokenizer: object = None,
    repair: bool = True,
    draws: int = 200,
    batch_size: int = 256,
    seed: int = 0,
    progress: object = None,
) -> Suspects:
    """Search for small fixed causes that make any example a class: the graft test.

    Half of the examples serve to find a part (cells of a picture, a phrase, columns of a table) that carries
    the features a class rests on. On the other half it is put into examples of other classes: a suspect makes
    many of them the class, where the same part of others, and another part of members, do not. Nothing clean
    and no truth is needed.

    Args:
        path: A path of the model.
        model: The live model; it is left as it was.
        data: Labelled examples, as :func:`extract_features` takes them: pictures of one size, sentences, or
            rows of numbers. Of more than 4,000 a random part is looked at.
        features: What the path was fitted to, which remember how tokens were pooled; needed for pooled ones.
        index: Index of the sparse layer; None for the one that the 5-point rule selects.
        silence: Features (names or numbers) that are silenced first, to see what else is there.
        tokenizer: For sentences that do not carry one.
        repair: Measure repairs of the strongest suspect too.
        draws: Pairs in each confirmation.
        batch_size: Examples in one forward pass.
        seed: Of the split and of all draws.
        progress: Callback, bool or None; called at least once per minibatch, may raise ``Cancelled``.

    Returns:
        A verdict for each class. None of them says that a layer is sound, see ``Suspects.cannot_see``.

    Raises:
        InputError: No labels, labels that are numbers, inputs of no such form, or a path of another model.
        Cancelled: The progress callback asked for it.

    References:
        ``docs/methods/analysis.md``: the graft test, its bounds, and how it fared on planted flaws.
    """
    started, report = time.perf_counter(), reporter(progress)
    check_int(draws, "draws", "the graft test", low=20)
    layer = class_layer(path, index=index)
    silenced = feature_numbers(path, silence)
    if silenced:
        layer = layer.without(silenced)
    examples, labels = _examples(path, model, data, tokenizer, batch_size, seed)
    view = _view(examples)
    with deep_reader(
        model, path, examples, features=features, tokenizer=tokenizer, batch_size=batch_size
    ) as read:
        tell = _Tell(report)
        read.on_chunk = tell.chunk
        z = read(view.inputs(np.arange(len(view))))
        tested = Tested(layer, read, view, z, labels)
        verdicts = graft_test(tested, seed, tell.step, draws)
        repairs = None
        if repair and verdicts[0].status == FOUND:
            tell.step(99, 100, "measuring repairs")
            repairs = measure_repairs(path, tested, verdicts[0], seed, tell.inside)
        forwards = read.count
    provenance = Provenance(
        method="suspects",
        params={"index": index, "silence": list(silenced), "draws": draws, "layer": path.layer},
        seed=seed,
        seconds=time.perf_counter() - started,
        fingerprint=path.provenance.fingerprint,
    )
    report(Progress(1, 1, f"{len(verdicts)} classes"))
    return _assemble(path, view, verdicts, repairs, provenance, forwards)


class _Tell:
    """Progress of the whole: steps are counted, and each minibatch in between is a chance to cancel."""

    def __init__(self, report: ProgressCallback) -> None:
        self._report, self._last = report, Progress(0, 1, "reading the examples")

    def step(self, done: int, total: int, note: str) -> None:
        self._last = Progress(done, max(total, 1), note)
        self._report(self._last)

    def chunk(self, _: int) -> None:
        self._report(self._last)

    def inside(self, _: Progress) -> None:
        self._report(self._last)


def _examples(
    path: RegularizationPath, model: nn.Module, data: object, tokenizer: object, batch_size: int, seed: int
) -> tuple[Any, Ints]:
    """Inputs (TextData, or an array (n, ...)) with their classes; a random part of many."""
    text = tokenized(model, data, tokenizer) if tokenizer is not None or isinstance(data, TextData) else None
    names = counted_by(path, model)
    found, inputs = [], []
    for batch in batches(data if text is None else text, batch_size, classes=names):
        if batch.labels is None:
            refuse(
                "suspects needs the labels of the examples: pass (inputs, labels), or a data set of pairs. "
                "Without labels, look at confusion and misclassification of the model's own answers."
            )
        found.append(batch.labels.detach().cpu().numpy())
        if text is None:
            if isinstance(batch.inputs, Mapping):
                must = "be pictures, sentences (with tokenizer=) or rows of numbers"
                reject("data", "the graft test", must, f"mappings of {sorted(batch.inputs)}")
            inputs.append(batch.inputs.detach().cpu().numpy())
    labels = as_classes(path, np.concatenate(found))
    if labels.dtype.kind == "f" or labels.ndim != 1:
        refuse("suspects is about classes, and the labels of these examples are numbers.")
    if labels.min() < 0 or labels.max() >= path.n_classes:
        got = f"{int(labels.min())} ... {int(labels.max())}"
        reject("labels", "the path", f"lie in 0 ... {path.n_classes - 1}", got)
    rows = np.arange(len(labels))
    if len(rows) > MAX_EXAMPLES:
        rows = np.sort(generator(seed, "suspects", "examples").permutation(rows)[:MAX_EXAMPLES])
    kept = labels[rows].astype(np.int64)
    if text is None:
        return np.concatenate(inputs)[rows], kept
    return TextData([text.sentences[k] for k in rows], kept, text.tokenizer, max_length=text.max_length), kept


def _view(examples: Any) -> View:  # noqa: ANN401 (of :func:`_examples`)
    if isinstance(examples, TextData):
        return Sentences(examples.sentences)
    form = form_of(examples[0])
    if examples.ndim == 4 and form == PICTURES:
        return Pictures(examples)
    if examples.ndim == 2 and form != SERIES:
        return Rows(examples)
    must = "be pictures (n, channels, H, W), sentences or rows of numbers (n, d)"
    return reject("data", "the graft test", must, f"{form} of shape {examples.shape}")


def _assemble(
    path: RegularizationPath,
    view: View,
    verdicts: list[Verdict],
    repairs: Repairs | None,
    provenance: Provenance,
    forwards: int,
) -> Suspects:
    shown = [v for v in verdicts if v.example]
    into, of = (np.array([v.example[k] for v in shown], np.int64) for k in (0, 1))
    before, after = view.inputs(into), view.graft(into, of, [v.region for v in shown])
    texts = isinstance(view, Sentences)
    pairs = None if texts or not shown else np.stack([before, after], 1).astype(np.float32)

    def column(name: str) -> Float64:
        return np.array([getattr(v, name) for v in verdicts], np.float64)

    return Suspects(
        provenance=provenance,
        classes=np.array([v.class_index for v in verdicts], np.int64),
        class_names=path.class_names,
        statuses=tuple(v.status for v in verdicts),
        features=np.array([v.feature for v in verdicts], np.int64),
        regions=tuple(view.describe(v.region) if v.region else "" for v in verdicts),
        cells=tuple(v.region for v in verdicts),
        unit=view.unit,
        screened=column("screened"),
        flips=column("flips"),
        low=column("low"),
        control=column("control"),
        elsewhere=column("elsewhere"),
        high=column("high"),
        scores=column("score"),
        carriers=tuple(v.carriers for v in verdicts),
        feature_names=path.feature_names,
        rows=np.array([v.example or (-1, -1) for v in verdicts], np.int64).reshape(-1, 2),
        pictures=pairs,
        sentences=tuple(zip(before, after, strict=True)) if texts else (),
        repairs=() if repairs is None else REPAIRS,
        accuracy=np.zeros(0) if repairs is None else repairs.accuracy,
        worst=np.zeros(0) if repairs is None else repairs.worst,
        worst_groups=() if repairs is None else repairs.worst_group,
        n_nonzero=np.zeros(0, np.int64) if repairs is None else repairs.n_nonzero,
        n_measured=0 if repairs is None else repairs.n_examples,
        refit_weights=None if repairs is None else repairs.weights,
        refit_intercepts=None if repairs is None else repairs.intercepts,
        n_examples=len(view),
        forwards=forwards,
    )
