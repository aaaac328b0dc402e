"""What the notebook calls things: for code that a person can run again."""

from __future__ import annotations

import sys


def called(thing: object, otherwise: str) -> str:
    """Name of a thing in the notebook; ``otherwise`` where it has none."""
    space = vars(sys.modules["__main__"])
    return next((n for n, v in list(space.items()) if v is thing and not n.startswith("_")), otherwise)
