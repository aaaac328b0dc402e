"""Frozen results: what a computation found, with how it was found.

A result holds read-only NumPy arrays on the host and JSON-able settings, so that it can be saved, sent and
drawn long after the model is gone. Drawing and tables read stored values only; nothing is recomputed.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.core.layout import faults, types_of

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages whose arithmetic enters a result."""
    return dict(_package_versions())


@cache
def _package_versions() -> dict[str, str]:
    # Reading the metadata of three packages takes 5 ms: as long as a small network's forward pass.
    found = {"python": platform.python_version()}
    for name in ("sparse-debug-widgets", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of a result: method, parameters, seed, versions and seconds.

    Attributes:
        method: Name of the function or method, for example ``"elastic_net_path:saga"``.
        params: JSON-able settings it ran with.
        seed: The seed, or None where nothing is random.
        versions: Versions of the packages that matter for the numbers.
        seconds: Wall-clock seconds it took.
        fingerprint: Hash of model, data and layer it was computed from; empty if unknown.
    """

    method: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=package_versions)
    seconds: float = 0.0
    fingerprint: str = ""


_shown: list[Callable[[Result], object]] = []


def show_results_as(show: Callable[[Result], object] | None) -> None:
    """Say what a host that asks a result how it is displayed gets; None: its text."""
    _shown[:] = [] if show is None else [show]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Result(ABC):
    """Base of all results.

    Subclasses are ``@dataclass(frozen=True, kw_only=True, eq=False, repr=False)`` and set ``kind`` (and
    ``schema``, raised when the layout or the meaning of the fields changes, see :meth:`upgraded`). A field is
    a NumPy array, None, or JSON-able (str, int, float, bool, and tuples or dicts of those). Arrays are made
    read-only on construction.
    """

    kind: ClassVar[str] = ""
    schema: ClassVar[int] = 1
    arrays: ClassVar[Mapping[str, str]] = {}
    """What each array must be, see :mod:`core.layout`; checked when a file is read."""

    provenance: Provenance

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                # A view of its own: the caller's array keeps its flags.
                frozen = value.view()
                frozen.flags.writeable = False
                object.__setattr__(self, field.name, frozen)
            elif isinstance(value, list):
                object.__setattr__(self, field.name, _tuples(value))

    def _display_(self) -> object:
        """Return what marimo shows of a bare result: its panel, or its text."""
        return _shown[0](self) if _shown else repr(self)

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """The main numbers as a table."""

    @abstractmethod
    def plot(self) -> go.Figure:
        """The main picture, drawn from stored values."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to one file (safetensors with a JSON head; see :mod:`core.storage`).

        Args:
            path: The file to write; an existing one is replaced atomically.

        Returns:
            The path written.
        """
        head: dict[str, Any] = {"provenance": dataclasses.asdict(self.provenance), "fields": {}, "none": []}
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "provenance":
                continue
            if isinstance(value, np.ndarray):
                arrays[field.name] = np.asarray(value)
            elif value is None:
                head["none"].append(field.name)
            else:
                head["fields"][field.name] = value
        return storage.write(path, kind=self.kind, schema=self.schema, head=head, arrays=arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a result that :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            StorageError: Another kind of file, a newer schema, or a damaged one.
        """
        schema, head, arrays = storage.read_stored(path, kind=cls.kind, schema=cls.schema)
        values: dict[str, Any] = {name: _tuples(value) for name, value in head.get("fields", {}).items()}
        values |= dict.fromkeys(head.get("none", []))
        values |= arrays
        fields = [field for field in dataclasses.fields(cls) if field.name != "provenance"]
        names = {field.name for field in fields}
        # What has a default came later: files from before lack it.
        later = {field.name for field in fields if field.default is not dataclasses.MISSING}
        if not names - later <= set(values) <= names or not isinstance(head.get("provenance"), dict):
            missing = ", ".join(sorted((names ^ set(values)) - later)) or "provenance"
            msg = (
                f"{shorten(str(path))!r} holds no {cls.kind.replace('_', ' ')} that can be read: its "
                f"fields are not those of schema {cls.schema} ({shorten(missing)}). Save the result again, "
                "or compute it anew."
            )
            raise storage.StorageError(msg)
        wrong = next(faults(cls.arrays, values, types_of(cls)), "")
        if wrong:
            raise cls._inconsistent(path, wrong)
        try:
            found = cls(provenance=_provenance(head["provenance"]), **values)
        except (TypeError, ValueError, AttributeError) as error:
            raise cls._inconsistent(path, str(error)) from error
        wrong = next(found.faults(), "")
        if wrong:
            raise cls._inconsistent(path, wrong)
        return found if schema == cls.schema else found.upgraded(schema)

    def upgraded(self, schema: int) -> Self:
        """The result as this version would have it, where a file of an earlier schema was read."""
        return self

    def faults(self) -> Iterator[str]:
        """List what is wrong with the fields beyond their shapes, a phrase each; called as a file is read."""
        yield from ()

    @classmethod
    def _inconsistent(cls, path: str | os.PathLike[str], got: str) -> storage.StorageError:
        return storage.StorageError(
            f"{shorten(str(path))!r} holds no {cls.kind.replace('_', ' ')} that can be read: its parts do "
            f"not fit together ({shorten(got)}). Save the result again, or compute it anew."
        )

    def __repr__(self) -> str:
        parts = [f"method={self.provenance.method!r}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                parts.append(f"{field.name}={'x'.join(map(str, value.shape)) or 'scalar'} {value.dtype}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _provenance(head: Mapping[str, Any]) -> Provenance:
    """Read where a result comes from.

    Raises:
        TypeError: Fields that are none of :class:`Provenance`'s, or of another type.
    """
    made = Provenance(**head)
    wrong = next(faults({}, vars(made), types_of(Provenance)), "")
    if wrong:
        raise TypeError(wrong)
    return made


def _tuples(value: object) -> object:
    """Lists (also nested) as tuples: JSON knows lists only, and a result must not change."""
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
