"""The cells that show panels: one whose outputs are all gone stays while the user's own names hold it.

Jupyter keeps every widget, and IPython every output, for as long as the kernel lives: twenty runs of a cell
would keep twenty panels with their pictures and maps. So when a cell is run again, what only they keep of its
former outputs is let go. A box of widgets (``HBox([panel, ...])``) shows the panels that are in it, and goes
with them.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ipywidgets import Box
from ipywidgets.widgets import widget as registry

from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.jobs import queue

_shown: dict[str, weakref.WeakSet[Any]] = {}
"""Cell -> the panels and the boxes with panels that its output shows."""
_gone: weakref.WeakSet[Any] = weakref.WeakSet()
_mortal: weakref.WeakSet[Any] = weakref.WeakSet()
"""Boxes that their comm does not keep alive."""
_current: dict[int, str] = {}
"""Shell -> the cell that it runs."""
_dead: deque[tuple[Any, Any, Sequence[Job[Any]]]] = deque()
"""What panels leave behind that nobody holds any more: comm, layout, jobs."""


def leave_behind(comm: Any, layout: Any, jobs: Sequence[Job[Any]]) -> None:  # noqa: ANN401 (ipywidgets' own)
    """Note what a panel that is being collected leaves; no lock is taken: that happens anywhere, any time."""
    _dead.append((comm, layout, jobs))


def bury_dead() -> None:
    """Close what collected panels have left: at a time of ours, where sending and locking do no harm."""
    while _dead:
        comm, layout, jobs = _dead.popleft()
        comm.close()
        if layout is not None:
            layout.close()
        for job in jobs:
            queue.discard(job)


def note_showing(shown: Any) -> None:  # noqa: ANN401 (a Panel, or a Box with panels in it)
    """Note that the cell at work shows a panel; nothing is noted where a host does not name its cells."""
    for widget in _within(shown):
        registry._instances[widget.model_id] = widget
    shell = _shell()
    if shell is not None and (cell := listen(shell)):
        _shown.setdefault(cell, weakref.WeakSet()).add(shown)


def attend() -> None:
    """Follow the shell at work, where there is one: a box may show a panel before any panel shows itself."""
    shell = _shell()
    if shell is not None:
        listen(shell)


def hearing(widget: weakref.ref[Any]) -> Callable[[Any], None]:
    """Hear a widget's messages without keeping it alive: the list of comms outlives what users hold."""

    def heard(message: Any) -> None:  # noqa: ANN401 (a message as the comm gives it)
        living = widget()
        if living is not None:
            living._handle_msg(message)

    return heard


def listen(shell: Any) -> str:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    """Follow which cell a shell runs.

    Returns:
        The cell that it runs now; empty where the host does not say.
    """
    if id(shell) not in _current:
        _current[id(shell)] = _cell_at_work(shell)
        shell.events.register("pre_run_cell", _before)
        shell.events.register("post_run_cell", _after)
        shell.display_formatter.mimebundle_formatter.for_type(Box, _show_box)
    return _current[id(shell)]


def let_die(panel: Any) -> None:  # noqa: ANN401 (a Panel, or a Box)
    """Keep a panel no longer than somebody else holds it."""
    registry._instances.pop(panel._model_id, None)


def _show_box(box: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (a Box; a MIME bundle as IPython defines it)
    """Return what IPython shows of a box; note the panels in it."""
    show = box._repr_mimebundle_  # None of a closed one
    if show is None:
        return None
    boxes = [widget for widget in _within(box) if isinstance(widget, Box)]
    if len(boxes) < len(list(_within(box))):
        note_showing(box)
        for one in boxes:
            if one not in _mortal:
                _mortal.add(one)
                one.comm.on_msg(hearing(weakref.ref(one)))
                weakref.finalize(one, leave_behind, one.comm, one.layout, ()).atexit = False
    return show(**kwargs)


def _within(shown: Any) -> Iterator[Any]:  # noqa: ANN401 (widgets)
    """A panel; or a box, the boxes inside it and the panels inside these."""
    if isinstance(shown, Box):
        yield shown
        for child in shown.children:
            yield from _within(child)
    elif hasattr(shown, "panel_id"):
        yield shown


def _shell() -> Any:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _cell_at_work(shell: Any) -> str:  # noqa: ANN401
    """The cell whose run had begun before anybody listened; empty where the host does not say."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return str(parent.get("metadata", {}).get("cellId") or "")


def _before(info: Any) -> None:  # noqa: ANN401 (IPython's ExecutionInfo)
    cell = str(info.cell_id or "")
    _current[id(_shell())] = cell
    for panel in _shown.pop(cell, ()):
        _gone.add(panel)


def _after(_result: object) -> None:
    shell = _shell()
    _current[id(shell)] = ""
    still = {widget for every in _shown.values() for shown in every for widget in _within(shown)}
    dropped = [widget for shown in _gone for widget in _within(shown) if widget not in still]
    _gone.clear()
    if dropped:
        for widget in dropped:
            let_die(widget)
        _forget_outputs(shell, {id(widget) for widget in dropped})
        dropped.clear()
        del widget
        gc.collect()  # panels are circles of references
    bury_dead()


def _forget_outputs(shell: Any, panels: set[int]) -> None:  # noqa: ANN401
    """Take panels out of IPython's cache of outputs (``Out[3]``, ``_3``, ``_``); a user's own names stay."""
    outputs = shell.user_ns.get("_oh", {})
    numbers = [number for number, value in outputs.items() if id(value) in panels]
    pages = getattr(shell.history_manager, "outputs", {})
    for number in numbers:
        del outputs[number]
        pages.pop(number, None)  # what was displayed, for a history that can be saved as a notebook
    # What IPython itself has put among the user's names, it knows twice.
    for names in (shell.user_ns, shell.user_ns_hidden):
        for number in numbers:
            names.pop(f"_{number}", None)
        for name in ("_", "__", "___"):
            if id(names.get(name)) in panels:
                names[name] = ""
    for name in ("_", "__", "___"):
        if id(getattr(shell.displayhook, name, None)) in panels:
            setattr(shell.displayhook, name, "")
