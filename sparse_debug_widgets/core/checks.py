"""Input checks whose messages say what was expected, what came, and what to do.

Shapes, types and ranges are refused in one form, "X is not compatible with Y: it must ...; got ...", so that
people learn to read it once. What people call by name (features, options, runs, files) is talked about in a
plain sentence, which says what is wrong and what to do.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt


class InputError(ValueError):
    """A value that a public function cannot work with."""


def reject(what: str, with_what: str, must: str, got: object, advice: str = "") -> NoReturn:
    """Raise an :class:`InputError` in the house form.

    Args:
        what: The thing that was passed, for example ``"alpha"``.
        with_what: What it was passed for, for example ``"the elastic-net penalty"``.
        must: What it must be or do, without "it must".
        got: What came; anything that is not a string is shown by its repr, shortened.
        advice: What to do about it, a full sentence.
    """
    shown = got if isinstance(got, str) else shorten(repr(got))
    message = f"{what} is not compatible with {with_what}: it must {must}; got {shown}."
    raise InputError(f"{message} {advice}".rstrip())


def refuse(sentence: str) -> NoReturn:
    """Raise an :class:`InputError` in plain words, where the house form would sound odd.

    Args:
        sentence: What is wrong, and what to do about it; names in it are quoted and cut.
    """
    raise InputError(sentence)


def check_known(given: Iterable[str], known: Iterable[str], whose: str, noun: str = "option") -> None:
    """Refuse a name that nothing has, such as a mistyped option.

    Args:
        given: The names that were passed.
        known: The names that there are.
        whose: What has them, for the message.
        noun: What they are called.

    Raises:
        InputError: One of the names is not known; the message suggests the nearest.
    """
    options = list(known)
    for name in given:
        if name not in options:
            # The name of a method stays as it is.
            who = f"{whose[0].upper()}{whose[1:]}" if " " in whose else whose
            advice = suggest(str(name), options) if options else "It takes none: leave it out."
            refuse(f"{who} has no {noun} {shorten(repr(name), 60)}. {advice}")


def shorten(text: str, limit: int = 120) -> str:
    """Cut a text for an error message, so that untrusted input cannot flood the page."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def nearest(name: str, options: Iterable[str], n: int = 3) -> list[str]:
    """The options that look most like a mistyped name, best first, possibly none."""
    return difflib.get_close_matches(name, list(options), n=n, cutoff=0.5)


def suggest(name: str, options: Iterable[str]) -> str:
    """A sentence that helps after a mistyped name: the nearest options, else (a few of) all of them."""
    known = list(options)
    close = nearest(name, known)
    if close:
        return f"Did you mean {' or '.join(repr(option) for option in close)}?"
    listed = ", ".join(repr(option) for option in known[:20])
    return f"Known: {listed}{', ...' if len(known) > 20 else ''}." if known else "None are known."


def check_choice(value: object, options: Iterable[str], what: str, with_what: str) -> str:
    """Return ``value`` if it is one of the options.

    Raises:
        InputError: It is not; the message suggests the nearest option.
    """
    known = list(options)
    if not isinstance(value, str) or value not in known:
        reject(what, with_what, f"be one of {', '.join(map(repr, known))}", value, suggest(str(value), known))
    return value


def check_real(
    value: object,
    what: str,
    with_what: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return ``value`` as a float if it is a finite real number within the interval.

    Args:
        value: What the caller passed.
        what: Name of the parameter.
        with_what: What it is for.
        low: Lower end of the interval.
        high: Upper end of the interval.
        open_low: The lower end itself is not allowed.
        open_high: The upper end itself is not allowed.

    Raises:
        InputError: Not a real number, not finite, or outside the interval.
    """
    must = f"be a finite number{_in_words(low, high, open_low=open_low, open_high=open_high)}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        reject(what, with_what, must, value)
    number = float(value)
    below = number <= low if open_low else number < low
    above = number >= high if open_high else number > high
    if not math.isfinite(number) or below or above:
        reject(what, with_what, must, value)
    return number


def _in_words(low: float, high: float, *, open_low: bool, open_high: bool) -> str:
    """An interval after "a finite number": infinite ends are no numbers that one could pass."""
    if math.isfinite(low) and math.isfinite(high):
        return f" in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    if math.isfinite(low):
        return f" above {low:g}" if open_low else f" of at least {low:g}"
    if math.isfinite(high):
        return f" below {high:g}" if open_high else f" of at most {high:g}"
    return ""


def check_int(value: object, what: str, with_what: str, *, low: int = 1, high: int | None = None) -> int:
    """Return ``value`` as an int if it is a whole number within [low, high].

    Raises:
        InputError: Not a whole number, or outside the interval.
    """
    upper = "" if high is None else f" and at most {high}"
    must = f"be a whole number of at least {low}{upper}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        reject(what, with_what, must, value)
    number = int(value)
    if number < low or (high is not None and number > high):
        reject(what, with_what, must, value)
    return number


def check_finite(array: npt.NDArray[Any], what: str, with_what: str) -> None:
    """Refuse NaN and infinite entries, and say where the first one is.

    Raises:
        InputError: At least one entry is not finite.
    """
    if not np.issubdtype(array.dtype, np.inexact):
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = np.argwhere(~finite)
    position = tuple(int(i) for i in bad[0])
    reject(
        what,
        with_what,
        "have finite entries only",
        f"{array[position]} at index {position} ({len(bad)} such entries in all)",
        "Remove these rows, or find out which layer overflows.",
    )
