"""The source of the x-feature panel: a live model and its data; its runs, jobs on a private copy."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.batching import batches, move
from sparse_debug_widgets.core.checks import InputError, refuse, shorten
from sparse_debug_widgets.core.fingerprint import combine, model_fingerprint
from sparse_debug_widgets.core.forms import as_data, numbering
from sparse_debug_widgets.core.hooks import call_model, model_untouched, placement, unwrap
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.interpret import XFeatures, x_features
from sparse_debug_widgets.interpret.deep.examples import PICTURES, Examples, class_names_for
from sparse_debug_widgets.sparse.features.origin import check_held, remembered
from sparse_debug_widgets.sparse.features.reading import tokenized
from sparse_debug_widgets.widgets.kit import fields, wire
from sparse_debug_widgets.widgets.kit.code import Cell, Expression, normalized
from sparse_debug_widgets.widgets.kit.namespace import called
from sparse_debug_widgets.widgets.kit.run_list import RunList, Shelf
from sparse_debug_widgets.widgets.kit.snapshot import snapshot
from sparse_debug_widgets.widgets.kit.stale import Watch
from sparse_debug_widgets.widgets.panels.xfeatures import code, settings

_FEW = 4


@dataclass(eq=False)
class XFeaturesRun:
    """One run.

    Attributes:
        number: Counts the runs of a model.
        values: What was in the fields.
        class_name: Of the class that is explained.
        notes: Warnings that it gave.
        found: The result, once it is there, with the names that its concepts have now.
        watch: Notices what has changed since it began.
    """

    number: int
    values: dict[str, Any]
    class_name: str
    pinned: bool = False
    notes: list[str] = field(default_factory=list)
    found: XFeatures | None = None
    job: Job[XFeatures] = field(init=False)
    watch: Watch = field(init=False)

    @property
    def about(self) -> str:
        """In one line, for a list."""
        names = () if self.found is None else self.found.names
        named = sum(name != f"H{i + 1}" for i, name in enumerate(names))
        n = len(names) or self.values["n"]
        more = f", {named} named" if named else ""
        return fields.cut(f"{self.number}: {self.class_name}, {self.values['method']}, n = {n}{more}", 200)


class XFeaturesRuns(RunList[XFeaturesRun]):
    """All runs of one live model on its data."""

    @cached_property
    def _folder(self) -> Path:
        """Of interrupted trainings: the same settings go on from there as long as the notebook lives."""
        folder = tempfile.mkdtemp(prefix="sdw-x-features-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def start(
        self, run: XFeaturesRun, model: nn.Module, data: object, more: Mapping[str, Any]
    ) -> XFeaturesRun:
        """Compute beside the notebook, on a copy that is made here and now.

        Args:
            run: What to compute.
            model: The live model; it is only copied.
            data: Its data.
            more: Other arguments of ``x_features``.

        Raises:
            InputError: The model cannot be copied.
        """
        twin = snapshot(model)
        mark = combine(model_fingerprint(twin), repr(sorted(run.values.items())))
        name = f"x-features of {run.class_name}"
        run.watch = Watch(model, data)
        more = {**more, "checkpoint": self._folder / mark}
        run.job = jobs.submit(_compute, run, twin, data, more, name=name, noun="explanation")
        self.add(run)
        return run


def _compute(
    run: XFeaturesRun, model: nn.Module, data: object, more: Mapping[str, Any], *, progress: ProgressCallback
) -> XFeatures:
    """The job."""
    options = {**settings.call_options(run.values), **more}
    with collected_notices() as run.notes:
        run.found = x_features(model, data, run.values["class_index"], progress=progress, **options)
    return run.found


def _one_by_one(examples: Examples) -> Iterator[Any]:
    read: Callable[[list[int]], Any] = examples.pictures if examples.form == PICTURES else examples.arrays
    read = examples.sentences if examples.are_text else read
    for row in range(len(examples)):
        yield read([row])[0]


def _class_names(model: nn.Module, data: object, given: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all classes; a batch tells how many, where cells run, for it needs the live model."""
    (names,) = numbering(model, as_data(data), given=given or None)
    with torch.inference_mode(mode=False), model_untouched(model) as bare, torch.no_grad():
        batch = next(iter(batches(data, _FEW, classes=names)))
        answer = call_model(bare, move(batch.inputs, *placement(bare)))
        count = logits_of(answer, rows=batch.size).shape[1]
    if names is not None and len(names) != count:
        listed = shorten(", ".join(names[:6]), 80)
        refuse(
            f"The model has {count} classes, and there are {len(names)} names ({listed}). "
            "Pass class_names= with one name for each class."
        )
    return class_names_for(names, count)


_shelf: Shelf[XFeaturesRuns] = Shelf()


