"""The Features panel: what the features of a decision layer stand for, and what happens without them."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import traitlets

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import InputError, check_int, refuse
from sparse_debug_widgets.core.fingerprint import model_fingerprint
from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.widgets.kit import stale
from sparse_debug_widgets.widgets.kit.base import Export
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from sparse_debug_widgets.widgets.kit.jobs import UNTOUCHED, State
from sparse_debug_widgets.widgets.kit.namespace import called
from sparse_debug_widgets.widgets.kit.protocols import Path
from sparse_debug_widgets.widgets.panels.features import code
from sparse_debug_widgets.widgets.panels.features.predict import predictions
from sparse_debug_widgets.widgets.shared import curves
from sparse_debug_widgets.widgets.shared.features.sheet import example_answer, feature_answer
from sparse_debug_widgets.widgets.shared.features.source import FeatureSource
from sparse_debug_widgets.widgets.shared.features.work import (
    LIME,
    PICTURE,
    FeatureFindings,
    Plan,
    Wanted,
    fill,
    found_before,
    pending,
    prototypes_now,
)
from sparse_debug_widgets.widgets.shared.path_bound import PathBound, tie

if TYPE_CHECKING:
    import torch

_WHAT = "the Features panel"
_SHARED = ("idx", "class_index", "silenced")
_SMALL_BYTES = 300_000
_EXAMPLE_NUMBERS = 200_000
_LONGEST_LIST = 400
_OUTDATED = {stale.PARAMETERS, stale.LAYER, stale.DATA}


class FeaturesPanel(JobPanel, PathBound):
    """One row for each feature of the current layer: weights, prototypes, LIME or words, visualisation.

    Attributes:
        typed: How rows are shown: ``layers`` ("sparse", "both", "dense"), ``shown`` (rows of a list),
            ``least`` (also the least activating examples), ``lime`` and ``picture`` (compute them?).
        ready: What has been found: feature -> revision, and how far the prototypes are.

    Args:
        path: The path.
        model: The live model that it was computed from; without it nothing new is computed.
        data: Examples behind the features: a dataset, a loader, ``(X, y)``, sentences with a tokenizer.
        test: The test data, where ``features`` were taken with some.
        features: Deep features of these data, if they have been taken; they save a pass over the data.
        tokenizer: For sentences that do not carry one.
        follow: A panel of the same path, such as the Path panel: class, lambda and silenced features of both
            are one.
        k: Prototypes at each end.
        explained: Pictures of each feature that LIME explains, the most activating first.
        n_samples: LIME's samples for each example.
        n_steps: Steps of a visualisation.
        seed: Of both.
        cache: Folder that keeps what LIME and visualisation found.
        class_index: The class to begin with, by number or name.
        index: The lambda to begin with.
        normalize: How the inputs were normalised, so that they are shown as they are: (mean, std), a
            transform or torchvision weights; data sets that carry their transforms need not say it.
        title: Title of exported pages.
        fallback: See :class:`Panel`.

    Raises:
        InputError: Data, features, model or a panel to follow that do not belong to the path.
    """

    name = "features"
    memory_advice = "show fewer features, or switch LIME and the visualisation off"
    after_failure = f"What was found stays. {UNTOUCHED}"

    typed = traitlets.Dict().tag(sync=True)
    ready = traitlets.Dict().tag(sync=True)

    def __init__(  # noqa: PLR0913 - what a person may choose, keyword-only
        self,
        path: Path,
        model: torch.nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (see FeatureSource)
        test: Any = None,  # noqa: ANN401 (likewise)
        features: Any = None,  # noqa: ANN401 (DeepFeatures)
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
        follow: PathBound | None = None,
        k: int = 5,
        explained: int = 2,
        n_samples: int = 1000,
        n_steps: int = 256,
        seed: int = 0,
        cache: str | FilePath | None = None,
        class_index: int | str = 0,
        index: int | None = None,
        normalize: Any = None,  # noqa: ANN401 (see core.pixels)
        title: str = "Features of a decision layer",
        fallback: str = "auto",
    ) -> None:
        self._source = FeatureSource(
            path, data, test=test, features=features, tokenizer=tokenizer, normalize=normalize
        )
        self._plan = Plan(
            check_int(k, "k", _WHAT, high=20),
            check_int(explained, "explained", _WHAT, low=0, high=20),
            check_int(n_samples, "n_samples", _WHAT, low=2),
            check_int(n_steps, "n_steps", _WHAT),
            check_int(seed, "seed", _WHAT, low=0),
            None if cache is None else FilePath(cache),
        )
        if follow is not None and getattr(follow, "path", None) is not path:
            other = " of another path" if hasattr(follow, "path") else ""
            refuse(
                "The Features panel can follow only a panel of the same path; "
                f"follow= is a {type(follow).__name__}{other}."
            )
        self._wanted, self._job, self._paused = Wanted(), None, False
        self._answers: dict[tuple[int, bool], tuple[int, Answer]] = {}
        self._twin: torch.nn.Module | None = None
        measured = self._source.given if self._source.given is not None else self._source.data
        super().__init__(
            path,
            model,
            data=measured,
            class_index=class_index,
            index=index,
            title=title,
            fallback=fallback,
            typed={"layers": "sparse", "shown": 30, "least": False, "lime": True, "picture": True},
        )
        self._found = self._find()
        self._tell()
        if follow is not None:
            self._link(follow)

    _job: Job[Any] | None

    def own_jobs(self) -> Sequence[Job[Any]]:
        """See :meth:`Panel.own_jobs`."""
        job = self.__dict__.get("_job")
        return [*super().own_jobs(), *([job] if job is not None else [])]

    def _link(self, other: PathBound) -> None:
        """Make lambda, class and silenced features of two panels one; a refreshed path is shown in both.

        Traits travel as often as a page saves them, twelve times a second at most: no frame waits for this.
        """
        tie(other, self, _SHARED)
        self.share_data(other)
        held = weakref.ref(self)

        def renewed(_change: object) -> None:
            panel = held()
            if panel is not None and not panel.closed and other.path is not panel._path:
                panel.adopt(other.path)

        other.observe(renewed, names="head")

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def prototypes(self) -> Any:  # noqa: ANN401 (Prototypes or None)
        """The prototypes of all features; None until the data have been read."""
        return self._found.prototypes

    def interpret(self, features: Sequence[int] | None = None) -> Job[Any] | None:
        """Find out what features stand for, beside the notebook.

        Args:
            features: Their numbers; None for those of the class and layer that are looked at.

        Returns:
            The job: ``job.wait()`` waits for it. None where nothing is missing.

        Raises:
            InputError: No such feature.
        """
        if features is None:
            weights = FAMILIES[self._path.family].of_class(self._path.weights_at(self.idx), self.class_index)
            features = [int(j) for j in (-abs(weights)).argsort(kind="stable") if weights[j] != 0]
        self._want(features, ())
        return self._start()

    def cancel(self) -> None:
        """Stop the work; what was found stays, and nothing new begins until somebody asks."""
        self._paused = True
        if self._job is not None:
            self._job.cancel()

    def adopt(self, path: Path) -> None:
        """See :meth:`PathBound.adopt`; what was found about the former features is not shown for these."""
        old = self._source
        if self._job is not None:
            self._job.cancel()
        # Deep features that were taken from the model as it was say nothing of this path.
        self._source = FeatureSource(path, old.data, test=old.test, normalize=old.normalize)
        self._twin, self._answers = None, {}
        super().adopt(path)
        self._found = self._find()
        self._tell()

    # -- the work --------------------------------------------------------------------------------------

    def _find(self) -> FeatureFindings:
        """Return what panels of the same path, model and data have found; a changed model has its own."""
        model, _ = self._live.sources
        mark, trouble = "", ""
        if model is not None and self._twin is None:
            try:
                # Where cells run, so that nothing trains meanwhile.
                self._twin = self._live.private_copy()
            except InputError as error:
                trouble = str(error)
        if self._twin is not None:
            mark = model_fingerprint(self._twin)
        source = self._source
        things = (model, source.data, source.test, source.given)
        found = found_before(self._path, things, (mark, self._plan))
        if source.deep is None:
            source.deep = found.deep
        if trouble:
            found.troubles["model"] = trouble
        prototypes_now(source, found, self._plan)
        return found

    def _want(self, visible: Sequence[int], rest: Sequence[int]) -> None:
        last = len(self._path.feature_names) - 1
        for j in (*visible, *rest):
            check_int(j, "feature", "this path", low=0, high=last)
        stages = frozenset(stage for stage in (LIME, PICTURE) if self.typed.get(stage, True))
        self._wanted.set(visible[:_LONGEST_LIST], rest[:_LONGEST_LIST], stages)

    def _start(self) -> Job[Any] | None:
        """Begin the work, unless it goes on already, there is none, or the model is another one by now."""
        if self._job is not None and self._job.state not in FINAL_STATES:
            return self._job
        found, source, twin = self._found, self._source, self._twin
        readable = source.given is not None or (twin is not None and source.data is not None)
        missing = twin is not None and bool(pending(source, found, self._wanted, self._plan))
        if not missing and (found.complete or not readable):
            return None
        if _OUTDATED & set(self.check_stale()):
            return None
        job = jobs.submit(
            fill,
            twin,
            source,
            found,
            self._wanted,
            self._plan,
            name="what features stand for",
            noun="explanation",
        )
        self._job = job
        self.follow_job(job)
        return job

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """See :meth:`JobPanel.job_news`: rows are filled as they are found."""
        self._tell()
        return {}

    def _tell(self) -> None:
        found = self._found
        self.ready = {
            "n": found.prototypes.n if found.prototypes is not None else 0,
            "complete": found.complete,
            "base": found.base,
            "words": found.words,
            "parts": {str(j): revision for j, revision in found.revisions.items()},
            "troubles": dict(found.troubles),
            "notes": found.notes[-5:],
        }

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def need(
        self, _call: Call, *, visible: Sequence[int], rest: Sequence[int] = (), go: bool = False
    ) -> Answer:
        """Note the features on the screen and those that are next: they are interpreted in that order."""
        self._want(visible, rest)
        self._paused = self._paused and not go
        failed = self._job is not None and self._job.state == "failed" and not go
        job = None if self._paused or failed else self._start()
        return Answer({"job": None if job is None else job.id})

    @action
    def halt(self, _call: Call) -> Answer:
        """Nothing new begins until somebody asks; the page has cancelled the job itself."""
        self._paused = True
        return Answer({})

    @action
    def feature(self, _call: Call, *, feature: int) -> Answer:
        """All that is known of one feature."""
        check_int(feature, "feature", "this path", low=0, high=len(self._path.feature_names) - 1)
        return self._answer(feature)

    def _answer(self, feature: int) -> Answer:
        revision, least = self._found.revision(feature), bool(self.typed.get("least"))
        kept = self._answers.get((feature, least))
        if kept is None or kept[0] != revision:
            found = feature_answer(self._source, self._found, feature, self._plan, least=least)
            self._answers[feature, least] = kept = (revision, Answer(*found))
        return kept[1]

    @action
    def example(self, _call: Call, *, row: int) -> Answer:
        """One example and its deep features."""
        return Answer(*example_answer(self._source, row))

    @action
    def predict(self, _call: Call, *, row: int, index: int, silenced: Sequence[Any] = ()) -> Answer:
        """Return what the layers predict for an example."""
        z = self._source.standardized(row)
        edits = self._silenced(silenced)
        return Answer(predictions(self._path, z, self._index(index), edits))

    @action
    def copy(self, _call: Call, *, features: Sequence[int]) -> Answer:
        """The calls that do the same."""
        model, _ = self._live.sources
        things = {
            "path": self._path,
            "model": model,
            "data": self._source.said,
            "features": self._source.given,
        }
        names = {name: called(thing, name) if thing is not None else "" for name, thing in things.items()}
        options: dict[str, Any] = {"index": self.idx, "silenced": self._silenced(self.silenced)}
        made = code.cell(names, self._source, self._plan, features, renamed=self.named_here, **options)
        return Answer({"code": made.copied()})

    # -- what the page gets ----------------------------------------------------------------------------

    def _head(self) -> dict[str, Any]:
        return super()._head() | {
            "kind": self._source.kind,
            "k": self._plan.k,
            "examples": self._source.data is not None or self._source.given is not None,
            "kernel": True,
        }

    def export(self, *, small: bool = False) -> Export:
        """All lambdas of all classes, and what has been found: a small page has the class on show only."""
        value = {**self._head(), "model": False, "measurable": False, "kernel": False, "saved": True}
        rows = [self.class_index] if small else range(len(self._path.class_names))
        keep = len(self._path.feature_names)
        replies: list[tuple[str, dict[str, Any], Any, Any]] = [
            ("class_path", {"index": row}, *self._squeezed(row, keep, curves.COARSE)) for row in rows
        ]
        shown, examples = self._known(small=small)
        replies += [("feature", {"feature": j}, *answer) for j, answer in shown.items()]
        replies += [("example", {"row": row}, *example_answer(self._source, row)) for row in examples]
        names = ("idx", "class_index", "typed")
        state: dict[str, Any] = {name: getattr(self, name) for name in names}
        ready = {**self.ready, "only": [*shown], "examples": examples}
        state |= {"silenced": [list(pair) for pair in self.silenced], "ready": ready, "job": {}}
        state |= {"live": {}, "first": {}, "names": {}, "stale": {}, "renewal": {}}
        return Export(state, {"head": (value, self._curves())}, replies)

    def _known(self, *, small: bool) -> tuple[dict[int, Answer], list[int]]:
        """Features that a standalone page can show, and examples that it can open."""
        found, shown, size = self._found, {}, 0
        if found.prototypes is None:
            return {}, []
        kind = FAMILIES[self._path.family]
        strength = abs(kind.of_class(self._path.weights_at(self.idx), self.class_index))
        first = [int(j) for j in (-strength).argsort(kind="stable")]
        dense = self._path.dense_weight
        beside: set[int] = set()
        if dense is not None and self.typed["layers"] != "sparse":
            own = kind.of_class(dense, self.class_index)
            beside = set((-abs(own)).argsort(kind="stable")[: self.typed["shown"]].tolist())
        touched = [j for j in first if strength[j] > 0 or found.revisions[j] or j in beside]
        for j in touched[:_LONGEST_LIST]:
            answer = self._answer(j)
            size += sum(array.nbytes for array in answer.arrays.values())
            if small and size > _SMALL_BYTES:
                break
            shown[j] = answer
        rows = [item["row"] for answer in shown.values() for item in answer.value["top"]]
        room = (_EXAMPLE_NUMBERS // 10 if small else _EXAMPLE_NUMBERS) // max(1, len(strength))
        return shown, list(dict.fromkeys(rows))[:room] if self._source.deep is not None else []
