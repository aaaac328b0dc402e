"""The Perturbation panel: why this prediction, and what would have changed it? A picture, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import refuse
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.pixels import UNIT
from sparse_debug_widgets.perturbation import ConceptProbe, ErrorCounterfactuals, Perturbation
from sparse_debug_widgets.widgets.kit import wire
from sparse_debug_widgets.widgets.kit.base import Export
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from sparse_debug_widgets.widgets.kit.jobs import UNTOUCHED, State
from sparse_debug_widgets.widgets.kit.run_list import has_ended
from sparse_debug_widgets.widgets.panels.perturb import settings
from sparse_debug_widgets.widgets.panels.perturb.film import Strip, thinned
from sparse_debug_widgets.widgets.panels.perturb.source import (
    PerturbSource,
    drawing_of,
    settings_of,
    summary_of,
)
from sparse_debug_widgets.widgets.panels.perturb.work import PerturbRun

_PAGE = 24
# Of a film in the page inside a notebook; beside it stand the pictures to choose from and the module.
_SMALL = 200_000
_MORE_SECONDS = 3.0
_MEANT = {
    "picture": "the picture that was given to panel.choose(...)",
    "box": "the pixel range that was given to the panel",
}


class PerturbPanel(JobPanel):
    """Perturbations of one picture, run as jobs on copies of the models, and scrubbed through in the browser.

    Attributes:
        typed: What is in the fields, the target among them.
        concept: What is in the fields of the concept tab.
        picked: The picture that is perturbed next.
        tab: ``"perturb"`` or ``"concept"``.
        position: Step that is looked at.
        runs: Summaries of the runs.

    Args:
        source: A live classifier, or a result: ``Perturbation``, ``ErrorCounterfactuals``, ``ConceptProbe``.
        model: The live model of a result.
        data: Pictures to choose from: a dataset, a loader, ``(X, y)``, tensors, one picture.
        compare: A second live model, shown beside the first.
        class_names: One per class; those of the data by default.
        box: Pixel range (low, high), or None.
        normalize: How the inputs were normalised, so that they are shown as they are: (mean, std), a
            transform or torchvision weights; data sets that carry their transforms need not say it.
        titles: Names of the two models.
        title: Title of exported pages.
        fallback: See :class:`Panel`.
        **options: Values that the fields begin with: ``target``, ``norm``, ``eps``, ``q``, ``steps``, ...

    Raises:
        InputError: No model, data that hold no pictures, or a value that a field does not take.
    """

    name = "perturb"
    memory_advice = "choose fewer steps, or show one model only"
    after_failure = f"{UNTOUCHED} Change what the message names and run it again."

    head = traitlets.Dict().tag(sync=True)
    gallery = traitlets.Dict().tag(sync=True)
    typed = traitlets.Dict().tag(sync=True)
    concept = traitlets.Dict().tag(sync=True)
    picked = traitlets.Dict().tag(sync=True)
    tab = traitlets.Unicode("perturb").tag(sync=True)
    position = traitlets.Int(-1).tag(sync=True)
    runs: traitlets.List[Any] = traitlets.List().tag(sync=True)
    film = traitlets.Dict().tag(sync=True)

    def __init__(  # noqa: PLR0913 - what a person may choose
        self,
        source: Any,  # noqa: ANN401 (a model or a result)
        model: nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever Examples takes)
        compare: nn.Module | None = None,
        class_names: Sequence[str] = (),
        box: Any = UNIT,  # noqa: ANN401 (numbers or tensors)
        normalize: Any = None,  # noqa: ANN401 (see core.pixels)
        titles: Sequence[str] = (),
        title: str = "Perturbations",
        fallback: str = "auto",
        **options: Any,  # noqa: ANN401 (fields)
    ) -> None:
        self._source = src = PerturbSource(
            source,
            model,
            data=data,
            compare=compare,
            class_names=class_names,
            box=box,
            normalize=normalize,
            titles=titles,
        )
        self._film: Strip | None = None
        given = {**settings_of(src.result), **options}
        typed, concept = settings.defaults(given, src.radii, src.dims)
        concept |= drawing_of(src.result)
        src.check_target(typed["target"])
        models = ", ".join(type(m).__name__ for m in src.models)
        super().__init__(
            title=title,
            plain=f"PerturbPanel({models if src.result is None else repr(src.result)})",
            fallback=fallback,
            typed=typed,
            concept=concept,
            tab="concept" if isinstance(source, ConceptProbe) else "perturb",
            head=src.head(typed, concept),
        )
        self._show_gallery("errors" if len(src.examples.errors()) else "all", 0)
        order = src.examples.order()
        if len(order):
            self._pick(0 if isinstance(source, Perturbation) else int(order[0]))
        if isinstance(source, ConceptProbe):
            self._show(src.film(0))
        # What failed in another panel is not this one's news.
        self._not_mine = {run.number for run in src.runs.runs if run.job.state == "failed"}
        src.runs.watch(self)
        self.runs_changed()
        self._look_out()

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def results(self) -> tuple[Any, ...]:
        """The results of the newest ended run: one for each model."""
        return next(
            (run.results for run in reversed(self._source.runs.runs) if has_ended(run) and run.results), ()
        )

    def choose(self, example: int | Tensor | Any, label: int = -1) -> None:  # noqa: ANN401 (or an array)
        """Choose the picture that is perturbed next.

        Args:
            example: Position in the data, or a picture of your own, without or with a batch axis.
            label: Its class, where it is your own.

        Raises:
            InputError: No such example, or a picture of another shape.
        """
        if not isinstance(example, int | np.integer):
            row = self._source.take(example, label)
            self.head = self._source.head(self.typed, self.concept)
            self._show_gallery("all", 0)
        else:
            row = self._source.row_of(int(example))
        self._pick(row)

    def start(self, **values: Any) -> Job[Any]:  # noqa: ANN401 (settings)
        """Perturb the chosen picture, as the button does.

        Args:
            **values: Settings that differ from what is in the fields.

        Returns:
            The job: ``job.result()`` waits for one result for each model.

        Raises:
            InputError: A setting that cannot be, no picture, or a run that is still at work.
        """
        job = self._source.perturb({**self.typed, **values}, self._row)
        self._look_out()
        return job

    def draw(self, class_index: int, **values: Any) -> Job[Any]:  # noqa: ANN401 (settings)
        """Let the models draw a class on noise, as the button of the concept tab does.

        Raises:
            InputError: No such class or setting, no shape known, or a run that is still at work.
        """
        job = self._source.draw({**self.concept, **values}, class_index)
        self._look_out()
        return job

    def cancel(self) -> None:
        """Ask the run to stop; it keeps the best so far."""
        running = self._source.runs.running
        if running is not None:
            running.job.cancel()

    @property
    def _row(self) -> int:
        return int(self.picked.get("row", -1))

    # -- staleness -------------------------------------------------------------------------------------

    def _look_out(self) -> None:
        """Notice from now on when a model or the data change."""
        watch = self._source.watch()
        if watch is not None:
            self.watch(watch)

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        return "" if self._source.models else "Show the result with its model to compute it here."

    def renew(self) -> Job[Any]:
        """Look at the pictures again, and run again what is shown."""
        self._source.examples.forget_predictions()
        self._source.look(1.0)
        self._show_gallery(self.gallery["value"]["which"], 0)
        last = self._source.runs.newest
        if self.tab == "concept":
            values = last.values if last is not None and last.kind == "concept" else self.concept
            job = self.draw(values["class_index"], **values)
        else:
            job = self.start(**(last.values if last is not None and last.kind == "perturb" else {}))
        return self.follow_renewal(job, lambda panel, _: panel._look_out())

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def check(self, _call: Call, *, values: Mapping[str, Any]) -> Answer:
        """Return what is wrong with the fields."""
        return Answer({"wrong": self._source.check(values, self._row)[1]})

    @action
    def begin(self, _call: Call, *, values: Mapping[str, Any]) -> Answer:
        """Start a run."""
        return Answer({"job": self.start(**values).id})

    @action
    def begin_drawing(self, _call: Call, *, values: Mapping[str, Any], index: int) -> Answer:
        """Start concept probing."""
        return Answer({"job": self.draw(index, **values).id})

    @action
    def turn(self, _call: Call, *, which: str, first: int) -> Answer:
        """Another page of the gallery."""
        self._show_gallery(which, first)
        return Answer({})

    @action
    def look_at_more(self, call: Call) -> Answer:
        """Let the model look at more of the data."""
        self._source.look(_MORE_SECONDS, call.progress)
        self._show_gallery(self.gallery["value"]["which"], self.gallery["value"]["first"])
        return Answer({})

    @action
    def pick(self, _call: Call, *, row: int) -> Answer:
        """Choose an example; of a result, its film."""
        self._pick(row)
        return self._picked_film(row)

    def _picked_film(self, row: int) -> Answer:
        if not isinstance(self._source.result, Perturbation | ErrorCounterfactuals):
            return Answer({})
        film = self._source.film(row)
        return Answer(wire.jsonable(film.value), film.arrays)

    @action
    def copy(self, _call: Call, *, run: int = 0) -> Answer:
        """The code of a run, or of what is in the fields."""
        found = self._source.runs.find(run)
        if found is not None:
            made = found.code
        elif self.tab == "concept":
            made = self._source.concept_cell(self.concept, int(self.concept["class_index"]))
        else:
            made = self._source.perturb_cell(self.typed, self._row)
        return Answer({"code": made.copied(**_MEANT)})

    @action
    def film_of(self, _call: Call, *, run: int) -> Answer:
        """The film of a run, to be shown beside another."""
        film = self._run(run).film
        if film is None:
            refuse("This run ended before its first step, so that there is nothing to show.")
        return Answer(film.value, film.arrays)

    @action
    def show_run(self, _call: Call, *, run: int) -> Answer:
        """Show a former run."""
        found = self._run(run)
        if found.film is not None:
            self._show(found.film)
            self.tab = found.kind
        return Answer({})

    @action
    def pin(self, _call: Call, *, run: int, on: bool) -> Answer:
        """Keep a run for comparison, or let it go."""
        self._run(run).pinned = bool(on)
        self._source.runs.tell()
        return Answer({})

    @action
    def drop(self, _call: Call, *, run: int) -> Answer:
        """Take an ended run off the list."""
        self._source.runs.forget(self._run(run))
        return Answer({})

    # -- inside ----------------------------------------------------------------------------------------

    def _run(self, number: int) -> PerturbRun:
        return self._source.runs.get(number)

    @property
    def _mine(self) -> list[PerturbRun]:
        """The runs that this panel lists: those of its models, without what had failed before it was made."""
        return [run for run in self._source.runs.runs if run.number not in self._not_mine]

    def _show_gallery(self, which: str, first: int) -> None:
        page = self._source.examples.page(which, first, _PAGE)
        self.gallery = {"value": wire.jsonable(page.value), "arrays": wire.in_trait(page.arrays)}

    def _pick(self, row: int) -> None:
        self._source.examples.input(row)
        self.picked = wire.jsonable(self._source.examples.caption(row))
        if isinstance(self._source.result, Perturbation | ErrorCounterfactuals):
            self._show(self._source.film(row))

    def _show(self, film: Strip) -> None:
        self._film = film
        self.film = {"value": wire.jsonable(film.value), "arrays": wire.in_trait(film.arrays)}

    def runs_changed(self) -> None:
        """Called by the runs of these models when one begins, ends or is pinned."""
        mine = self._mine
        self.runs = [summary_of(run) for run in mine]
        self.follow_newest(mine)

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """See :meth:`JobPanel.job_news`: the film is shown when the run has ended."""
        run = self._source.runs.of(job)
        if run is None:
            return {}
        if state["ended"]:
            if run.film is not None and self._source.result is None:
                self._show(run.film)
            self.runs = [summary_of(r) for r in self._mine]
        return {"notes": [note[:500] for note in run.notes]}

    def export(self, *, small: bool = False) -> Export:
        """The film that is shown and the pinned ones, to scrub through; the gallery to look at."""
        self.catch_up()
        shown = self.film.get("value", {}).get("run")
        runs = [run for run in self.runs if run["pinned"] or run["run"] == shown]
        state: dict[str, Any] = {"job": {}, "stale": {}, "renewal": {}, "runs": runs}
        state |= {n: getattr(self, n) for n in ("typed", "concept", "picked", "tab", "position")}
        state["head"] = {**self.head, "live": False, "saved": True}
        looked = self.gallery["value"]
        page = self._source.examples.page(looked["which"], looked["first"], _PAGE)
        held: dict[str, Any] = {"gallery": (wire.jsonable(page.value), page.arrays)}
        if self._film is not None:
            film = thinned(self._film, _SMALL) if small else self._film
            held["film"] = (wire.jsonable(film.value), film.arrays)
        else:
            state["film"] = {}
        replies: list[Any] = [
            ("film_of", {"run": run.number}, wire.jsonable(run.film.value), run.film.arrays)
            for run in self._source.runs.runs
            if run.pinned and run.film is not None and not small
        ]
        if isinstance(self._source.result, Perturbation | ErrorCounterfactuals) and not small:
            for row in (entry["row"] for entry in page.value["rows"]):
                answer = self._picked_film(row)
                replies.append(("pick", {"row": row}, dict(answer.value), answer.arrays))
        return Export(state, held, replies)
