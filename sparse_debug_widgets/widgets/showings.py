"""The cells that show panels: one whose outputs are all gone stays while the user's own names hold it.

Jupyter keeps every widget, and IPython every output, for as long as the kernel lives: twenty runs of a cell
would keep twenty panels with their pictures and maps. So when a cell is run again, what only they keep of its
former outputs is let go.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from ipywidgets.widgets import widget as registry

from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.jobs import queue

_shown: dict[str, weakref.WeakSet[Any]] = {}
"""Cell -> the panels that its output shows."""
_gone: weakref.WeakSet[Any] = weakref.WeakSet()
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


def note_showing(panel: Any) -> None:  # noqa: ANN401 (a Panel)
    """Note that the cell at work shows a panel; nothing is noted where a host does not name its cells."""
    registry._instances[panel.model_id] = panel
    shell = _shell()
    if shell is not None and (cell := listen(shell)):
        _shown.setdefault(cell, weakref.WeakSet()).add(panel)


def listen(shell: Any) -> str:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    """Follow which cell a shell runs.

    Returns:
        The cell that it runs now; empty where the host does not say.
    """
    if id(shell) not in _current:
        _current[id(shell)] = _cell_at_work(shell)
        shell.events.register("pre_run_cell", _before)
        shell.events.register("post_run_cell", _after)
    return _current[id(shell)]


def let_die(panel: Any) -> None:  # noqa: ANN401 (a Panel)
    """Keep a panel no longer than somebody else holds it."""
    registry._instances.pop(panel._model_id, None)


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
    still = {panel for panels in _shown.values() for panel in panels}
    dropped = [panel for panel in _gone if panel not in still]
    _gone.clear()
    if dropped:
        for panel in dropped:
            let_die(panel)
        _forget_outputs(shell, {id(panel) for panel in dropped})
        dropped.clear()
        del panel
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
