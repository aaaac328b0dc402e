"""The x-feature panel: the concepts that explain one class, as heat maps to toggle, compare and name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets
from torch import nn

from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.interpret import XFeatures
from sparse_debug_widgets.widgets.kit.base import Export
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from sparse_debug_widgets.widgets.kit.jobs import UNTOUCHED, State
from sparse_debug_widgets.widgets.panels.xfeatures import choice, settings
from sparse_debug_widgets.widgets.panels.xfeatures import sheet as xfeatures_sheet
from sparse_debug_widgets.widgets.panels.xfeatures.source import XFeaturesSource

_SMALL_BYTES = 300_000
_SHOWN = ("shown", "own", "selected", "hidden", "order", "display")


class XFeaturesPanel(JobPanel):
    """The x-features of one class on a gallery of its pictures; of a live model they are computed here.

    Attributes:
        typed: What is in the fields: ``class_index``, ``method``, ``n``, ``layer``, ``gallery``, ...
        names: Names of the concepts, as a person typed them; they go into :attr:`result`.
        shown: Maps that lie over all pictures: numbers of x-features, -1 for the 1-heatmap.
        own: Number of a picture, as text -> the maps that lie over that one only.
        selected: Pictures whose maps stand in the table.
        hidden: x-features whose maps are switched off in the table; -1 for the 1-heatmap.
        order: How pictures are sorted: ``by`` "given", "score", "error" or the number of an x-feature as
            text, ``down`` (largest first), and ``columns`` of the table by "number" or "contribution".
        display: How maps are shown.
        shown_run: Number of the run that is shown; 0 for the result that the panel was made of.

    Args:
        source: What :func:`x_features` found, or a live model.
        model: The live model of a result.
        data: Its data: a dataset, a loader, ``(X, y)``; what x-features are learnt from.
        test: Held-out data for the fidelity and the gallery; by default a fifth of ``data`` is held out.
        class_names: One per class; those of the data by default.
        normalize: How the inputs were normalised, so that they are shown as they are: (mean, std), a
            transform or torchvision weights; data sets that carry their transforms need not say it.
        tokenizer: For sentences that do not carry one.
        title: Title of exported pages.
        fallback: See :class:`Panel`.
        **options: Values that the fields begin with (``class_index=3, n=7``), values of ``display``
            (``blend=0.5``), ``shown=(0,)``, ``selected=(3, 5)``.

    Raises:
        InputError: A model without data, an option that is none, or a number that no class, picture or
            x-feature has.
    """

    name = "xfeatures"
    memory_advice = "choose fewer pictures, or a layer with fewer activations"
    after_failure = f"{UNTOUCHED} The same settings go on from there."

    head = traitlets.Dict().tag(sync=True)
    typed = traitlets.Dict().tag(sync=True)
    runs: traitlets.List[Any] = traitlets.List().tag(sync=True)
    shown_run = traitlets.Int(0).tag(sync=True)
    sheet = traitlets.Dict().tag(sync=True)
    names: traitlets.List[Any] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    own = traitlets.Dict().tag(sync=True)
    selected: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    hidden: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    order = traitlets.Dict().tag(sync=True)
    display = traitlets.Dict().tag(sync=True)

    def __init__(  # noqa: PLR0913 - what a person may choose, keyword-only
        self,
        source: XFeatures | nn.Module,
        model: nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes)
        test: Any = None,  # noqa: ANN401 (likewise)
        class_names: Sequence[str] = (),
        normalize: Any = None,  # noqa: ANN401 (see core.pixels)
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
        title: str = "x-features",
        fallback: str = "auto",
        **options: Any,  # noqa: ANN401 (see above)
    ) -> None:
        given = source if isinstance(source, XFeatures) else None
        live = model if given is not None else source
        if given is None and data is None:
            refuse("The x-feature panel needs the model's data: call sdw.x_features_panel(model, data).")
        self._given = self._found = given
        self._source = XFeaturesSource(
            live,
            data,
            test,
            class_names or (given.class_names if given is not None else ()),
            normalize,
            tokenizer,
        )
        if given is not None:
            self._source.check_result(given)
        fields = {name: options.pop(name) for name in settings.names() if name in options}
        state = choice.start(options, given)
        super().__init__(
            title=title,
            plain=f"XFeaturesPanel({given if given is not None else type(live).__name__})",
            fallback=fallback,
            typed=self._source.start(fields, given),
            head=self._source.head(),
            **state,
        )
        self._source.runs.watch(self)
        if given is not None:
            self._show(given, 0)
        self.runs_changed()
        newest = self._source.runs.newest
        if given is None and newest is not None and newest.found is not None:
            self._show(newest.found, newest.number)

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def result(self) -> XFeatures:
        """The result on show, with the names that concepts have now: ``panel.result.save(path)`` keeps them.

        Raises:
            InputError: Nothing has been computed yet.
        """
        if self._found is None:
            refuse("This panel has no x-features yet. Press Compute, or call panel.compute().result().")
        return self._found

    def rename(self, index: int, name: str) -> None:
        """Name a concept, as typing does.

        Args:
            index: Number of the x-feature, from 0.
            name: What a person calls it.

        Raises:
            InputError: No such x-feature, or a name that is empty or longer than 200 characters.
        """
        self.names = list(self.result.renamed(index, name).names)

    def compute(self, **values: Any) -> Job[XFeatures]:  # noqa: ANN401 (settings)
        """Compute x-features of the live model beside the notebook, as the button does.

        Args:
            **values: Settings that differ from what is in the fields.

        Returns:
            The job: ``job.result()`` waits for it.

        Raises:
            InputError: No live model or data, a setting that cannot be, or a run that is still at work.
        """
        run = self._source.compute({**self.typed, **values})
        self.typed = run.values
        return run.job

    def cancel(self) -> None:
        """Ask the run at work to stop; the same settings go on from there later."""
        running = self._source.runs.running
        if running is not None:
            running.job.cancel()

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        return self._source.missing

    def renew(self) -> Job[XFeatures]:
        """The same for the model as it is now."""
        run = self._source.runs.find(self.shown_run)
        values = run.values if run is not None else self._source.start({}, self._given)
        return self.compute(**values)

    @traitlets.validate("display")
    def _check_display(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        return choice.shown_as(proposal["value"])

    # -- names -----------------------------------------------------------------------------------------

    @traitlets.validate("names")
    def _cleaned(self, proposal: Mapping[str, Any]) -> list[str]:
        known = () if self._found is None else self._found.names
        return choice.clean_names(proposal["value"], known)

    @traitlets.observe("names")
    def _renamed(self, _change: object) -> None:
        if self._found is None or tuple(self.names) == self._found.names:
            return
        for index, name in enumerate(self.names):
            if name != self._found.names[index]:
                self._found = self._found.renamed(index, name)
        run = self._source.runs.find(self.shown_run)
        if run is not None:
            run.found = self._found
            self._source.runs.tell()

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def begin(self, _call: Call, *, typed: Mapping[str, Any]) -> Answer:
        """Start a run."""
        return Answer({"job": self.compute(**typed).id})

    @action
    def copy(self, _call: Call, *, typed: Mapping[str, Any]) -> Answer:
        """The calls that compute the same."""
        return Answer({"code": self._source.cell({**self.typed, **typed}).copied()})

    @action
    def show_run(self, _call: Call, *, run: int) -> Answer:
        """Show a former result."""
        kept = self._source.runs.find(run)
        found = self._given if run == 0 else kept.found if kept is not None else None
        if found is None:
            refuse(f"Run {shorten(repr(run), 20)} has found nothing that could be shown. Choose another run.")
        self._show(found, run)
        return Answer({})

    # -- inside ----------------------------------------------------------------------------------------

    def _show(self, found: XFeatures, number: int) -> None:
        """Put a result on the page. What was on stays on where there still is such an x-feature."""
        self._found = found
        if number == 0:
            self._given = found
        run = self._source.runs.find(number)
        with self.hold_sync():
            self.shown_run = number
            self.names = list(found.names)
            if self.sheet:
                # Other pictures: what was chosen of them means nothing any more.
                self.selected, self.own = [], {}
            self.shown = [h for h in self.shown if h < found.n]
            self.hidden = [h for h in self.hidden if h < found.n]
            self.sheet = xfeatures_sheet.sheet(found, notes=[] if run is None else run.notes).trait()
        self.watch(self._source.watch if run is None else run.watch)

    def runs_changed(self) -> None:
        """Called by the runs of this model when one begins, ends, or its concepts are named."""
        runs = self._source.runs
        given = [{"number": 0, "about": "as given"}] if self._given is not None else []
        self.runs = given + [{"number": r.number, "about": r.about} for r in runs.runs if r.found is not None]
        shown = runs.find(self.shown_run)
        if shown is not None and shown.found is not None and tuple(self.names) != shown.found.names:
            self._found = shown.found
            self.names = list(shown.found.names)
        self.follow_newest(runs.runs)

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """See :meth:`JobPanel.job_news`: x-features are shown when all are there."""
        run = self._source.runs.of(job)
        if state["ended"] and run is not None and run.found is not None and self.shown_run != run.number:
            self._show(run.found, run.number)
            self.runs_changed()
        return {}

    def export(self, *, small: bool = False) -> Export:
        """All pictures and maps, to toggle and to compare; a small page has fewer, in coarser steps."""
        self.catch_up()
        state: dict[str, Any] = {name: getattr(self, name) for name in (*_SHOWN, "names", "typed")}
        state |= {"head": {**self.head, "live": False, "kernel": False}, "runs": [], "shown_run": 0}
        state |= {"job": {}, "stale": {}, "renewal": {}}
        if self._found is None:
            return Export({**state, "sheet": {}}, {}, [])
        run = self._source.runs.find(self.shown_run)
        notes = [] if run is None else run.notes
        found = (
            xfeatures_sheet.fitting(self._found, _SMALL_BYTES, notes=notes)
            if small
            else xfeatures_sheet.sheet(self._found, notes=notes)
        )
        return Export(state, {"sheet": (found.value, found.arrays)}, [])
