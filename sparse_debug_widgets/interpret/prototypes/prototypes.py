"""``find_prototypes``: the examples that activate a feature most and least (the paper's B.2, step 1)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import batches, count_examples, move
from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.core.fingerprint import combine, model_fingerprint
from sparse_debug_widgets.core.forms import names_for
from sparse_debug_widgets.core.pixels import box_params, known_box
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.interpret.deep.examples import Examples, class_names_for
from sparse_debug_widgets.interpret.deep.live import live_features
from sparse_debug_widgets.interpret.deep.units import FeatureUnits, place_of, units_of
from sparse_debug_widgets.interpret.prototypes.figure import prototype_figure
from sparse_debug_widgets.interpret.prototypes.scan import Batch, Scan
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.labels import as_labels
from sparse_debug_widgets.sparse.features.origin import check_origin
from sparse_debug_widgets.sparse.features.standardize import RunningMoments

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_ROWS_AT_ONCE = 4096
_WHAT = "prototypes"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prototypes(Result):
    """The most and least activating examples of F features, with the histogram they stand in.

    Rows are -1 and activations NaN where there are fewer than k examples, and for features that are
    constant: no example of theirs is more typical than another.

    Attributes:
        features: (F,) feature numbers.
        feature_names: F names.
        class_names: C names.
        n: Examples looked at.
        top: (F, k) rows of the most activating examples, best first.
        top_activations: (F, k) standardised.
        bottom: (F, k) rows of the least activating ones, least first.
        bottom_activations: (F, k) standardised.
        class_top: (F, C, k) rows within each class, or None.
        class_top_activations: (F, C, k), or None.
        class_bottom: (F, C, k), or None.
        class_bottom_activations: (F, C, k), or None.
        labels: (F, 2, k) class of the top and of the bottom examples; -1 where unknown.
        counts: (F, 64) histogram.
        edges: (F, 65) of its bins, standardised units.
        at_minimum: (F,) examples that share the lowest activation: of a feature that rests at 0 the bottom
            ones are only the first of these.
        constant: (F,) bool, the same for all examples.
        shown_rows: (m,) rows whose pictures or sentences are kept.
        pictures: (m, channels, H, W) float32, or None.
        sentences: m texts, or None.
    """

    kind: ClassVar[str] = "prototypes"
    arrays: ClassVar[Mapping[str, str]] = {
        "features": "F index",
        "feature_names": "F names",
        "class_names": "C names",
        "top": "F k class",
        "top_activations": "F k float",
        "bottom": "F k class",
        "bottom_activations": "F k float",
        "class_top": "? F c k class",
        "class_top_activations": "? F c k float",
        "class_bottom": "? F c k class",
        "class_bottom_activations": "? F c k float",
        "labels": "F 2 k class",
        "counts": "F bins index",
        "edges": "F bins+1 float",
        "at_minimum": "F index",
        "constant": "F bool",
        "shown_rows": "m index increasing",
        "pictures": "? m channels H W float",
        "sentences": "? m names",
    }

    features: Array
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    n: int
    top: Array
    top_activations: Array
    bottom: Array
    bottom_activations: Array
    class_top: Array | None
    class_top_activations: Array | None
    class_bottom: Array | None
    class_bottom_activations: Array | None
    labels: Array
    counts: Array
    edges: Array
    at_minimum: Array
    constant: Array
    shown_rows: Array
    pictures: Array | None
    sentences: tuple[str, ...] | None

    def place(self, feature: int | str) -> int:
        """Position of a feature in the arrays, by its number in the model or by its name.

        Args:
            feature: Its number in the model, or its name.

        Raises:
            InputError: It is not among them.
        """
        return place_of(feature, self.features, self.feature_names, _WHAT)

    def percentile(self, feature: int | str, activation: float) -> float:
        """Share of the examples (in percent) below an activation, read off the histogram.

        Args:
            feature: Its number in the model, or its name.
            activation: A value of the feature, in the units of these prototypes.
        """
        j = self.place(feature)
        below = np.concatenate([[0], np.cumsum(self.counts[j])]) / max(self.n, 1)
        return float(100 * np.interp(activation, self.edges[j], below))

    def faults(self) -> Iterator[str]:
        """See the base class."""
        ends = np.concatenate([self.top[:, :1], self.bottom[:, :1]])
        if len(self.shown_rows) and not np.isin(ends[ends >= 0], self.shown_rows).all():
            yield "prototypes that are not among shown_rows"

    def to_frame(self) -> pd.DataFrame:
        """One row per prototype: feature, side, rank, row of the data, class, activation, percentile."""
        import pandas as pd

        sides = (("top", self.top, self.top_activations), ("bottom", self.bottom, self.bottom_activations))
        table = [
            {
                "feature": int(self.features[j]),
                "name": self.feature_names[j],
                "side": side,
                "rank": r + 1,
                "row": int(rows[j, r]),
                "class": self._class_name(int(self.labels[j, s, r])),
                "activation": float(values[j, r]),
                "percentile": 100 * (r + 0.5 if s else self.n - r - 0.5) / self.n,
            }
            for j in range(len(self.features))
            for s, (side, rows, values) in enumerate(sides)
            for r in range(rows.shape[1])
            if rows[j, r] >= 0
        ]
        columns = ["feature", "name", "side", "rank", "row", "class", "activation", "percentile"]
        return pd.DataFrame(table, columns=columns)

    def _class_name(self, label: int) -> str:
        return self.class_names[label] if 0 <= label < len(self.class_names) else ""

    def plot(self, features: Iterable[int | str] | None = None, *, n: int = 6) -> go.Figure:
        """Histogram with the prototypes' places, and their pictures if kept, one row per feature.

        Args:
            features: Numbers or names; the first ``n`` by default.
            n: How many features are drawn at most.
        """
        wanted = range(len(self.features)) if features is None else [self.place(one) for one in features]
        return prototype_figure(self, list(wanted)[:n])


def find_prototypes(  # noqa: PLR0913 - the one entry point, keyword-only
    source: DeepFeatures | nn.Module,
    data: object = None,
    *,
    test: object = None,
    features: object = None,
    units: object = None,
    k: int = 5,
    split: int | str | None = None,
    per_class: bool = True,
    layer: str | None = None,
    batch_size: int = 256,
    normalize: object = None,
    progress: object = None,
) -> Prototypes:
    """The k most and least activating examples of each feature, in one pass and in bounded memory.

    Args:
        source: ``DeepFeatures``, or a live model, which is run over ``data`` and left untouched.
        data: For a model: Dataset, DataLoader or (X, y). For deep features: the data they were taken from, as
            pictures or as a sequence of sentences, to keep the prototypes themselves; may be None.
        test: The test data, if the features were extracted with some.
        features: Names or numbers; None for all that vary.
        units: For a model: ``DeepFeatures`` or a path, whose mean and scale standardise the activations; None
            takes those of ``data``.
        k: Examples at each end.
        split: For deep features: "train", "validation", "test", or None for all rows.
        per_class: Also the prototypes within each class.
        layer: For a model: name of the decision layer, if not found.
        batch_size: For a model: examples at a time.
        normalize: How the pictures were normalised, if they were, so that they are shown as they are:
            (mean, std), a transform or torchvision weights
            (:func:`~sparse_debug_widgets.core.pixels.normalization`). Data sets that carry their
            transforms need not say it.
        progress: Callback, bool or None.

    Returns:
        The prototypes.

    Raises:
        InputError: Data, features or parameters that do not fit.
        Cancelled: The progress callback asked for it.

    References:
        Wong, Santurkar, Madry, "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021,
        section B.2; ``docs/methods/interpretation.md``.
    """
    started = time.perf_counter()
    check_int(k, "k", _WHAT)
    known_box(normalize, data)  # refused before the work
    report = reporter(progress)
    if isinstance(source, DeepFeatures):
        known = units_of(source)
        columns = known.indices(features)
        scan = Scan(known, columns, source.class_names, k, per_class=per_class)
        chosen = source.rows(split)
        if not chosen.any():
            refuse(f"The split {split!r} has no examples: choose another one.")
        if data is not None:
            check_origin(source, data, test, rows=np.flatnonzero(chosen))
        for batch in _stored(source, chosen, columns):
            report(Progress(int(batch.rows[0]), source.n, "prototypes"))
            scan.update(batch)
        report(Progress(source.n, source.n, "prototypes"))
        fingerprint = source.provenance.fingerprint
    else:
        if data is None:
            refuse("Prototypes of a live model need its data: find_prototypes(model, data).")
        scan = _scan_model(source, data, features, units, layer, batch_size, k, per_class, report)
        fingerprint = combine(model_fingerprint(source), "" if units is None else units_of(units).fingerprint)
    params: dict[str, Any] = {"k": k, "split": split, "per_class": per_class, "layer": scan.units.layer}
    params["box"] = box_params(known_box(normalize, data))
    provenance = Provenance(
        method="find_prototypes",
        params=params,
        seconds=time.perf_counter() - started,
        fingerprint=fingerprint,
    )
    examples = Examples(data, test) if data is not None else None
    return Prototypes(provenance=provenance, **scan.finish(examples))


def _stored(source: DeepFeatures, chosen: Array, columns: Array) -> Iterator[Batch]:
    classes = source.labels.dtype.kind in "iu"
    rows = np.flatnonzero(chosen)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        values = np.asarray(source.values[part[0] : part[-1] + 1])[part - part[0]][:, columns]
        yield Batch(values, part, source.labels[part] if classes else np.full(len(part), -1))


def _scan_model(  # noqa: PLR0913, PLR0917 - the arguments of the public function
    model: nn.Module,
    data: object,
    features: object,
    units: object,
    layer: str | None,
    batch_size: int,
    k: int,
    per_class: bool,
    report: Any,  # noqa: ANN401
) -> Scan:
    """One pass of a live model over data."""
    known = None if units is None else units_of(units)
    first = next(iter(batches(data, batch_size))).inputs
    done, scan, moments = 0, None, None
    names = names_for(model, data)
    where = layer or (known.layer if known else None)
    with live_features(model, first, where, n_features=known.p if known else None) as live, torch.no_grad():
        total = count_examples(data) or 0
        for batch in batches(data, batch_size, note="prototypes", classes=names):
            report(Progress(done, total, "prototypes"))
            raw = live(move(batch.inputs, live.device)).float().cpu().numpy()
            labels = np.full(batch.size, -1)
            if batch.labels is not None:
                labels = as_labels(batch.labels, None, batch.size)[0]
                labels = labels if labels.dtype.kind in "iu" else np.full(batch.size, -1)
            if scan is None:
                scan = Scan(
                    known or _own_units(live.layer, live.n_features), None, (), k, per_class=per_class
                )
                scan.columns = scan.units.indices(features)
            if known is None:
                found = RunningMoments.of(raw.astype(np.float64))
                moments = found if moments is None else moments + found
            scan.update(Batch(raw[:, scan.columns], np.arange(done, done + batch.size), labels))
            done += batch.size
        report(Progress(done, max(done, total), "prototypes"))
    if scan is None:
        reject("data", _WHAT, "hold at least one example", "none")
    if moments is not None:
        mean, scale, alive = moments.finish()
        own = scan.units
        scan.units = FeatureUnits(own.layer, mean, scale, alive, own.names)
    scan.class_names = class_names_for(names, int(scan.classes))
    return scan


def _own_units(layer: str, p: int) -> FeatureUnits:
    names = tuple(f"feature {j}" for j in range(p))
    return FeatureUnits(layer, np.zeros(p), np.ones(p), np.ones(p, bool), names)
