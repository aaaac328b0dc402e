"""Signatures as the one description of a method's parameters: ranges, choices, defaults, help.

A registered method declares ``n_samples: Annotated[int, Range(1, 500)] = 50`` once. Panel controls, the
command line, tables in the documentation and the contract tests are all read from the signature here, so
that no second list of parameters can drift away from the first.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from sparse_debug_widgets.core.checks import check_choice, check_int, check_known, check_real, reject, shorten

_KINDS: dict[object, str] = {int: "int", float: "float", bool: "bool", str: "str"}


@dataclass(frozen=True)
class Range:
    """Interval that a number must lie in; goes into ``Annotated``.

    Attributes:
        low: Lower end.
        high: Upper end.
        open_low: The lower end itself is not allowed.
        open_high: The upper end itself is not allowed.
        log: A slider over this range should be logarithmic.

    >>> str(Range(0, 1, open_low=True))
    '(0, 1]'
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    log: bool = False

    def __str__(self) -> str:
        open_low = self.open_low or self.low == -math.inf
        open_high = self.open_high or self.high == math.inf
        return f"{'(' if open_low else '['}{self.low:g}, {self.high:g}{')' if open_high else ']'}"


@dataclass(frozen=True)
class Among:
    """Names that a word must be one of; goes into ``Annotated[str, ...]``.

    Attributes:
        names: For example a registry: an entry that is added later counts too.
    """

    names: Collection[str]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method, as panels, command line and tests need it.

    Attributes:
        name: Its name.
        kind: ``"int"``, ``"float"``, ``"bool"``, ``"str"``, ``"choice"`` or ``"other"`` (checked by the
            method itself; no control is made for it).
        default: Its default.
        range: For numbers.
        choices: For ``Literal`` types and :class:`Among`; also words that are allowed beside numbers.
        optional: None is allowed.
        each: A sequence, a value for each example, is allowed too; the method itself checks it.
        help: What the docstring's ``Args`` section says.
    """

    name: str
    kind: str
    default: Any
    range: Range | None = None
    choices: Collection[str] = ()
    optional: bool = False
    each: bool = False
    help: str = ""

    def describe(self) -> str:
        """Type and range in a few words.

        >>> Parameter("n", "int", 5, Range(1, 9)).describe()
        'int in [1, 9]'
        """
        if self.kind == "choice":
            text = " | ".join(map(repr, self.choices))
        else:
            text = f"{self.kind} in {self.range}" if self.range else self.kind
            text = " | ".join([text, *map(repr, self.choices)])
        return f"{text} | None" if self.optional else text

    @property
    def summary(self) -> str:
        """The first sentence of its help, without markup."""
        text = re.sub(r":\w+:`~?([^`]*)`", r"\1", self.help).replace("``", "")
        return re.split(r"(?<=\w[.;:])\s|(?<=\)[.;:])\s", text)[0].rstrip(".;:")

    def check(self, value: object, method: str) -> Any:  # noqa: ANN401
        """Return ``value`` in the parameter's own type.

        Raises:
            InputError: Another type, or outside the range; the message names the range.
        """
        listed = self.each and isinstance(value, Sequence) and not isinstance(value, str)
        if self.kind == "other" or (value is None and self.optional) or listed:
            return value
        if self.kind == "choice" and isinstance(value, str):
            return check_choice(value, self.choices, self.name, method)
        if self.choices and isinstance(value, str) and value in self.choices:
            return value
        if self.kind in {"int", "float"} and not (self.choices and isinstance(value, str)):
            return self._number(value, method)
        if isinstance(value, {"bool": bool | np.bool_, "str": str}.get(self.kind, ())):
            return bool(value) if self.kind == "bool" else value
        return reject(self.name, method, f"be {self._wanted()}", shorten(repr(value)))

    def _wanted(self) -> str:
        """Say what is expected, in the words of an error."""
        if self.kind not in {"int", "float"}:
            return self.describe()
        number = "a whole number" if self.kind == "int" else "a number"
        within = f"{number} in {self.range}" if self.range else number
        return " or ".join([*map(repr, self.choices), within])

    def _number(self, value: object, method: str) -> int | float:
        interval = self.range or Range()
        if self.kind == "int" and not (isinstance(value, float) and value.is_integer()):
            low = -(2**63) if interval.low == -math.inf else math.ceil(interval.low)
            high = None if interval.high == math.inf else math.floor(interval.high)
            return check_int(value, self.name, method, low=low, high=high)
        number = check_real(
            value,
            self.name,
            method,
            low=interval.low,
            high=interval.high,
            open_low=interval.open_low,
            open_high=interval.open_high,
        )
        return int(number) if self.kind == "int" else number


@functools.cache
def read_parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The keyword-only parameters of a method, from its signature and docstring.

    What comes before the ``*`` is what the caller provides (the model, the inputs); what comes after it is
    what a person may choose.

    Args:
        function: With ``Annotated[int, Range(...)]``, ``Literal[...]``, ``bool``, ``str`` or ``... | None``
            types; anything else has the kind "other".
    """
    hints = get_type_hints(function, include_extras=True)
    helps = _argument_docs(function)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = None if parameter.default is inspect.Parameter.empty else parameter.default
            hint, each = _without_sequence(hints.get(name, object))
            kind, interval, choices, optional = _read_type(hint)
            text = helps.get(name, "")
            found.append(Parameter(name, kind, default, interval, choices, optional, each, text))
    return tuple(found)


