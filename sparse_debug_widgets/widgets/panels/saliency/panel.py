"""The Saliency panel: choose an example, classes, methods; maps side by side, a whole sweep to scrub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import check_int, refuse
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.saliency import METHODS, Attribution, Lambda1Sweep
from sparse_debug_widgets.saliency.methods.registry import sweep_methods
from sparse_debug_widgets.widgets.kit import fields as controls
from sparse_debug_widgets.widgets.kit import wire
from sparse_debug_widgets.widgets.kit.base import Export
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action, describe
from sparse_debug_widgets.widgets.kit.job_panel import JobPanel
from sparse_debug_widgets.widgets.kit.jobs import State
from sparse_debug_widgets.widgets.kit.namespace import called, named_models
from sparse_debug_widgets.widgets.kit.snapshot import snapshot
from sparse_debug_widgets.widgets.kit.stale import Watch, Watches
from sparse_debug_widgets.widgets.panels.saliency import code, settings
from sparse_debug_widgets.widgets.panels.saliency.sheet import Style, maps_sheet, sweep_sheet, warned
from sparse_debug_widgets.widgets.panels.saliency.source import SaliencySource
from sparse_debug_widgets.widgets.panels.saliency.work import (
    PREDICTION,
    SWEEP,
    Example,
    Piece,
    Wish,
    parameters_of,
    run_wish,
    top_classes,
)
from sparse_debug_widgets.widgets.shared.gallery import OtherClassesError
from sparse_debug_widgets.widgets.shared.heat import COARSE, FINE, Sheet

if TYPE_CHECKING:
    from torch import nn

MOST_CLASSES = 4
_PAGE = 24
_LOOK_SECONDS = 1.0
_SMALL_BYTES = 400_000
# Coarser and coarser ways to show the same in a page inside a notebook: steps of a map, one lambda of n, one
# pixel for n by n.
_LADDER = ((FINE, 1, 1), (COARSE, 1, 1), (COARSE, 2, 1), (COARSE, 2, 2), (COARSE, 4, 2), (31, 6, 2))
_LARGE = 96


class SaliencyPanel(JobPanel):
    """Saliency maps of a live model, computed beside the notebook; or maps that have been computed.

    Attributes:
        example: Row of the example that is looked at.
        typed: What is chosen: ``methods``, their ``values``, ``classes`` (-1: the prediction), ``sweep`` (a
            method or ""), ``seed``, ``auto`` (compute when an example is chosen).
        index: Position in the sweep.
        display: How all maps are shown: percentile, blend, signed, colour maps, smooth, one scale for all.

    Args:
        source: A live model, an :class:`Attribution` or a :class:`Lambda1Sweep`.
        model: The live model behind a result.
        data: Examples to choose from: what :class:`Examples` takes, or a mapping of keyword arguments.
        compare: A second model, shown beside the first.
        names: What the models are called; by default what the notebook calls them.
        example: Row to begin with; by default the first of the gallery.
        fallback: See :class:`Panel`.
        **options: What is chosen to begin with (``methods=("caso",)``, ``classes=(3,)``, ``sweep="cafo"``,
            ``values``, ``seed``, ``auto``), values of ``display``, ``class_names``, ``words``,
            ``tokenizer`` and ``normalize`` of :class:`SaliencySource`, ``chunk_size``, ``output`` and
            ``embedding`` of :func:`attribute`, and ``title``.

    Raises:
        InputError: A model without data, or an option that is none.
    """

    name = "saliency"
    memory_advice = "pass a smaller chunk_size to the panel, or choose fewer samples or classes"

    head = traitlets.Dict().tag(sync=True)
    gallery = traitlets.Dict().tag(sync=True)
    example = traitlets.Int(0).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    typed = traitlets.Dict().tag(sync=True)
    display = traitlets.Dict().tag(sync=True)
    maps = traitlets.Dict().tag(sync=True)
    swept = traitlets.Dict().tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        source: nn.Module | Attribution | Lambda1Sweep,
        model: nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (see Source)
        compare: nn.Module | None = None,
        names: Sequence[str] = (),
        example: int | None = None,
        fallback: str = "auto",
        **options: Any,  # noqa: ANN401 (see above)
    ) -> None:
        result = source if isinstance(source, Attribution | Lambda1Sweep) else None
        live = model if result is not None else source
        self._models = named_models(live, compare, names)
        passed = data is not None
        if data is None and result is not None:
            data = np.array(result.inputs)
        if data is None:
            refuse("The Saliency panel needs data to choose from: call sdw.saliency_panel(model, data).")
        title = str(options.pop("title", "Saliency"))
        self._source = SaliencySource(
            data,
            options.pop("class_names", ()),
            options.pop("words", None),
            normalize=options.pop("normalize", None),
            tokenizer=options.pop("tokenizer", None),
            model=next(iter(self._models.values()), None),
            box=None if result is None else box_from(result.provenance.params),
        )
        if result is not None and passed:
            self._source.check_result(result.inputs)
        self._asked: dict[str, Any] = {name: options.pop(name) for name in settings.ASKED if name in options}
        self._pieces: tuple[Piece, ...] = ()
        self._kept: tuple[Piece, ...] = ()
        self._wish: Wish | None = None
        self._job: Job[Any] | None = None
        self._which = "all"
        self._trouble: dict[str, str] = {}
        large = min(self._source.examples.shape[-2:], default=0) >= _LARGE
        known = [parameter.name for parameter in settings.DISPLAY]
        asked = {name: options.pop(name) for name in known if name in options}
        display = settings.shown_as(({"size": 220} if large else {}) | asked)
        super().__init__(
            title=title,
            plain=f"SaliencyPanel({result if result is not None else ', '.join(self._models)})",
            fallback=fallback,
            typed=settings.start(options),
            display=display,
        )
        if self._models and result is None:
            self._look()
        self._turn("all", 0)
        self.head = self._head()
        if result is not None:
            kind = SWEEP if isinstance(result, Lambda1Sweep) else result.provenance.method
            self._show((Piece(next(iter(self._models), ""), kind, result),))
        elif self._models:
            rows = self.gallery["value"]["rows"]
            self._choose(example if example is not None else rows[0]["row"] if rows else 0)
            if self.typed["auto"]:
                self.compute()

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def x(self) -> Example:
        """The example that is looked at, as a batch of one."""
        return self._source.x(self.example)

    @property
    def attributions(self) -> dict[tuple[str, str], Attribution]:
        """The maps that were found: (model, method) -> one map for each class."""
        return {(p.model, p.method): p.found for p in self._found if isinstance(p.found, Attribution)}

    @property
    def sweeps(self) -> dict[str, Lambda1Sweep]:
        """Model -> its sweep over lambda_1."""
        return {p.model: p.found for p in self._found if isinstance(p.found, Lambda1Sweep)}

    @property
    def _found(self) -> tuple[Piece, ...]:
        """Straight from the job: the page hears of it a moment later."""
        return self._pieces if self._job is None else (*self._kept, *self._job.pieces)

    def compute(self) -> Job[Any]:
        """Compute what is chosen, beside the notebook; a run that is still at work is cancelled.

        Returns:
            The job: ``job.result()`` waits for its pieces.

        Raises:
            InputError: No live model, or a choice that cannot be.
        """
        wish = self._wished(self.typed)
        return self._run(wish)

    def cancel(self) -> None:
        """Ask the run at work to stop; the maps that are there stay."""
        if self._job is not None:
            self._job.cancel()

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        return "" if self._models and self._wish is not None else "Run the cell again that made it."

    def renew(self) -> Job[Any]:
        """The same maps for the models as they are now."""
        if self._wish is None or not self._models:
            refuse(
                "This panel has a result only, and new maps need the live model. "
                "Show it with its model: sdw.panel(result, model)."
            )
        return self._run(self._wish)

    def own_jobs(self) -> Sequence[Job[Any]]:
        """See :meth:`Panel.own_jobs`."""
        job = self.__dict__.get("_job")
        return [job] if job is not None else []

    def _run(self, wish: Wish) -> Job[Any]:
        self.cancel()
        self.stop_following()
        # Where cells run, so that nothing trains meanwhile: the job works on what the models are now.
        copies = {name: snapshot(model) for name, model in self._models.items()}
        data = [self._source.data, *[None] * (len(copies) - 1)]
        watched = [Watch(model, part) for model, part in zip(self._models.values(), data, strict=True)]
        self._kept = self._reusable(wish)
        self._wish, self._pieces = wish, self._kept
        done = frozenset((piece.model, piece.method) for piece in self._kept)
        if self._job is not None:
            jobs.queue.discard(self._job)  # what is wanted of it is in what is kept
        job = jobs.submit(
            run_wish, copies, wish, done, name=f"saliency of example {wish.row}", noun="explanation"
        )
        self._job = job
        self.follow_job(job)
        self.watch(Watches(watched))
        return job

    def _reusable(self, wish: Wish) -> tuple[Piece, ...]:
        """Return what another method or sweep on the same example need not compute again."""
        last = self._wish
        if last is None or self.check_stale() or not last.same_place(wish):
            return ()
        return tuple(piece for piece in self._found if last.asks(piece.method) == wish.asks(piece.method))

    def job_news(self, job: Job[Any], state: State) -> Mapping[str, Any]:
        """See :meth:`JobPanel.job_news`: each map is shown when it is there."""
        pieces, ended = (*self._kept, *job.pieces), state["ended"]
        if ended or len(pieces) > len(self._pieces):
            self._show(pieces, ended=ended)
        if ended:
            self.check_stale()
        return {}

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def begin(self, _call: Call, *, typed: Mapping[str, Any]) -> Answer:
        """Compute what is chosen."""
        wanted = {**self.typed, **typed}
        wish = self._wished(wanted)
        self.typed = wanted
        return Answer({"job": self._run(wish).id})

    @action
    def choose(self, _call: Call, *, row: int) -> Answer:
        """Look at another example; computed at once where that is switched on."""
        self._choose(row)
        if self.typed["auto"]:
            self.compute()
        return Answer({})

    @action
    def turn(self, _call: Call, *, which: str, first: int) -> Answer:
        """Another page of the gallery."""
        self._turn(which, first)
        return Answer({})

    @action
    def look(self, _call: Call) -> Answer:
        """Let the model look at more of the data."""
        self._source.look(self._first, _LOOK_SECONDS)
        self._turn(self._which, int(self.gallery["value"]["first"]))
        return Answer({})

    @action
    def copy(self, _call: Call, *, typed: Mapping[str, Any]) -> Answer:
        """The calls that give the same maps."""
        wish = self._wished({**self.typed, **typed})
        names = {name: called(model, name) for name, model in self._models.items()}
        made = code.cell(wish, names, self._source.code(wish.row))
        return Answer({"code": made.copied()})

    @traitlets.validate("display")
    def _check_display(self, proposal: dict[str, Any]) -> dict[str, Any]:
        return settings.shown_as(proposal["value"])

    # -- choosing --------------------------------------------------------------------------------------

    @property
    def _first(self) -> nn.Module:
        return next(iter(self._models.values()))

    def _turn(self, which: str, first: int) -> None:
        self._which = which
        page = self._source.page(which, first, _PAGE)
        self.gallery = {"value": wire.jsonable(page.value), "arrays": wire.in_trait(page.arrays)}

    def _look(self) -> None:
        """Predict the first examples; a model that cannot is shown all the same, with what is wrong."""
        try:
            self._source.look(self._first, _LOOK_SECONDS)
        except OtherClassesError:
            raise
        except Exception as error:
            self._trouble = describe(error)

    def _choose(self, row: int) -> None:
        top: dict[str, Any] = {}
        x = self._source.x(row)
        failure = self._trouble
        try:
            top = {name: top_classes(model, x, self._asked) for name, model in self._models.items()}
        except Exception as error:
            failure = describe(error)
        self.example = row
        label = int(self._source.examples.labels[row])
        self.about = wire.jsonable({"row": row, "label": label, "top": top, "failure": failure})

    def _wished(self, typed: Mapping[str, Any]) -> Wish:
        if not self._models:
            refuse(
                "This panel has a result only, and new maps need the live model. "
                "Show it with its model: sdw.panel(result, model)."
            )
        methods, sweep = settings.checked(typed)
        classes = tuple(check_int(k, "class", "the Saliency panel", low=PREDICTION) for k in typed["classes"])
        if not 1 <= len(classes) <= MOST_CLASSES:
            refuse(f"Choose one to {MOST_CLASSES} classes; {len(classes)} are chosen.")
        seed = check_int(typed["seed"], "seed", "a saliency map", low=0)
        return Wish(self.example, self.x, classes, methods, sweep, seed, self._asked)

    # -- what the page gets ----------------------------------------------------------------------------

    def _style(self, level: tuple[int, int, int] = _LADDER[0]) -> Style:
        return Style(self._source.examples.name, self._source.words, *level, self._source.examples.box)

    def _sheets(self, level: tuple[int, int, int] = _LADDER[0]) -> tuple[Sheet, Sheet]:
        more = {"example": self._wish.row if self._wish is not None else -1, "warned": warned(self._pieces)}
        style = self._style(level)
        return maps_sheet(self._pieces, style, **more), sweep_sheet(self._pieces, style, **more)

    def _show(self, pieces: tuple[Piece, ...], *, ended: bool = True) -> None:
        """Put maps on the page; what a run that goes on has not come to yet stays as it was."""
        order = list(self.typed["methods"])
        self._pieces = tuple(sorted(pieces, key=lambda p: order.index(p.method) if p.method in order else 99))
        found, swept = self._sheets()
        with self.hold_sync():
            self.maps = found.trait()
            if swept.value and not self.swept.get("value") and swept.value["cells"]:
                self.index = int(swept.value["cells"][0].get("chosen", 0))
            if swept.value or ended:
                self.swept = swept.trait()

    def _head(self) -> dict[str, Any]:
        examples = self._source.examples
        fields = {m: [controls.field(p) for p in parameters_of(m)] for m in [*METHODS, SWEEP]}
        head: dict[str, Any] = wire.jsonable(
            {
                "methods": list(METHODS),
                "about": {name: controls.told(m.meaning, m.summary) for name, m in METHODS.items()},
                "sweeps": list(sweep_methods()),
                "fields": fields,
                "classes": controls.labels(examples.class_names, limit=100),
                "models": [controls.cut(name, 100) for name in self._models],
                "types": [type(model).__name__ for model in self._models.values()],
                "text": self._source.is_text,
                "most": MOST_CLASSES,
                "kernel": True,
            }
        )
        return head

    def export(self, *, small: bool = False) -> Export:
        """The maps and the whole sweep, to scrub through; a small page has them in coarser steps."""
        found, swept = self._sheets()
        for level in _LADDER[1:] if small else ():
            if sum(a.nbytes for a in (*found.arrays.values(), *swept.arrays.values())) <= _SMALL_BYTES:
                break
            found, swept = self._sheets(level)
        names = ("example", "about", "typed", "display", "head")
        state: dict[str, Any] = {name: getattr(self, name) for name in names}
        every = swept.value.get("ratios", [])
        state |= {"job": {}, "stale": {}, "renewal": {}, "index": self._nearest(every)}
        state |= {"gallery": {}, "head": {**self.head, "models": [], "kernel": False}}
        held: dict[str, tuple[dict[str, Any], Mapping[str, wire.Array]]] = {}
        for name, sheet in (("maps", found), ("swept", swept)):
            if sheet.value:
                held[name] = (sheet.value, sheet.arrays)
            else:
                state[name] = {}
        return Export(state, held, [])

    def _nearest(self, ratios: Sequence[float]) -> int:
        """Find the slider's place on a grid with fewer positions."""
        full = self.swept.get("value", {}).get("ratios", [])
        if not ratios or not full:
            return 0
        here = full[min(self.index, len(full) - 1)]
        return int(np.abs(np.log1p(np.array(ratios) * 1e4) - np.log1p(here * 1e4)).argmin())
