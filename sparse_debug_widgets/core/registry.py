"""A named set of interchangeable things (demos, solvers, methods): one line adds one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from sparse_debug_widgets.core.checks import InputError, refuse, shorten, suggest

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping from a name to a thing, with helpful errors.

    Args:
        noun: What is registered, in the singular, for messages: ``"demo"``, ``"solver"``.
        **entries: The first entries.
    """

    def __init__(self, noun: str, entries: Mapping[str, T] | None = None) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}
        for name, entry in (entries or {}).items():
            self.add(name, entry)

    def add(self, name: str, entry: T) -> T:
        """Register ``entry`` under ``name`` and return it.

        Raises:
            InputError: The name is taken already.
        """
        if name in self._entries:
            refuse(f"There is a {self.noun} {name!r} already: choose another name.")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            asked = shorten(repr(name), 60)
            msg = f"There is no {self.noun} {asked}. {suggest(str(name), self._entries)}"
            raise UnknownNameError(msg) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __repr__(self) -> str:
        return f"Registry({self.noun}: {', '.join(self._entries)})"


class UnknownNameError(InputError, KeyError):
    """A name that is not registered; a KeyError too, so that ``Mapping.get`` works."""

    def __str__(self) -> str:
        """The message as it is: KeyError would show its repr."""
        return str(self.args[0])
