"""The cell of Python that "copy as code" gives: calls that do in the notebook what a panel shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparse_debug_widgets.core.pixels import as_argument
from sparse_debug_widgets.widgets.kit.namespace import runnable


class Expression(str):
    """Python that is written into a call as it stands, where other values are written by their ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Cell:
    """The lines of a cell, added one by one."""

    def __init__(self) -> None:
        self._imports = ["import sparse_debug_widgets as sdw"]
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line as it stands."""
        self._lines.append(line)

    def import_(self, module: str) -> None:
        """Add an import."""
        self._imports.append(f"import {module}")

    def call(self, function: str, /, *given: str, to: str = "", **said: object) -> None:
        """Add a call of the package.

        Args:
            function: Name of the function in ``sdw``, or an expression that holds a dot.
            *given: Expressions of the arguments by position; empty ones are left out.
            to: The variable that takes the result.
            **said: Arguments by keyword, :class:`Expression` or values.
        """
        arguments = [part for part in given if part]
        arguments += [f"{name}={value!r}" for name, value in said.items()]
        reached = function if "." in function else f"sdw.{function}"
        self.add(f"{f'{to} = ' if to else ''}{reached}({', '.join(arguments)})")

    def __str__(self) -> str:
        return "\n".join([*self._imports, "", *self._lines])

    def copied(self, **meant: str) -> str:
        """The cell, with a line to fill in for each thing that the notebook has no name for.

        Args:
            **meant: What a name stands for in such a line.
        """
        return runnable(str(self), **meant)


def differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a call has to say: those that differ from its defaults."""
    return {name: value for name, value in values.items() if value != defaults.get(name)}


def normalized(normalize: object, data: object = None) -> dict[str, Any]:
    """The argument that says a normalisation again; none where none is known."""
    known = as_argument(normalize, data)
    return {} if known is None else {"normalize": known}
