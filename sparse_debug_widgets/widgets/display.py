"""The display that IPython gives unasked: the panel of a result, the progress of what takes long."""

from __future__ import annotations

import uuid
from typing import Any

_PACKAGE = __package__.rpartition(".")[0]


def register_formatter(ipython: Any) -> None:  # noqa: ANN401 (an InteractiveShell; IPython is not imported)
    """Teach an IPython shell to show results as panels.

    The class is registered by name, so nothing is imported before the first result is shown.

    Args:
        ipython: The shell, as ``IPython.get_ipython()`` returns it.
    """
    formatter = ipython.display_formatter.mimebundle_formatter
    formatter.for_type_by_name(f"{_PACKAGE}.core.result", "Result", _as_panel)


def register_display() -> None:
    """Let results show their panels in hosts that call ``_display_()``, as marimo does."""
    from sparse_debug_widgets.core.result import show_results_as

    show_results_as(_panel_or_text)


def _panel_or_text(result: object) -> object:
    from sparse_debug_widgets.widgets.catalog import PANELS, panel

    return panel(result) if type(result) in PANELS else repr(result)


def _as_panel(result: object, **_: Any) -> Any:  # noqa: ANN401 (a MIME bundle as IPython defines it)
    from sparse_debug_widgets.widgets.catalog import PANELS, panel

    if type(result) not in PANELS:
        return {}, {}
    return panel(result)._repr_mimebundle_()


def register_progress(ipython: Any) -> None:  # noqa: ANN401 (as above)
    """Show the progress of long operations under their cell, where the shell is that of a notebook.

    Args:
        ipython: The shell; one of a terminal has no kernel, and stays silent.
    """
    from sparse_debug_widgets.core.progress import show_by_default

    if getattr(ipython, "kernel", None) is not None:
        show_by_default(lambda: _CellLine(ipython))


class _CellLine:
    """One line of text in the output of a cell, written over again."""

    def __init__(self, ipython: Any) -> None:  # noqa: ANN401 (as above)
        self._ipython = ipython
        self._id = ""

    def __call__(self, line: str, _last: bool) -> None:
        again = bool(self._id)
        self._id = self._id or uuid.uuid4().hex
        self._ipython.display_pub.publish(
            {"text/plain": line}, metadata={}, transient={"display_id": self._id}, update=again
        )
