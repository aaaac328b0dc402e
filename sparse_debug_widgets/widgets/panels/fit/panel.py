"""The Fit panel: choose, start, watch, stop, resume and compare path fits that run beside the notebook."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets
from anywidget import WidgetTrait

from sparse_debug_widgets.core.checks import InputError, check_known, refuse
from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.sparse import SOLVERS, DeepFeatures
from sparse_debug_widgets.sparse.path.estimate import estimate_fit
from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.widgets.catalog import panel as panel_of
from sparse_debug_widgets.widgets.kit import fields, showings, wire
from sparse_debug_widgets.widgets.kit.base import Export
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.devices import devices
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from sparse_debug_widgets.widgets.kit.jobs import State, plain_hint
from sparse_debug_widgets.widgets.kit.stale import Watch
from sparse_debug_widgets.widgets.panels.fit import code, settings
from sparse_debug_widgets.widgets.panels.fit.growth import Growth
from sparse_debug_widgets.widgets.panels.fit.source import FitSource
from sparse_debug_widgets.widgets.panels.fit.work import Fits, PathRun, default_folder, fits_of

if TYPE_CHECKING:
    from torch import nn

_GROW_SECONDS = 0.19
"""Seconds between two pictures of a growing path: they cost more than the progress in between."""
_EXTRACT_OPTIONS = (
    *("layer", "class_names", "classes", "batch_size", "test"),
    *("tokenizer", "max_length", "pooling"),
)


class FitPanel(JobPanel):
    """Fits of a decision layer's path, run as jobs: the notebook stays free meanwhile.

    Attributes:
        typed: What is in the fields.
        class_index: The class whose coefficient paths are drawn while they grow.
        runs: Summaries of the fits so far.
        shown: The Path panel below; None where there is none.

    Args:
        source: Deep features, or a live model.
        model: The live model that deep features came from, handed on to the Path panel.
        data: Data of the model; the features are taken from them when the first fit starts.
        checkpoints: Folder of checkpoints; by default one in the user's cache, False for none.
        title: Title of exported pages.
        fallback: See :class:`Panel`.
        **options: Values that the fields begin with (``alpha=0.9``), and for a model the arguments ``layer``,
            ``class_names``, ``batch_size`` and ``test`` of :func:`extract_features`.

    Raises:
        InputError: Neither features nor a model with data, or a value that a field does not take.
    """

    name = "fit"

    head = traitlets.Dict().tag(sync=True)
    typed = traitlets.Dict().tag(sync=True)
    grown = traitlets.Dict().tag(sync=True)
    runs: traitlets.List[Any] = traitlets.List().tag(sync=True)
    class_index = traitlets.Int(0).tag(sync=True)
    shown = WidgetTrait().tag(sync=True)

    def __init__(
        self,
        source: DeepFeatures | nn.Module,
        model: nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes)
        checkpoints: str | os.PathLike[str] | bool = True,
        title: str = "Path fits",
        fallback: str = "auto",
        **options: Any,  # noqa: ANN401 (fields and arguments of extract_features)
    ) -> None:
        features = source if isinstance(source, DeepFeatures) else None
        live = model if features is not None else source
        root = default_folder() if checkpoints is True else Path(checkpoints) if checkpoints else None
        taken = {name: options.pop(name) for name in _EXTRACT_OPTIONS if name in options}
        own = _own_data(data)
        self._fits: Fits = fits_of(FitSource(features, _module(live), own, taken, root), root)
        self._data = data
        self._devices = devices()
        self._growth: Growth | None = None
        self._drawn: tuple[dict[str, Any], dict[str, wire.Array]] | None = None
        self._grown_at = 0.0
        self._paths: dict[int, Any] = {}
        self._options = options
        start = settings.defaults(options, self._families, self._source.share)
        super().__init__(
            title=title,
            plain=f"FitPanel({features if features is not None else type(live).__name__})",
            fallback=fallback,
            typed=start,
            head=self._head(start),
        )
        self._fits.watch(self)
        self.runs_changed()
        self._look_out()

    @property
    def _source(self) -> FitSource:
        return self._fits.source

    @property
    def _families(self) -> tuple[str, ...]:
        return self._source.families

    def _look_out(self) -> None:
        """Notice from now on when the model or the data change."""
        features = self._source.features
        fingerprint = features.provenance.params.get("model_fingerprint", "") if features is not None else ""
        self.watch(Watch(self._source.model, self._source.data, fingerprint=fingerprint))

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        return "" if self._source.refreshable else "Take the features again: sdw.extract_features(...)."

    def renew(self) -> Job[Any]:
        """Take the features anew and fit with the settings in the fields."""
        if not self._source.refreshable:
            refuse(
                "This panel has features only, and a refresh needs the model and its data: "
                "use sdw.fit_panel(model, data)."
            )
        self._source.forget()
        job = self.start()
        return self.follow_renewal(job, lambda panel, _: panel._look_out())

    def own_jobs(self) -> Sequence[Job[Any]]:
        """See :meth:`Panel.own_jobs`: fits go on without the panel, also those of a refresh."""
        return []

    def let_go(self) -> None:
        """See :meth:`Panel.let_go`: the Path panels inside this one go with it."""
        for shown in self.__dict__.get("_paths", {}).values():
            showings.let_die(shown)

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def path(self) -> Any:  # noqa: ANN401 (a RegularizationPath)
        """The newest path that was found; None before the first."""
        return next((run.path for run in reversed(self._fits.runs) if run.path is not None), None)

    def start(self, **values: Any) -> Job[Any]:  # noqa: ANN401 (settings)
        """Start a fit, as the button does.

        Args:
            **values: Settings that differ from what is in the fields.

        Returns:
            The job: ``job.result()`` waits for the path.

        Raises:
            InputError: A setting that cannot be, or a fit that is still running.
        """
        self._fits.check_free("fit")
        chosen = self._checked({**self.typed, **values})
        names = self._source.names()
        taking = self._source.features is None
        job = self._fits.start(chosen, code.cell(chosen, names, self._source.share)).job
        if taking:
            # The model as it is now is what these features are of.
            self._look_out()
        return job

    def cancel(self) -> None:
        """Ask the running fit to stop; it keeps what was solved."""
        running = self._fits.running
        if running is not None:
            running.job.cancel()

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def check(self, _call: Call, *, values: Mapping[str, Any]) -> Answer:
        """Return what is wrong with the fields, or what a fit with them needs."""
        good, wrong = settings.check_all(values, list(self._devices), self._families)
        if wrong:
            return Answer({"wrong": wrong})
        return Answer({"wrong": {}, "kept": self._fits.kept(good), **self._needs(good)})

    @action
    def begin(self, _call: Call, *, values: Mapping[str, Any]) -> Answer:
        """Start a fit, or go on with one that was interrupted."""
        return Answer({"job": self.start(**values).id})

    @action
    def copy(self, _call: Call, *, values: Mapping[str, Any], run: int = 0) -> Answer:
        """The code of a fit: of a former one, or of what is in the fields."""
        found = self._fits.find(run)
        if found is not None:
            return Answer({"code": found.code.copied()})
        made = code.cell(self._checked(values), self._source.names(), self._source.share)
        return Answer({"code": made.copied()})

    @action
    def pin(self, _call: Call, *, run: int, on: bool) -> Answer:
        """Keep a fit for comparison, or let it go."""
        self._run(run).pinned = bool(on)
        self._fits.tell()
        return Answer({})

    @action
    def drop(self, _call: Call, *, run: int) -> Answer:
        """Take an ended fit off the list."""
        self._fits.forget(self._run(run))
        return Answer({})

    @action
    def show_path(self, _call: Call, *, run: int) -> Answer:
        """Show the path of a fit in the Path panel."""
        found = self._run(run)
        path = found.path
        if path is None:
            refuse("This fit has solved no lambda yet, so that there is no path to show.")
        if found.number not in self._paths:
            self._paths[found.number] = panel_of(path, self._source.model, data=self._data, fallback="none")
        self.shown = self._paths[found.number]
        return Answer({})

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        known = {parameter.name for parameter in settings.PARAMETERS}
        good, wrong = settings.check_all(values, list(self._devices), self._families)
        check_known(sorted(values), known, "a fit", "setting")
        if wrong:
            raise InputError(" ".join(wrong.values()))
        return good

    def _run(self, number: int) -> PathRun:
        return self._fits.get(number, "fit")

    def _needs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        size = self._source.size()
        if size is None:
            return {"needs": None}
        rows = max(1, round(size["n"] * (1 - values["validation"])))
        picked = {name: values[name] for name in ("n_lambdas", "tol", "device")}
        outputs = FAMILIES[values["family"]].n_rows(size["outputs"])
        needs = estimate_fit(rows, size["p"], outputs, solver=SOLVERS[values["solver"]], **picked)
        return {
            "needs": {
                "memory": needs.memory,
                "low": needs.low,
                "high": needs.high,
                **self._devices[values["device"]],
            }
        }

    # -- following the fits ----------------------------------------------------------------------------

    def runs_changed(self) -> None:
        """Called by the fits of this source when one begins, ends or is pinned."""
        runs = self._fits.runs
        self.runs = [_summary(run) for run in runs]
        self.follow_newest(runs)

    def follow_job(self, job: Job[Any], run: int | None = None) -> None:
        """See :meth:`JobPanel.follow_job`: the curves of the fit before go."""
        self._growth = self._drawn = None
        super().follow_job(job, run)

    def job_hint(self, error: BaseException) -> str:
        """See :meth:`JobPanel.job_hint`: also how much of the fit was kept."""
        run = self._fits.find(self._run_number)
        return plain_hint(error) if run is None else run.hint(error)

    def _heard(self, job: Job[Any]) -> None:
        with self.hold_sync():  # one message instead of two or three, ten times a second
            super()._heard(job)

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """See :meth:`JobPanel.job_news`: the curves grow while the fit is at work."""
        run = self._fits.of(job)
        if run is None:
            return {}
        now = time.monotonic()
        if state["ended"] or now - self._grown_at >= _GROW_SECONDS:
            self._grow(run)
            self._grown_at = now
        if state["ended"]:
            self.runs = [_summary(r) for r in self._fits.runs]
        return {"notes": [note[:500] for note in run.notes]}

    def _grow(self, run: PathRun) -> None:
        features, pieces = self._source.features, run.job.pieces
        if features is None:
            return
        if self.head["size"] != self._source.size():
            self.head = self._head(self.typed)
        if not pieces:
            return
        growth = self._growth
        if growth is None or (growth.run, growth.class_index) != (run.number, self.class_index):
            growth = Growth(run.number, features.p, self.class_index, run.values["family"])
            self._growth = growth
        if growth.update(pieces):
            value, arrays = growth.content(features.feature_names)
            family = FAMILIES[run.values["family"]]
            rows = len(pieces[0].record.row_nonzeros)
            # Class labels may be fitted as numbers, in one output.
            whole = family.n_rows(len(features.class_names)) == rows
            classes = fields.labels(features.class_names if whole else [family.one] * rows)
            value |= {"run": run.number, "eps": run.values["eps"], **family.words()}
            # In one piece: a cell may export the panel while news of the job come in on another thread.
            self._drawn = ({**value, "classes": classes}, arrays)
            self.grown = {"value": self._drawn[0], "arrays": wire.in_trait(arrays)}

    @traitlets.observe("class_index")
    def _other_class(self, _change: Any) -> None:  # noqa: ANN401 (a traitlets bunch)
        run = self._fits.newest
        if run is not None:
            self._growth = self._drawn = None
            self._grow(run)

    # -- what the page gets ----------------------------------------------------------------------------

    def _head(self, values: Mapping[str, Any]) -> dict[str, Any]:
        features, size = self._source.features, self._source.size()
        head: dict[str, Any] = wire.jsonable(
            {
                "fields": settings.fields(list(self._devices), self._families, values),
                "devices": self._devices,
                "layer": fields.cut(features.layer, fields.LABEL_LIMIT) if features is not None else "",
                "model": type(self._source.model).__name__ if self._source.model is not None else "",
                "size": size,
                "barred": {
                    f: settings.barred_reason(f, self._families) for f in FAMILIES if f not in self._families
                },
                "folder": "" if self._fits.root is None else str(self._fits.root),
                "split": self._source.share,
            }
        )
        return head

    def export(self, *, small: bool = False) -> Export:
        """The form and the fits so far, to look at."""
        self.catch_up()
        state = {
            "typed": self.typed,
            "job": {**self.job, "log": []},
            "runs": self.runs,
            "class_index": self.class_index,
            "shown": None,
            "head": self.head,
        }
        held: dict[str, tuple[dict[str, Any], Mapping[str, wire.Array]]] = {}
        if self._drawn is not None:
            held["grown"] = self._drawn
        else:
            state["grown"] = {}
        return Export(state, held, [])


def _module(live: Any) -> Any:  # noqa: ANN401 (an nn.Module or None)
    if live is None:
        return None
    from sparse_debug_widgets.core.hooks import unwrap

    return unwrap(live)


def _own_data(data: Any) -> Any:  # noqa: ANN401 (whatever core.batching takes)
    """Data that features can be taken from: deep features are what has been taken already."""
    return None if isinstance(data, DeepFeatures) else data


def _summary(run: PathRun) -> dict[str, Any]:
    """A fit in the list: its settings, how it ended, its curve of accuracy against features."""
    path = run.path if run.job.state in FINAL_STATES else None
    summary: dict[str, Any] = {
        "run": run.number,
        "state": run.job.state,
        "values": run.values,
        "pinned": run.pinned,
        "percent": FAMILIES[run.values["family"]].percent,
        "seconds": run.job.status.seconds,
        "solved": 0,
    }
    if path is None:
        return dict(wire.jsonable(summary))
    split = 1 if np.isfinite(path.accuracies[:, 1]).any() else 0
    scores = path.accuracies[:, split]
    allowed = np.nanmax(scores) - 0.05 - 1e-9
    chosen = int(np.where(scores >= allowed, path.n_nonzero.sum(1), np.iinfo(np.int64).max).argmin())
    summary |= {
        "solved": path.n_lambdas,
        "asked": path.n_requested,
        "certified": int(path.certified.sum()),
        "worst": float(path.duality_gaps.max()),
        "best": float(np.nanmax(scores)),
        "rule": {
            "name": path.labels_are.rule,
            "score": float(scores[chosen]),
            "features": float(path.n_nonzero[chosen].mean()),
        },
        "split": split,
        "means": np.round(path.n_nonzero.mean(1), 3).tolist(),
        "scores": np.round(scores, 5).tolist(),
    }
    return dict(wire.jsonable(summary))