class XFeaturesSource:
    """A live model, its data, and what has been computed of them; knows nothing of widgets.

    Args:
        model: The live model; None for a result alone.
        data: Its data; None for a result alone.
        test: Held-out data, or None.
        class_names: One per class; those of the data by default.
        normalize: See :mod:`core.pixels`.
        tokenizer: For sentences that do not carry one.

    Attributes:
        class_names: Names of all classes.
        layers: Names of layers to choose from.
        watch: Notices what has changed since now.
        runs: What has been computed of this model and these data.

    Raises:
        InputError: Data that cannot be read, or that the model does not take.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 (an nn.Module or None)
        data: Any,  # noqa: ANN401 (whatever core.batching takes)
        test: Any,  # noqa: ANN401 (likewise)
        class_names: Sequence[str],
        normalize: Any = None,  # noqa: ANN401 (see core.pixels)
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
    ) -> None:
        self.model = None if model is None else unwrap(model)
        self._said = (data, test, tokenizer)
        if tokenizer is not None:
            data, test = (
                None if part is None else tokenized(self.model, part, tokenizer) for part in (data, test)
            )
        self.data, self._test = data, test
        self.normalize = normalize
        names = tuple(str(name) for name in class_names)
        if self.model is not None and not self.missing:
            names = _class_names(self.model, data, names)
        self.class_names = names
        self.layers = settings.layers_of(self.model)
        self.watch = Watch(self.model, self.data)
        self.runs: XFeaturesRuns = (
            XFeaturesRuns() if self.missing else _shelf.take((self.model, *self._said[:2]), XFeaturesRuns)
        )

    @property
    def missing(self) -> str:
        """Say what there is to do before something can be computed; empty if nothing."""
        if self.model is not None and self.data is not None:
            return ""
        return "To compute it here, show the panel with its model and data."

    def check_result(self, found: XFeatures) -> None:
        """Refuse a result of other data than these.

        Raises:
            InputError: Its gallery is not of these data.
        """
        shown = self.data if self._test is None else self._test
        try:
            examples = None if shown is None else Examples(shown)
        except InputError:
            return  # data that only flow by
        inputs = found.texts or found.images
        if examples is None or not np.size(inputs):
            return
        advice = "Pass the data, and test= if there was one, that it was computed from."
        if "sizes" in found.provenance.params:
            advice = f"It was computed from {remembered(found)}: pass these."
        check_held(inputs, lambda: _one_by_one(examples), "these x-features", shown, advice)

    def start(self, given: Mapping[str, Any], found: XFeatures | None) -> dict[str, Any]:
        """Settings to begin with: what the caller chose, else those of a result.

        Raises:
            InputError: An unknown name, or a value that cannot be.
        """
        first: dict[str, Any] = {}
        if found is not None:
            known = {"class_index": found.class_index, "method": found.method, "n": found.n}
            known |= {"layer": found.layer, "gallery": len(found.images), "seed": found.provenance.seed}
            known |= {"contrastive": found.provenance.params.get("contrastive")}
            first = {name: value for name, value in known.items() if value is not None}
            if first.get("layer") not in self.layers:
                del first["layer"]
        return self.checked({**first, **given})

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All settings in their own types.

        Raises:
            InputError: An unknown name, a value out of its range, no such class or layer.
        """
        return settings.checked(values, self.layers, self.class_names)

    def compute(self, values: Mapping[str, Any]) -> XFeaturesRun:
        """Start a run.

        Raises:
            InputError: No model or data, a setting that cannot be, or a run that is still at work.
        """
        if self.model is None or self.missing:
            has = "no data" if self.model is not None else "a result only"
            refuse(f"This panel has {has}. {self.missing}")
        good = self.checked(values)
        self.runs.check_free()
        name = fields.cut(self.class_names[good["class_index"]], 100)
        more = {"test": self._test, "class_names": self.class_names, "normalize": self.normalize}
        return self.runs.start(XFeaturesRun(self.runs.next_number(), good, name), self.model, self.data, more)

    def names(self) -> dict[str, str]:
        """Return what the notebook calls the model and its data."""
        data, test, _ = self._said
        names = {"model": called(self.model, "model"), "data": called(data, "data")}
        return names if test is None else {**names, "test": called(test, "test")}

    def cell(self, values: Mapping[str, Any]) -> Cell:
        """The calls that do what the fields say."""
        tokenizer = self._said[2]
        more = normalized(self.normalize)
        if tokenizer is not None:
            more["tokenizer"] = Expression(called(tokenizer, "tokenizer"))
        return code.cell(self.checked(values), self.names(), more)

    def head(self) -> dict[str, Any]:
        """Return what the page knows from the beginning."""
        start = settings.checked({}, self.layers, ())
        head: dict[str, Any] = wire.jsonable(
            {
                "live": not self.missing,
                "kernel": True,
                "classes": fields.labels(self.class_names, limit=100),
                "fields": settings.fields(fields.labels(self.layers, limit=100), start),
            }
        )
        return head
