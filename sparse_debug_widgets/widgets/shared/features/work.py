"""The work of the Features panel beside the notebook: one job that always does what is wanted most.

The page says which features are on the screen. After each finished piece (one explained example, one batch of
visualised features) the job asks again what is missing there, so that scrolling or another lambda never waits
for a long list, and nothing is computed twice.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine, model_fingerprint
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.core.storage import StorageError
from sparse_debug_widgets.interpret import (
    ImageExplanations,
    Prototypes,
    TextExplanations,
    Visualizations,
    find_prototypes,
    lime_images,
    lime_text,
    visualize_features,
)
from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.widgets.shared.features.source import PICTURES, TEXT, FeatureSource

LIME, PICTURE = "lime", "picture"
_GROUP = 6
# Features visualised in one batch: enough to share its cost, few enough to come soon.
_AT_ONCE = 4
# Numbers that are looked through while somebody waits for the panel.
_AT_HAND = 1_000_000


@dataclass(frozen=True)
class Plan:
    """The settings by which features are interpreted.

    Attributes:
        k: Prototypes at each end.
        explained: Pictures of each feature that LIME explains; of sentences all k at both ends.
        n_samples: LIME's samples for each example.
        n_steps: Steps of a visualisation.
        seed: Of both.
        cache: Folder that keeps LIME's answers and visualisations; None for memory only.
    """

    k: int = 5
    explained: int = 2
    n_samples: int = 1000
    n_steps: int = 256
    seed: int = 0
    cache: FilePath | None = None


class Wanted:
    """The features on the screen, and those that come next; written by the page, read by the job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: tuple[tuple[int, ...], ...] = ()
        self.stages: frozenset[str] = frozenset({LIME, PICTURE})

    def set(self, visible: Sequence[int], rest: Sequence[int], stages: frozenset[str]) -> None:
        """Those on the screen first, the others in small groups."""
        left = [j for j in dict.fromkeys(rest) if j not in set(visible)]
        chunks = [tuple(left[k : k + _GROUP]) for k in range(0, len(left), _GROUP)]
        with self._lock:
            self._groups = (tuple(dict.fromkeys(visible)), *chunks)
            self.stages = stages

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Groups of features, most wanted first."""
        with self._lock:
            return self._groups


class FeatureFindings:
    """The findings for one model, path and data; panels that come later share them.

    Attributes:
        deep: Deep features of all examples, if they had to be taken.
        prototypes: Of all features; None until the data have been read.
        complete: Whether they are of all examples.
        explained: Row -> what LIME says of it, for all features.
        pictures: Feature -> its visualisations.
        revisions: Feature -> how often something new has been found for it.
        words: Sentences explained: what word clouds are made of.
        base: How often the prototypes were found.
        troubles: Stage -> why it does not work here.
        notes: What was warned of.
    """

    def __init__(self) -> None:
        self.deep: DeepFeatures | None = None
        self.prototypes: Prototypes | None = None
        self.complete = False
        self.explained: dict[int, ImageExplanations | TextExplanations] = {}
        self.pictures: dict[int, Visualizations] = {}
        self.revisions: Counter[int] = Counter()
        self.base = 0
        self.words = 0
        self.troubles: dict[str, str] = {}
        self.notes: list[str] = []

    def revision(self, feature: int) -> int:
        """Grows with all that is found for a feature."""
        if self.prototypes is None:
            return 0
        # Every feature hears every sentence: with each, all word clouds change.
        return 100_000 * self.base + self.words + self.revisions[feature]


_founds: weakref.WeakKeyDictionary[Any, list[tuple[Any, Any, FeatureFindings]]] = weakref.WeakKeyDictionary()


def found_before(path: object, things: tuple[Any, ...], settings: tuple[Any, ...]) -> FeatureFindings:
    """Return what has been found for a path before, or an empty place for it.

    Args:
        path: The path; its findings live as long as it does.
        things: Model, data and features: the very same objects.
        settings: Fingerprint of the model and plan: equal ones.
    """
    try:
        known = _founds.setdefault(path, [])
    except TypeError:  # no path of ours: one that can be neither hashed nor referred to weakly
        return FeatureFindings()
    for others, set_so, found in known:
        if set_so == settings and all(a is b for a, b in zip(others, things, strict=True)):
            return found
    found = FeatureFindings()
    known.append((things, settings, found))
    return found


class _Step(NamedTuple):
    stage: str
    note: str
    rows: tuple[int, ...] = ()
    features: tuple[int, ...] = ()


def pending(source: FeatureSource, found: FeatureFindings, wanted: Wanted, plan: Plan) -> list[_Step]:
    """List what is missing, most wanted first; nothing while there are no prototypes to explain."""
    if found.prototypes is None:
        return []
    stages = wanted.stages - set(found.troubles)
    steps: dict[_Step, None] = {}
    for group in wanted.groups():
        steps |= dict.fromkeys(_of_group(group, source, found, plan, stages))
    return list(steps)


def _of_group(
    group: Sequence[int], source: FeatureSource, found: FeatureFindings, plan: Plan, stages: frozenset[str]
) -> Iterator[_Step]:
    """The best example of each feature, then visualisations, then the other examples."""
    lists = [examples_of(found.prototypes, j, source.kind, plan) for j in group] if LIME in stages else []
    explain = [rows[:1] for rows in lists] + [rows[1:] for rows in lists]
    for number, rows in enumerate(explain):
        if number == len(lists):
            yield from _picture_steps(group, source, found, stages)
        for row in rows:
            if row not in found.explained:
                yield _Step(LIME, f"LIME, example {row}", rows=(row,))
    if not lists:
        yield from _picture_steps(group, source, found, stages)


def _picture_steps(
    group: Sequence[int], source: FeatureSource, found: FeatureFindings, stages: frozenset[str]
) -> Iterator[_Step]:
    if PICTURE not in stages or source.kind != PICTURES or source.deep is None:
        return
    missing = [j for j in group if j not in found.pictures and source.deep.alive[j]]
    for start in range(0, len(missing), _AT_ONCE):
        part = tuple(missing[start : start + _AT_ONCE])
        many = f"{len(part)} features" if len(part) > 1 else f"feature {part[0]}"
        yield _Step(PICTURE, f"visualisation of {many}", features=part)


def examples_of(prototypes: Prototypes | None, feature: int, kind: str, plan: Plan) -> list[int]:
    """Rows that LIME explains for a feature: its best pictures; for sentences both ends."""
    if prototypes is None or kind not in {PICTURES, TEXT}:
        return []
    j = prototypes.place(feature)
    ends = [prototypes.top[j], prototypes.bottom[j]]
    rows = ends[0][: plan.explained] if kind == PICTURES else np.stack(ends, 1).ravel()
    return [int(row) for row in rows if row >= 0]


def fill(
    model: nn.Module | None,
    source: FeatureSource,
    found: FeatureFindings,
    wanted: Wanted,
    plan: Plan,
    *,
    progress: ProgressCallback,
) -> None:
    """Find what is wanted until nothing is missing; a job's function.

    Args:
        model: A private copy; None where there are deep features only.
        source: Examples and deep features.
        found: Filled piece by piece.
        wanted: What is missing most; looked at again after every piece.
        plan: Settings.
        progress: Gets a piece whenever something was found; may raise Cancelled.

    Raises:
        InputError: The data cannot be read with this model.
        Cancelled: What was found so far stays.
    """
    with collected_notices() as notices:
        try:
            if not found.complete:
                _prototypes(model, source, found, plan, progress)
            done = 0
            while model is not None and (steps := pending(source, found, wanted, plan)):
                step, total = steps[0], done + len(steps)

                def inner(part: Progress, step: _Step = step, done: int = done, total: int = total) -> None:
                    progress(Progress(done + part.fraction, total, step.note))

                inner(Progress(0, 1))
                _do(step, model, source, found, plan, inner)
                done += 1
                progress(Progress(done, max(total, done), step.note, step.stage))
        finally:
            found.notes = list(dict.fromkeys([*found.notes, *notices]))


def prototypes_now(source: FeatureSource, found: FeatureFindings, plan: Plan) -> None:
    """Prototypes before there is a job, where deep features are at hand and few: a tenth of a second."""
    deep = source.deep
    if found.prototypes is None and deep is not None and deep.n * deep.p <= _AT_HAND:
        _prototypes(None, source, found, plan, lambda _: None)


def _prototypes(
    model: nn.Module | None,
    source: FeatureSource,
    found: FeatureFindings,
    plan: Plan,
    progress: ProgressCallback,
) -> None:
    def keep(features: DeepFeatures, *, complete: bool) -> None:
        every = range(features.p)
        found.prototypes = find_prototypes(
            features, k=plan.k, features=every, per_class=False, progress=progress
        )
        found.complete = complete
        found.base += 1
        progress(Progress(0, 1, "prototypes", "prototypes"))

    def look(features: DeepFeatures) -> None:
        source.deep = features
        keep(features, complete=False)

    progress(Progress(0, 1, "prototypes"))
    if source.given is None:
        if model is None:
            return
        source.deep = found.deep = source.take(model, progress, look)
    if source.deep is not None:
        keep(source.deep, complete=True)


def _do(
    step: _Step,
    model: nn.Module,
    source: FeatureSource,
    found: FeatureFindings,
    plan: Plan,
    progress: ProgressCallback,
) -> None:
    """One step; a method that does not suit the model or the data is named, and the others go on."""
    try:
        if step.stage == PICTURE:
            _visualize(step.features, model, source, found, plan, progress)
        else:
            _explain(step.rows[0], model, source, found, plan, progress)
    except InputError as error:
        found.troubles[step.stage] = str(error)


def _explain(
    row: int,
    model: nn.Module,
    source: FeatureSource,
    found: FeatureFindings,
    plan: Plan,
    progress: ProgressCallback,
) -> None:
    deep = source.deep
    if deep is None or found.prototypes is None:
        return
    shared: dict[str, Any] = {
        "features": np.flatnonzero(deep.alive),
        "rows": [row],
        "n_samples": plan.n_samples,
        "seed": plan.seed,
        "cache": plan.cache,
        "progress": progress,
    }
    if source.kind == TEXT:
        given = source.text
        found.explained[row] = lime_text(
            model,
            [source.sentence(row)],
            deep,
            tokenizer=given.tokenizer,
            max_length=given.max_length,
            **shared,
        )
        found.words += 1
    else:
        picture = source.picture(row)[None]
        found.explained[row] = lime_images(model, picture, deep, normalize=source.normalization, **shared)
        for j in found.prototypes.features[(found.prototypes.top == row).any(1)]:
            found.revisions[int(j)] += 1


def _visualize(
    features: tuple[int, ...],
    model: nn.Module,
    source: FeatureSource,
    found: FeatureFindings,
    plan: Plan,
    progress: ProgressCallback,
) -> None:
    files = _files(features, model, source, plan)
    for j, file in files.items():
        try:
            found.pictures[j] = Visualizations.load(file)
        except (FileNotFoundError, StorageError):
            continue
    missing = [j for j in features if j not in found.pictures]
    if missing:
        options: dict[str, Any] = {"signs": (1, -1), "n_steps": plan.n_steps, "seed": plan.seed}
        options["normalize"] = source.normalization
        made = visualize_features(
            model, source.data, source.deep, features=missing, progress=progress, **options
        )
        for j in missing:
            found.pictures[j] = _only(made, j)
            if j in files:
                files[j].parent.mkdir(parents=True, exist_ok=True)
                found.pictures[j].save(files[j])
    for j in features:
        found.revisions[j] += 1


def _only(made: Visualizations, feature: int) -> Visualizations:
    """The visualisations of one feature of several."""
    j = made.place(feature)
    names = ("features", "pictures", "activations", "extremes", "beyond", "trace")
    arrays = {name: getattr(made, name)[j : j + 1] for name in names}
    return replace(made, feature_names=made.feature_names[j : j + 1], **arrays)


def _files(
    features: tuple[int, ...], model: nn.Module, source: FeatureSource, plan: Plan
) -> dict[int, FilePath]:
    """Name the files of visualisations: by model, layer, data, settings and feature."""
    if plan.cache is None or source.deep is None:
        return {}
    settings = f"{plan.n_steps} {plan.seed} {source.deep.layer}"
    key = combine(model_fingerprint(model), array_fingerprint(source.deep.values), settings)
    return {j: plan.cache / f"{key[:32]}-{j}.visualization" for j in features}