def check_parameters(
    parameters: Sequence[Parameter], given: Mapping[str, object], method: str
) -> dict[str, Any]:
    """All parameters of a method with defaults filled in, each checked.

    Args:
        parameters: From :func:`read_parameters`.
        given: What the user passed.
        method: Name of the method, for messages.

    Raises:
        InputError: An unknown name (the nearest are suggested), a wrong type, or a value outside its range.
    """
    known = {parameter.name: parameter for parameter in parameters}
    check_known(given, known, method, "parameter")
    return {
        name: parameter.check(given[name], method) if name in given else parameter.default
        for name, parameter in known.items()
    }


def _without_sequence(hint: object) -> tuple[object, bool]:
    """A type without ``Sequence[...]`` beside others, and whether that was among them."""
    members = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else ()
    rest = tuple(member for member in members if get_origin(member) is not Sequence)
    each = 0 < len(rest) < len(members)
    return (Union[rest] if each else hint), each  # noqa: UP007 - of members that are known now only


def _read_type(hint: object) -> tuple[str, Range | None, Collection[str], bool]:
    """Kind, range, words and whether None is allowed."""
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *notes = get_args(hint)
        kind, interval, choices, optional = _read_type(inner)
        among = next((note for note in notes if isinstance(note, Among)), None)
        if among is not None:
            return "choice", None, among.names, optional
        return kind, next((n for n in notes if isinstance(n, Range)), interval), choices, optional
    if origin is Literal:
        return "choice", None, tuple(str(option) for option in get_args(hint)), False
    if origin in {Union, types.UnionType}:
        members = [member for member in get_args(hint) if member is not type(None)]
        optional = len(members) < len(get_args(hint))
        read = [_read_type(member) for member in members]
        words = tuple(word for kind, _, choices, _ in read if kind == "choice" for word in choices)
        rest = [entry for entry in read if entry[0] != "choice"]
        if len(rest) > 1:
            return "other", None, words, optional
        kind, interval = rest[0][:2] if rest else ("choice", None)
        return kind, interval, words, optional
    return _KINDS.get(hint, "other"), None, (), False


def _argument_docs(function: Callable[..., Any]) -> dict[str, str]:
    """Name to text of a Google docstring's ``Args`` section."""
    document = inspect.getdoc(function) or ""
    match = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", document, re.MULTILINE)
    if match is None:
        return {}
    entries = re.findall(r"^ {4}(\w+)[^:\n]*: ((?:.*\n?)(?: {8,}.*\n?)*)", match.group(1), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
