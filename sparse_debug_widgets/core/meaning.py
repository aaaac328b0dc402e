"""The words of the "?" beside a name: each entry of a registry brings its own."""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """A sentence for everybody, and the formula one click further.

    Attributes:
        says: One sentence without a symbol that it does not explain.
        formula: For those who ask on; "" for none.
    """

    says: str
    formula: str = ""
