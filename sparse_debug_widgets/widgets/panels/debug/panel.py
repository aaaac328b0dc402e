"""The Debug panel: one look at a live model, from its errors to a measured repair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets
from anywidget import WidgetTrait

from sparse_debug_widgets.analysis import DebugReport
from sparse_debug_widgets.analysis.common.groups import groups_of, listed_groups
from sparse_debug_widgets.analysis.debug.debug_report import (
    Investigation,
    Settings,
    check_settings,
    investigate,
)
from sparse_debug_widgets.analysis.debug.stages import STAGES
from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import refuse
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.core.pixels import known_box
from sparse_debug_widgets.interpret.deep.examples import SENTENCES
from sparse_debug_widgets.widgets.catalog import panel as panel_of
from sparse_debug_widgets.widgets.kit import fields, showings, wire
from sparse_debug_widgets.widgets.kit.base import Export, Panel
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from sparse_debug_widgets.widgets.kit.jobs import State
from sparse_debug_widgets.widgets.kit.snapshot import snapshot
from sparse_debug_widgets.widgets.kit.stale import Watch
from sparse_debug_widgets.widgets.panels.debug.work import Findings

if TYPE_CHECKING:
    from torch import nn

    from sparse_debug_widgets.sparse import DeepFeatures, RegularizationPath

_ERRORS, _CAUSES = 5_000, 50
_PICTURED, _READ, _PER_PAIR = 150, 600, 4
_SMALL_PICTURED = 12
_WIRED = {"f": np.float32, "i": np.int32}


class DebugPanel(JobPanel):
    """The faults of a live model: classes and groups, confusions, errors and their features, repairs.

    The work is done beside the notebook on a copy of the model, and begins with the panel.

    Attributes:
        pair: The class and the answer whose errors are listed; empty for all errors.
        error: Number of the error that is looked at; -1 for none.
        log: Repairs that were measured, the newest last.
        shown: The Path panel below; None where there is none.

    Args:
        source: The live model.
        data: Data that the sparse layer is fitted to; see :func:`debug_report`.
        test: Data that are looked at.
        groups: A label for each example, of data then test or of test alone.
        tokenizer: For sentences.
        normalize: How pictures were normalised, so that they are shown as they are.
        class_names: One per class.
        layer: Name of the decision layer.
        max_length: Tokens read of each sentence.
        batch_size: Examples in one forward pass.
        seed: Of the split and of the controls.
        search: Look for small fixed causes too; the rest is shown while that goes on.
        auto: Begin now; else with :meth:`start` or the button.
        title: Title of exported pages.
        fallback: See :class:`Panel`.

    Raises:
        InputError: A model, data or settings that do not fit.
    """

    name = "debug"
    memory_advice = "pass fewer examples, or choose a smaller batch size"

    head = traitlets.Dict().tag(sync=True)
    found = traitlets.Dict().tag(sync=True)
    pair: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    error = traitlets.Int(-1).tag(sync=True)
    log: traitlets.List[Any] = traitlets.List().tag(sync=True)
    shown = WidgetTrait().tag(sync=True)

    def __init__(  # noqa: PLR0913 - what a person may say, keyword-only
        self,
        source: nn.Module,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes)
        *,
        test: Any = None,  # noqa: ANN401 (likewise)
        groups: Any = None,  # noqa: ANN401 (a list of labels)
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
        normalize: Any = None,  # noqa: ANN401 (see core.pixels)
        class_names: Iterable[object] | None = None,
        layer: str | None = None,
        max_length: int | None = None,
        batch_size: int = 256,
        seed: int = 0,
        search: bool = True,
        auto: bool = True,
        title: str = "Why is it wrong?",
        fallback: str = "auto",
    ) -> None:
        names = None if class_names is None else list(class_names)
        options = (tokenizer, normalize, names, layer, max_length, batch_size, seed, search)
        self._settings = Settings(groups, *options)
        self._data = check_settings(source, data, test, self._settings)
        self._model = unwrap(source)
        self._box = known_box(normalize, data)
        self._job: Job[Investigation] | None = None
        self._findings: Findings | None = None
        self._inner: Panel | None = None
        self._drawn: tuple[dict[str, Any], dict[str, wire.Array]] | None = None
        super().__init__(
            title=title,
            plain=f"DebugPanel({type(self._model).__name__})",
            fallback=fallback,
            head={"model": type(self._model).__name__},
        )
        if auto:
            self.start()

    # -- what a person may also do from Python ---------------------------------------------------------

    def start(self) -> Job[Investigation]:
        """Look at the model as it is now, beside the notebook.

        Returns:
            The job; one that is still at work is returned again.

        Raises:
            InputError: The model cannot be copied.
        """
        if self._job is not None and self._job.state not in FINAL_STATES:
            return self._job
        job = jobs.submit(
            investigate, snapshot(self._model), *self._data, self._settings, name="debugging", noun="report"
        )
        self._job = job
        self.watch(Watch(self._model, self._data[0]))
        self.follow_job(job)
        return job

    def run(self, timeout: float | None = None) -> DebugReport:
        """The report, without a browser: waits until it is there.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.

        Returns:
            The report: ``print`` it, ask ``.suspects``, write ``.to_html(path)``.

        Raises:
            JobFailedError: The work refused or failed; its own error is the cause.
            Cancelled: It was stopped.
        """
        job = self._job if self._job is not None else self.start()
        report = job.result(timeout).report
        self.catch_up()
        return report

    @property
    def report(self) -> DebugReport:
        """The report that is shown.

        Raises:
            InputError: There is none yet.
        """
        return self._found.report

    @property
    def path(self) -> RegularizationPath:
        """The path that the report was made from.

        Raises:
            InputError: There is none yet.
        """
        return self._found.path

    @property
    def features(self) -> DeepFeatures:
        """The deep features that the path was fitted to.

        Raises:
            InputError: There are none yet.
        """
        return self._found.features

    def silence(self, features: Sequence[int]) -> Mapping[str, Any]:
        """Measure the layer with these features silenced, as the buttons do; the repair goes into the log.

        Args:
            features: All features that are to be silent, by number.

        Returns:
            Share of right answers, examples mended and broken, right answers per class and group.

        Raises:
            InputError: No report yet, or no such features.
        """
        repair: dict[str, Any] = wire.jsonable(self._found.repair(list(features)))
        self.log = [*self.log, repair]
        return repair

    def undo(self) -> None:
        """Take the newest repair back."""
        self.log = self.log[:-1]

    @property
    def _found(self) -> Findings:
        if self._findings is None:
            refuse("There is no report yet. Call run(), which waits for it.")
        return self._findings

    # -- staleness and the end -------------------------------------------------------------------------

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        return ""

    def renew(self) -> Job[Any]:
        """See :meth:`Panel.renew`."""
        return self.follow_renewal(self.start(), lambda _panel, _found: None)

    def own_jobs(self) -> Sequence[Job[Any]]:
        """See :meth:`Panel.own_jobs`."""
        job = self.__dict__.get("_job")
        return [*super().own_jobs(), *([] if job is None else [job])]

    def let_go(self) -> None:
        """See :meth:`Panel.let_go`: the Path panel inside this one goes with it."""
        inner = self.__dict__.get("_inner")
        if inner is not None:
            showings.let_die(inner)

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def begin(self, _call: Call) -> Answer:
        """Look at the model again."""
        return Answer({"job": self.start().id})

    @action
    def examples(self, _call: Call, *, errors: Sequence[int]) -> Answer:
        """Pictures or sentences of some errors."""
        texts, pictures = self._found.examples(errors)
        return Answer({"texts": texts}, {} if pictures is None else {"pictures": pictures})

    @action
    def repair(self, _call: Call, *, features: Sequence[int]) -> Answer:
        """Measure the layer with these features silenced."""
        self.silence(features)
        return Answer({})

    @action
    def take_back(self, _call: Call) -> Answer:
        """Take the newest repair back."""
        self.undo()
        return Answer({})

    @action
    def show_path(self, _call: Call) -> Answer:
        """Show the path in a Path panel below, bound to the live model."""
        if self._inner is None:
            found = self._found
            self._inner = panel_of(
                found.path, self._model, data=found.features, index=found.report.index, fallback="none"
            )
            self._tell_path(None)
        self.shown = self._inner
        return Answer({})

    @traitlets.observe("log", "pair")
    def _tell_path(self, _change: object) -> None:
        """Let the Path panel have the same features silenced, and show the class that is answered."""
        inner: Any = self.__dict__.get("_inner")
        if inner is None:
            return
        silenced = self.log[-1]["silenced"] if self.log else []
        inner.silenced = [[int(j), -1] for j in silenced]
        if len(self.pair) == 2:
            inner.class_index = int(self.pair[1])

    # -- what the page gets ----------------------------------------------------------------------------

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """See :meth:`JobPanel.job_news`: small causes come after all else."""
        known = job.result(0) if job.state == "done" else job.pieces[-1] if job.pieces else None
        if known is not None and (state["ended"] or job.state != "done"):
            self._show(known)
        return {}

    def _show(self, investigation: Investigation) -> None:
        if self._findings is not None and self._findings.report is investigation.report:
            return
        same = self._findings is not None and self._findings.path is investigation.path
        groups = groups_of(investigation.features, listed_groups(self._settings.groups))
        self._findings = Findings(investigation, groups, self._box)
        self._drawn = self._content(_PICTURED)
        value, arrays = self._drawn
        inner = None if same else self._inner
        with self.hold_sync():
            if not same:
                self._inner = None
                self.pair, self.error, self.log, self.shown = [], -1, [], None
            self.found = {"value": value, "arrays": wire.in_trait(arrays)}
        if inner is not None:
            showings.let_die(inner)

    def _content(self, most: int) -> tuple[dict[str, Any], dict[str, wire.Array]]:
        """The findings as the page has them, with the examples of at most so many errors."""
        found = self._found
        report = found.report
        suspects = report.suspect_table
        shown = _one_of_each(report, most if report.form != SENTENCES else most * _READ // _PICTURED)
        texts, pictures = found.examples(shown) if shown else ([], None)
        value = {
            "form": report.form,
            "split": report.split,
            "stages": [STAGES[stage] for stage in report.stages],
            "accuracies": report.accuracies.tolist(),
            "classes": fields.labels(report.class_names),
            "groups": fields.labels(report.group_names),
            "features": fields.labels(report.feature_names),
            "sentences": [fields.cut(text, fields.LABEL_LIMIT) for text in report.sentences],
            "leftOut": list(report.left_out),
            "suspects": [
                {
                    "feature": suspects["feature"][k],
                    "towards": fields.cut(suspects["towards"][k], fields.LABEL_LIMIT),
                    "errors": suspects["errors"][k],
                    "explained": suspects["explained"][k],
                    "mended": suspects["mended"][k],
                    "broken": suspects["broken"][k],
                    "accuracy": suspects["accuracy_silenced"][k],
                    "worstClass": fields.cut(suspects["worst_class"][k], fields.LABEL_LIMIT),
                    "worstChange": suspects["worst_change"][k],
                    "cause": fields.cut(suspects["cause"][k], fields.LABEL_LIMIT),
                }
                for k in range(len(suspects["feature"]))
            ],
            "sparse": report.stages.index("sparse"),
            "suggested": report.silenced.tolist(),
            "errors": len(report.error_rows),
            "texts": texts,
            "causes": _causes(report),
            "causePairs": [[fields.cut(text, 600) for text in pair] for pair in report.cause_texts],
        }
        errors = {
            name: getattr(report, f"error_{name}")[:_ERRORS]
            for name in ("rows", "labels", "predictions", "features", "gammas", "margins", "answers")
        }
        arrays: dict[str, wire.Array] = {
            **{name: values.astype(_WIRED[values.dtype.kind]) for name, values in errors.items()},
            "classCounts": report.class_counts.astype(np.int32),
            "classHits": report.class_hits.astype(np.int32).reshape(-1),
            "groupCounts": report.group_counts.astype(np.int32),
            "groupHits": report.group_hits.astype(np.int32).reshape(-1),
            "pictured": np.asarray(shown, np.int32),
        }
        if pictures is not None:
            arrays["pictures"] = pictures
        if report.cause_pictures is not None:
            arrays["causePictures"] = report.cause_pictures
        return dict(wire.jsonable(value)), arrays

    def export(self, *, small: bool = False) -> Export:
        """The findings, with the examples that are on the page."""
        self.catch_up()
        state = {
            "head": self.head,
            "pair": self.pair,
            "error": self.error,
            "log": self.log,
            "shown": None,
            "job": {**self.job, "log": []} if self.job else {},
            "stale": {},
            "renewal": {},
        }
        if self._drawn is None:
            return Export({**state, "found": {}}, {}, [])
        return Export(state, {"found": self._content(_SMALL_PICTURED) if small else self._drawn}, [])


def _causes(report: DebugReport) -> list[str]:
    """The verdicts on all classes, suspects first."""
    said = (report.cause_table or {}).get("sentence", ())
    return [fields.cut(str(text), fields.LABEL_LIMIT) for text in list(said)[:_CAUSES]]


def _one_of_each(report: DebugReport, most: int) -> list[int]:
    """Numbers of errors whose examples the page has at once: the surest of each pair of classes first."""
    pairs: dict[tuple[int, int], int] = {}
    first: list[int] = []
    rest: list[int] = []
    for k in range(min(len(report.error_rows), _ERRORS)):
        pair = int(report.error_labels[k]), int(report.error_predictions[k])
        pairs[pair] = pairs.get(pair, 0) + 1
        (first if pairs[pair] <= _PER_PAIR else rest).append(k)
    return sorted((first + rest)[:most])
