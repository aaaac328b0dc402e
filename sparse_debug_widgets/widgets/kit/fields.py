"""Labels and options that reach the page: untrusted text, bounded before it is sent; fields of a form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparse_debug_widgets.core.meaning import Meaning
from sparse_debug_widgets.core.params import Parameter
from sparse_debug_widgets.core.registry import Registry

# A browser shows at most this much of one name (in its tooltip); the rest is cut, and the cut is said.
LABEL_LIMIT = 2_000
# All names of one kind together: 2,048 features with ordinary names stay far below it.
TOTAL_LIMIT = 150_000


def labels(names: Sequence[str], *, limit: int = LABEL_LIMIT, total: int = TOTAL_LIMIT) -> list[str]:
    """Names as the page may have them: text, each bounded, all of them bounded together.

    Args:
        names: Class or feature names, whatever they contain.
        limit: Most characters of one name.
        total: Most characters of all names; where they exceed it, long ones are cut further.
    """
    texts = [str(name).replace("\x00", "\ufffd") for name in names]
    if sum(min(len(text), limit) for text in texts) > total:
        limit = max(60, total // len(texts))
    return [cut(text, limit) for text in texts]


def cut(text: str, limit: int) -> str:
    """The text, or its beginning with a note of how long it was; lone surrogates become a mark."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole if len(whole) <= limit else f"{whole[:limit]}\u2026 ({len(whole):,} characters)"


def told(meaning: Meaning | None, summary: str = "") -> dict[str, str]:
    """The words of the "?" beside a name of a registry, see ``kit/terms.js``.

    Args:
        meaning: That of the entry.
        summary: What is said of an entry that has none.
    """
    return (meaning or Meaning(summary))._asdict()


def field(parameter: Parameter, value: Any = None, *, label: str = "") -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """One parameter of a function as the page makes a field of it, see ``kit/fields.js``.

    Args:
        parameter: Out of its signature.
        value: What the field begins with; None: the default.
        label: What a person calls it; empty: its name, with spaces.
    """
    entry: dict[str, Any] = {
        "name": parameter.name,
        "label": label or parameter.name.replace("_", " "),
        "kind": parameter.kind,
        "help": parameter.help,
        "expects": parameter.describe(),
        "value": parameter.default if value is None else value,
        "optional": parameter.optional,
    }
    if parameter.range is not None:
        interval = parameter.range
        entry |= {
            "low": interval.low,
            "high": interval.high,
            "openLow": interval.open_low,
            "openHigh": interval.open_high,
        }
    if parameter.choices:
        entry["choices" if parameter.kind == "choice" else "words"] = list(parameter.choices)
    if isinstance(parameter.choices, Registry):
        # What each choice means is said by its entry.
        meanings = {name: getattr(chosen, "meaning", None) for name, chosen in parameter.choices.items()}
        if any(meanings.values()):
            entry["told"] = {name: told(meaning, parameter.help) for name, meaning in meanings.items()}
    return entry
