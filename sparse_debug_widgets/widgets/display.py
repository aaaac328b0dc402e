"""Results as the last expression of a cell: IPython shows their panel, plain text stays the repr."""

from __future__ import annotations

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


def _as_panel(result: object, **_: Any) -> Any:  # noqa: ANN401 (a MIME bundle as IPython defines it)
    from sparse_debug_widgets.widgets.catalog import PANELS, panel

    if type(result) not in PANELS:
        return {}, {}
    return panel(result)._repr_mimebundle_()
