"""The panel that all panels grow from: state in traits, requests answered, a page that needs no kernel."""

from __future__ import annotations

import html
import inspect
import os
import sys
import uuid
import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import anywidget
import traitlets

from sparse_debug_widgets.core.checks import check_choice, refuse
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.jobs import queue
from sparse_debug_widgets.widgets.kit import assets, calls, jobs, showings, wire
from sparse_debug_widgets.widgets.kit.stale import Watch, watch_after_cells

_HAS_TRAITS = frozenset(vars(traitlets.HasTraits()))
FALLBACKS = ("auto", "full", "none")
SAVED = "application/vnd.sdw.panel+json"
"""Marks an output that holds a page beside the widget: our notebook extension shows it without a kernel."""


class Export(NamedTuple):
    """The content of a standalone page.

    Attributes:
        state: Trait values, JSON only.
        arrays: Traits that hold arrays: name -> (JSON value, arrays).
        replies: (action, arguments, JSON value, arrays) for each request that the page can answer itself.
    """

    state: dict[str, Any]
    arrays: dict[str, tuple[dict[str, Any], Mapping[str, wire.Array]]]
    replies: Sequence[tuple[str, dict[str, Any], dict[str, Any], Mapping[str, wire.Array]]]


class Panel(anywidget.AnyWidget):
    """Base of all panels.

    A subclass sets ``name`` (its files are in ``panels/<name>/``), marks what the front end may
    request with :func:`calls.action`, and says what a standalone page holds in :meth:`export`.

    Args:
        title: Title of the exported page.
        plain: What ``text/plain`` shows, normally the repr of the result.
        fallback: The ``text/html`` beside the widget, for readers without a kernel: ``"auto"`` keeps it
            small, ``"full"`` puts the whole export into the notebook, ``"none"`` leaves it out.

    Raises:
        InputError: ``fallback`` is none of these.
    """

    name: ClassVar[str] = ""

    # The front end says with it whose request it cancels: on that way there is no widget to ask.
    panel_id = traitlets.Unicode().tag(sync=True)
    # What has changed since the result was computed, and the job that computes it again.
    stale = traitlets.Dict().tag(sync=True)
    renewal = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 (passed on)
        if cls.__dict__.get("name"):  # not for the subclass that ipywidgets makes to add traits
            cls._esm = assets.esm(cls.name)
            cls._css = assets.css(cls.name)
        super().__init_subclass__(**kwargs)

    def __init__(  # the traits of the panel come as **state
        self, *, title: str, plain: str, fallback: str = "auto", **state: object
    ) -> None:
        check_choice(fallback, FALLBACKS, "fallback", "a panel")
        showings.bury_dead()
        showings.attend()
        self._watch: Watch | None = None
        self._renewal: Job[Any] | None = None
        self._title = title
        self._plain = plain
        self._fallback = fallback
        own = set(vars(self)) - _HAS_TRAITS
        if _in_marimo():
            # It serves a module as a file of the cell at work: a panel made in an answer has no such cell.
            state["_esm"] = assets.address(self.name)
        super().__init__(panel_id=uuid.uuid4().hex, **state)
        self._machinery = frozenset(set(vars(self)) - own)
        actions = {name: getattr(self, name) for name in dir(type(self)) if _is_action(type(self), name)}
        self._desk = calls.Desk(actions, self.send)
        self.on_msg(self._receive)
        calls.listen_for_cancel(self.panel_id, self._desk)

    @traitlets.observe("comm")
    def _comm_changed(self, change: Any) -> None:  # noqa: ANN401 (a traitlets bunch)
        """Hear messages without being kept alive by it: the list of comms outlives what the user holds."""
        super()._comm_changed(change)
        if change["new"] is not None:
            change["new"].on_msg(showings.hearing(weakref.ref(self)))

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:  # noqa: ANN401 (ipywidgets' callback)
        self._desk.receive(content)
        self.check_stale()

    # -- the end ----------------------------------------------------------------------------------------

    _closed = False

    @property
    def closed(self) -> bool:
        """Has it been closed, by hand or because no output shows it and nobody holds it any more?"""
        return self._closed

    def close(self) -> None:
        """Take the panel off the page and give its memory back: pictures, maps, copies of models.

        Its own runs are cancelled; fits, perturbations and x-features go on, and a new panel finds them. What
        was taken from the panel before (paths, attributions) is the user's and stays.
        """
        if self._closed:
            return
        self._closed = True
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()
        for job in self.own_jobs():
            queue.discard(job)
        self.let_go()
        kept = self.__dict__.get("_machinery", frozenset()) | _HAS_TRAITS | {"_closed", "_repr_mimebundle_"}
        for name in set(vars(self)) - kept:
            del self.__dict__[name]
        for name in self.traits(sync=True):
            if isinstance(self._trait_values.get(name), dict | list):
                # Past the machinery: there is nobody to tell.
                self._trait_values[name] = type(self._trait_values[name])()

    def __del__(self) -> None:
        """Close later: where garbage is collected nothing may be sent, and no lock be taken."""
        comm = self._trait_values.get("comm")
        if comm is not None:
            self.let_go()
            showings.leave_behind(comm, self._trait_values.get("layout"), self.own_jobs())

    def own_jobs(self) -> Sequence[Job[Any]]:
        """Jobs that work for this panel only."""
        job = self.__dict__.get("_renewal")
        return [job] if job is not None else []

    def let_go(self) -> None:
        """Undo what others know of this panel; called once, when it closes."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            """Say of a closed panel why it has nothing any more."""
            if self.__dict__.get("_closed"):
                why = (
                    f"this {type(self).__name__} is closed: it has no {name!r} any more. Run its cell again."
                )
                raise AttributeError(why)
            return object.__getattribute__(self, name)

    # -- staleness --------------------------------------------------------------------------------------

    def watch(self, watch: Watch) -> None:
        """Notice from now on what a result depends on; after every cell, and whenever the page asks."""
        self._watch = watch
        self.check_stale()
        watch_after_cells(self)

    def check_stale(self) -> tuple[str, ...]:
        """List what has changed since the result was computed, in clauses; the page says so too."""
        reasons = self._watch.reasons() if self._watch is not None else ()
        why_not = self.why_not_renewable() if reasons else ""
        self.stale = {"reasons": list(reasons), "whyNot": why_not} if reasons else {}
        return reasons

    def why_not_renewable(self) -> str:
        """Say why the panel cannot compute its result again; empty if it can."""
        return "Run the cells again that made it."

    def renew(self) -> Job[Any]:
        """Compute the result again beside the notebook.

        Raises:
            InputError: The panel cannot; the message says what it lacks.
        """
        refuse(
            "This panel does not have what its result was computed from. Run the cells again that made it."
        )

    def follow_renewal(self, job: Job[Any], renewed: Callable[[Any, Any], None]) -> Job[Any]:
        """Show a job as the renewal, and call ``renewed(panel, result)`` when it is done."""

        def moved(panel: Panel, job: Job[Any]) -> None:
            if job.state == "done" and panel.renewal.get("state") != "done":
                renewed(panel, job.result(0))
                panel.check_stale()
            panel.renewal = jobs.state_of(job)

        self._renewal = job
        jobs.follow(job, self, moved)
        return job

    @calls.action
    def refresh(self, _call: calls.Call) -> calls.Answer:
        """Compute the result again, as a job."""
        return calls.Answer({"job": self.renew().id})

    @calls.action
    def page(self, _call: calls.Call) -> calls.Answer:
        """The standalone page, to download."""
        return calls.Answer({"html": self.html()})

    @abstractmethod
    def export(self, *, small: bool = False) -> Export:
        """State and prepared replies of a standalone page; ``small`` for the one inside a notebook."""

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write a standalone page: the same panel, draggable, without a kernel and without a network.

        Args:
            path: The file to write; an existing one is replaced.

        Returns:
            The path written.
        """
        target = Path(path)
        page = self.html()
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
        try:
            partial.write_text(page, encoding="utf-8")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def html(self) -> str:
        """The standalone page that :meth:`to_html` writes."""
        background = "light-dark(#fff,#16191d)"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{html.escape(self._title)}</title>"
            f"<style>:root{{color-scheme:light dark}}body{{margin:0;padding:16px;background:{background}}}"
            "h1{position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%)}"
            f"</style></head><body><main><h1>{html.escape(self._title)}</h1>\n"
            f"{self._fragment(self.export())}\n</main></body></html>\n"
        )

    def _fragment(self, export: Export) -> str:
        archive = wire.Archive()
        held = {
            name: {"value": value, "arrays": archive.add(arrays)}
            for name, (value, arrays) in export.arrays.items()
        }
        replies = [
            {"action": action, "args": arguments, "value": value, "arrays": archive.add(arrays)}
            for action, arguments, value, arrays in export.replies
        ]
        root = f"sdw-{uuid.uuid4().hex[:12]}"
        content = {"state": export.state, "held": held, "replies": replies, "archive": archive.text()}
        module, style = assets.standalone(self.name)
        return (
            f'<div id="{root}" class="sdw-standalone"><style>{style}</style>'
            f'<script type="application/json">{wire.script_json(content)}</script>'
            f"<noscript>This picture needs JavaScript.</noscript></div>\n"
            f'<script type="module">{module}\nhost("{root}", {self.name}Panel);\n</script>'
        )

    def _repr_mimebundle_(
        self,
        **kwargs: Any,  # noqa: ANN401 (passed on)
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget for a live notebook, the page fragment for readers without a kernel, the plain repr."""
        showings.note_showing(self)
        bundle = super()._repr_mimebundle_(**kwargs)
        widget, metadata = bundle if bundle is not None else ({}, {})
        data: dict[str, Any] = {**widget, "text/plain": self._plain}
        if self._fallback != "none":
            data["text/html"] = self._fragment(self.export(small=self._fallback == "auto"))
            data[SAVED] = {"version": 1}
        return data, metadata


def _in_marimo() -> bool:
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def _is_action(panel_type: type[Panel], name: str) -> bool:
    # Looked up without being evaluated: some properties of ipywidgets' classes warn when they are read.
    return getattr(inspect.getattr_static(panel_type, name), "is_action", False) is True
