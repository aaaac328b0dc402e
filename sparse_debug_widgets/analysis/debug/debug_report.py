"""The whole job: features, path, who is right about what, errors and their features, repairs measured."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn

from sparse_debug_widgets.analysis.common.groups import (
    GivenGroups,
    check_length,
    groups_of,
    listed_groups,
)
from sparse_debug_widgets.analysis.common.layers import ClassLayer, Examined, class_layers, examined_rows
from sparse_debug_widgets.analysis.common.rates import mcnemar
from sparse_debug_widgets.analysis.debug import sentences
from sparse_debug_widgets.analysis.debug.blame import Blamed, blamed_features, table_of
from sparse_debug_widgets.analysis.debug.counts import counts_of
from sparse_debug_widgets.analysis.debug.report import DebugReport
from sparse_debug_widgets.analysis.debug.stages import DENSE, REFIT, SILENCED, SPARSE
from sparse_debug_widgets.analysis.debug.unlabelled import as_debugged, has_labels, with_answers
from sparse_debug_widgets.analysis.misclassification import Misclassification, misclassification
from sparse_debug_widgets.analysis.suspects.suspects import Suspects, suspects
from sparse_debug_widgets.core.batching import count_examples
from sparse_debug_widgets.core.checks import InputError, check_int, refuse, reject
from sparse_debug_widgets.core.pixels import known_box
from sparse_debug_widgets.core.progress import Phases, Progress, reporter
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.interpret.deep.examples import PICTURES, SENTENCES, Examples, rgb_bytes
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.features.extract import extract_features
from sparse_debug_widgets.sparse.features.labels import SPLIT_NAMES
from sparse_debug_widgets.sparse.path.path import elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.problem.families import FAMILIES

N_SHOWN = 24
_ALPHA = 0.05
_LABELS, _ANSWERS, _NUMBERS = "labels", "answers", "numbers"
_READ, _FIT, _LOOK = "reading the model's features", "fitting sparse layers", "looking at errors"
_SEARCH = "looking for small causes"
_SECONDS = {_READ: 4.0, _FIT: 2.0, _LOOK: 1.0, _SEARCH: 6.0}


class Investigation(NamedTuple):
    """A report with what it was made from.

    Attributes:
        features: Deep features of data and test data.
        path: The path that was fitted to them.
        report: The findings.
        data: The data, with the model's answers as labels where they have none.
        test: The test data, likewise, or None.
    """

    features: DeepFeatures
    path: RegularizationPath
    report: DebugReport
    data: Any
    test: Any


class Settings(NamedTuple):
    """The choices of a person beside the model and the data; see :func:`debug_report`."""

    groups: object = None
    tokenizer: object = None
    normalize: object = None
    class_names: Iterable[object] | None = None
    layer: str | None = None
    max_length: int | None = None
    batch_size: int = 256
    seed: int = 0
    search: bool = True


def debug_report(  # noqa: PLR0913 - the one entry point, keyword-only
    model: nn.Module,
    data: object,
    test: object = None,
    *,
    groups: object = None,
    tokenizer: object = None,
    normalize: object = None,
    class_names: Iterable[object] | None = None,
    layer: str | None = None,
    max_length: int | None = None,
    batch_size: int = 256,
    seed: int = 0,
    search: bool = True,
    progress: object = None,
) -> DebugReport:
    """Find out why a model is wrong: one call from the live model and its data to a report.

    A sparse decision layer is fitted to the model's deep features; its errors, the features that make them,
    and what silencing those features does to every class and group are measured on rows that no layer was
    fitted to. The model itself stays as it is.

    Args:
        model: The live classifier; one that predicts numbers gets a report without classes.
        data: Data that the sparse layer is fitted to, as :func:`extract_features` takes them. Data without
            labels get the model's own answers as labels.
        test: Data that are looked at; without them it is a tenth of ``data``, which is held out.
        groups: A label for each example (of data, then of test; or of test alone), for example its origin.
        tokenizer: For sentences, see :func:`extract_features`.
        normalize: How pictures were normalised, so that they are shown as they are: (mean, std), a transform.
        class_names: One per class, in the order of the model's outputs.
        layer: Name of the decision layer; found if None.
        max_length: Tokens read of each sentence.
        batch_size: Examples in one forward pass.
        seed: Of the split and of the controls.
        search: Look for small fixed causes too (:func:`suspects`), which sends up to 10,000 more examples
            through the model.
        progress: Callback, bool or None; may raise ``Cancelled``.

    Returns:
        The report: ``print`` it, ask ``.suspects``, ``.errors()``, ``.to_frame()``, write ``.to_html(path)``.

    Raises:
        InputError: A model, data or settings that do not fit; the message says what to do.
        Cancelled: The progress callback asked for it.

    References:
        Wong, Santurkar, Madry, "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021,
        sections 3 and 4; ``docs/methods/analysis.md``.
    """
    options = (tokenizer, normalize, class_names, layer, max_length, batch_size, seed, search)
    settings = Settings(groups, *options)
    return investigate(model, data, test, settings, progress=progress).report


def check_settings(model: object, data: Any, test: Any, settings: Settings) -> tuple[Any, Any]:  # noqa: ANN401
    """Refuse what cannot be debugged before long work begins.

    Returns:
        Data and test data in the form that everything takes.

    Raises:
        InputError: No model, data of no known form, or settings that do not fit them.
    """
    if not isinstance(model, nn.Module):
        reject("model", "debugging", "be a live nn.Module", type(model).__name__)
    check_int(settings.batch_size, "batch_size", "debugging")
    known_box(settings.normalize, data)
    given = listed_groups(settings.groups)
    parts = [
        None if part is None else as_debugged(part, settings.tokenizer, settings.max_length)
        for part in (data, test)
    ]
    if parts[0] is None:
        reject("data", "debugging", "be examples that the model takes", "None")
    if any(part is not None and count_examples(part) == 0 for part in parts):
        refuse("There are no examples in these data. Pass at least a few of each class.")
    check_length(given, count_examples(parts[0]), 0 if test is None else count_examples(parts[1]))
    labelled = [has_labels(part) for part in parts if part is not None]
    if len(set(labelled)) > 1:
        refuse("Data and test data must both have labels, or neither: one of them has none.")
    return parts[0], parts[1]


def investigate(
    model: nn.Module,
    data: object,
    test: object,
    settings: Settings,
    *,
    progress: object = None,
) -> Investigation:
    """The job behind :func:`debug_report`, with all that it made.

    Args:
        model: The live model.
        data: Its data.
        test: Test data, or None.
        settings: The rest.
        progress: Called at least once per minibatch; may raise Cancelled.
    """
    started = time.perf_counter()
    phases = Phases(reporter(progress), _SECONDS)
    kept, kept_test = check_settings(model, data, test, settings)
    labels_are = _LABELS
    reading = phases.phase(_READ)
    if not has_labels(kept):
        labels_are = _ANSWERS
        kept, kept_test = (
            None if part is None else with_answers(model, part, settings.batch_size, reading)
            for part in (kept, kept_test)
        )
    features = extract_features(
        model,
        kept,
        test=kept_test,
        class_names=settings.class_names,
        layer=settings.layer,
        batch_size=settings.batch_size,
        seed=settings.seed,
        progress=reading,
    )
    groups = groups_of(features, listed_groups(settings.groups))
    if features.labels.dtype.kind == "f":
        labels_are = _NUMBERS
    family = next(name for name, one in FAMILIES.items() if one.numbers == (labels_are == _NUMBERS))
    path = elastic_net_path(features, family=family, seed=settings.seed, progress=phases.phase(_FIT))
    looking = phases.phase(_LOOK)
    examples, box = Examples(kept, kept_test), known_box(settings.normalize, data)

    def told(causes: Suspects | None, note: str) -> Investigation:
        fields = (
            _of_numbers(path, features)
            if labels_are == _NUMBERS
            else _of_classes(path, features, groups, settings.seed, causes, looking)
        )
        fields |= _of_causes(causes, box) | {"search_note": note}
        rows = fields["error_rows"][:N_SHOWN]
        form, texts, pictures = _shown(examples, rows, box)
        report = DebugReport(
            provenance=Provenance(
                method="debug_report",
                params={"layer": features.layer, "batch_size": settings.batch_size},
                seed=settings.seed,
                seconds=time.perf_counter() - started,
                fingerprint=path.provenance.fingerprint,
            ),
            form=form,
            labels_are=labels_are,
            shown_rows=rows,
            shown_texts=texts,
            shown_pictures=pictures,
            sentences=(),
            left_out=(),
            **fields,
        )
        said = replace(report, sentences=sentences.findings(report), left_out=sentences.left_out(report))
        return Investigation(features, path, said, kept, kept_test)

    note = "" if settings.search else "Small causes were not looked for: search=True does."
    found = told(None, note)
    if settings.search and labels_are != _NUMBERS:
        looking(Progress(1, 1, "first findings", piece=found))
        try:
            causes = suspects(
                path,
                model,
                kept,
                features=features,
                batch_size=settings.batch_size,
                seed=settings.seed,
                progress=phases.phase(_SEARCH),
            )
        except InputError as error:
            # What the search cannot read does not take the rest of the report away.
            found = told(None, f"Small causes were not looked for. {error}")
        else:
            found = told(causes, "")
    phases.finish("debugging")
    return found


def carriers_of(causes: Suspects | None) -> dict[int, tuple[str, str]]:
    """Features that carry a small cause, with the class that it makes and what it is; strongest first."""
    found: dict[int, tuple[str, str]] = {}
    if causes is not None:
        for k in range(causes.n_suspects):
            name = causes.class_names[causes.classes[k]]
            for feature, _ in causes.carriers[k]:
                found.setdefault(feature, (name, causes.regions[k]))
    return found


def _strongest(causes: Suspects | None) -> tuple[int, ...]:
    """Features that carry the strongest suspect."""
    if causes is None or not causes.n_suspects:
        return ()
    return tuple(feature for feature, _ in causes.carriers[0])


def _of_causes(causes: Suspects | None, box: Any) -> dict[str, Any]:  # noqa: ANN401 (a range of pixels)
    """The fields about small causes."""
    if causes is None:
        return {}
    frame = causes.to_frame()
    pictures: npt.NDArray[np.uint8] | None = None
    if causes.pictures is not None and causes.pictures.ndim == 5:
        shown = rgb_bytes(causes.pictures.reshape(-1, *causes.pictures.shape[2:]), box)
        pictures = shown.reshape(-1, 2, *shown.shape[1:])
    return {
        "cause_columns": tuple(map(str, frame.columns)),
        "cause_table": {str(name): tuple(frame[name].tolist()) for name in frame.columns},
        "cause_texts": causes.sentences,
        "cause_pictures": pictures,
        "repair_names": causes.repairs,
        "repair_accuracies": causes.accuracy,
        "repair_worst": causes.worst,
        "repair_groups": causes.worst_groups,
    }


def _of_layer(path: RegularizationPath, split: str) -> dict[str, Any]:
    """The fields about the sparse layer."""
    index = path.select()
    weights = np.abs(path.weights_at(index)).max(0)
    used = np.argsort(-weights, kind="stable")[: int((weights > 0).sum())]
    return {
        "split": split,
        "index": index,
        "strength": float(path.lambdas[index]),
        "feature_names": path.feature_names,
        "used": used.astype(np.int64),
        "n_nonzero": np.asarray(path.n_nonzero[index], np.int64),
    }


def _of_classes(
    path: RegularizationPath,
    features: DeepFeatures,
    groups: GivenGroups,
    seed: int,
    causes: Suspects | None,
    progress: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """The fields of a report about classes."""
    examined = examined_rows(path, features, what="debugging")
    fields = _of_layer(path, examined.split)
    layers = {name: one for name, one in class_layers(path).items() if name in {DENSE, SPARSE}}
    layers = {name: layers[name] for name in (DENSE, SPARSE) if name in layers}
    found = misclassification(path, features, layers=[SPARSE], split=examined.split, seed=seed)
    carriers = carriers_of(causes)
    blamed = blamed_features(layers[SPARSE], examined, found, progress, carriers)
    silenced = worth_silencing(layers[SPARSE], examined, blamed) or _strongest(causes)
    if silenced:
        layers[SILENCED] = layers[SPARSE].without(silenced)
    if causes is not None and causes.refit_weights is not None and causes.refit_intercepts is not None:
        shared = path.labels_are.single_row
        layers[REFIT] = ClassLayer(REFIT, causes.refit_weights, causes.refit_intercepts, shared)
    counts = counts_of(layers, examined, path.n_classes, groups.numbers[examined.rows], len(groups.names))
    progress(Progress(1, 1, _LOOK))
    n = max(1, len(examined.rows))
    return fields | {
        "stages": tuple(layers),
        "accuracies": counts.class_hits.sum(1) / n,
        "class_names": path.class_names,
        "class_counts": counts.class_counts,
        "class_hits": counts.class_hits,
        "confusion": counts.confusion,
        "group_names": groups.names,
        "group_counts": counts.group_counts,
        "group_hits": counts.group_hits,
        "silenced": np.asarray(silenced, np.int64),
        "suspect_columns": Blamed._fields,
        "suspect_table": table_of(blamed),
        **_errors(found),
    }


def worth_silencing(layer: ClassLayer, examined: Examined, blamed: list[Blamed]) -> tuple[int, ...]:
    """Features to silence together: each further one mends more rows than it breaks, beyond chance.

    Half of the rows choose, the other half must agree: a feature that only fits the rows it was chosen on
    is not silenced.

    Args:
        layer: The sparse layer.
        examined: The rows.
        blamed: Candidates, in the order in which they are tried.
    """
    chosen: tuple[int, ...] = ()
    first = np.arange(len(examined.labels)) % 2 == 0
    before = layer.predictions(examined.z) == examined.labels
    for one in blamed:
        tried = (*chosen, one.feature)
        after = layer.without(tried).predictions(examined.z) == examined.labels
        gained = after[first].sum() > before[first].sum()
        if gained and _sure(before[~first], after[~first], len(blamed)):
            chosen, before = tried, after
    return chosen


def _sure(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_], tries: int) -> bool:
    return mcnemar(before, after, alternative="greater") <= _ALPHA / max(1, tries)


def _errors(found: Misclassification) -> dict[str, Any]:
    """The fields about errors, the surest mistakes first."""
    order = np.argsort(-found.margin, kind="stable")
    fields = {
        "error_rows": found.rows,
        "error_labels": found.labels,
        "error_predictions": found.predictions,
        "error_features": found.problematic,
        "error_gammas": found.gamma,
        "error_margins": found.margin,
        "error_answers": found.flipped_to,
        "error_controls": found.random_flipped_to,
    }
    return {name: values[order] for name, values in fields.items()}


def _of_numbers(path: RegularizationPath, features: DeepFeatures) -> dict[str, Any]:
    """The fields of a report about a model that predicts numbers."""
    place = next(k for k in (2, 1, 0) if features.rows(k).any())
    fields = _of_layer(path, SPLIT_NAMES[place])
    accuracies = {DENSE: path.dense_accuracies[place], SPARSE: path.accuracies[fields["index"], place]}
    known = {name: float(value) for name, value in accuracies.items() if name == SPARSE or np.isfinite(value)}
    empty = np.zeros(0, np.int64)
    ints = ("error_rows", "error_labels", "error_predictions", "error_features", "error_answers")
    none_of: Mapping[str, Any] = dict.fromkeys((*ints, "error_controls"), empty)
    return fields | {
        "stages": tuple(known),
        "accuracies": np.asarray(list(known.values()), np.float64),
        "class_names": (),
        "class_counts": empty,
        "class_hits": np.zeros((len(known), 0), np.int64),
        "confusion": np.zeros((len(known), 0, 0), np.int64),
        "group_names": (),
        "group_counts": empty,
        "group_hits": np.zeros((len(known), 0), np.int64),
        "silenced": empty,
        "suspect_columns": Blamed._fields,
        "suspect_table": table_of([]),
        "error_gammas": np.zeros(0),
        "error_margins": np.zeros(0),
        **none_of,
    }


def _shown(
    examples: Examples,
    rows: npt.NDArray[np.int64],
    box: Any,  # noqa: ANN401 (a range of pixels)
) -> tuple[str, tuple[str, ...], npt.NDArray[np.uint8] | None]:
    """The form of the examples, and sentences or pictures of some rows."""
    form = examples.form
    if form == SENTENCES:
        return form, examples.sentences(rows), None
    same = len({np.shape(examples[row]) for row in rows}) == 1
    if form == PICTURES and same:
        return form, (), rgb_bytes(examples.pictures(rows), box)
    return form, (), None
