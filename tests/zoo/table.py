"""The table of what became of each step with each architecture; ``python -m tests.zoo`` writes it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.zoo.models import ZOO
from tests.zoo.steps import REFUSED, STEPS, live

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "zoo.md"
OPEN, CLOSE = "<!-- zoo: written by python -m tests.zoo -->", "<!-- end of zoo -->"
ADVICE = re.compile(
    r"\b(Pass|Name|Choose|choose|Wrap|Use|use|Register|Give|name) |is shown by|Excitation backprop starts"
)
"""A refusal says what to do."""

Became = dict[str, tuple[str, str]]


def write(all_of_them: dict[str, Became]) -> str:
    """The table, and below it what the refusals say."""
    said: dict[str, int] = {}
    rows = ["| | " + " | ".join(STEPS) + " |", "| --- |" + " --- |" * len(STEPS)]
    for name, became in all_of_them.items():
        cells = []
        for status, words in became.values():
            number = said.setdefault(_alike(words), len(said) + 1) if status == REFUSED else 0
            cells.append(f"{status} [{number}]" if number else status)
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [f"{number}. {words}" for words, number in said.items()]
    return "\n".join([*rows, "", *notes])


def _alike(words: str) -> str:
    """A refusal without what differs from model to model, as it may be printed in a page."""
    words = re.sub(r"in layer '[^']*' \(\w+\)", "in layer '...'", words)
    words = re.sub(r"Rule\(\(\w+,\)", "Rule((...,)", words)
    words = re.sub(r"^torch\.[\w.]+", "an operation", words)
    words = re.sub(
        r"^\w+ is not compatible with deep features", "the model is not compatible with deep features", words
    )
    words = re.sub(r"shape \([\d, ]*\)", "shape (...)", words)
    return re.sub(r"'[\w.]+', with", "'...', with", words).replace("<", "&lt;")


def printed(text: str) -> dict[str, dict[str, str]]:
    """What a table says: by architecture and step, "works", "refused" or "–"."""
    inside = text.split(OPEN)[1].split(CLOSE, maxsplit=1)[0]
    rows = [row.strip("| ").split(" | ") for row in inside.splitlines() if row.startswith("| ")]
    return {
        row[0]: dict(zip(STEPS, (cell.split(" [")[0] for cell in row[1:]), strict=True)) for row in rows[2:]
    }


def main() -> None:
    """Try the architectures named, or all; of all, write the table."""
    asked = sys.argv[1:]
    became: dict[str, Became] = {}
    for name, architecture in ZOO.items():
        if not asked or any(part.lower() in name.lower() for part in asked):
            became[name] = live(architecture)
            sys.stdout.write(f"{name}\n")
            for step, (status, words) in became[name].items():
                if words:
                    sys.stdout.write(f"  {step}: {status}: {words}\n")
    if not asked:
        before, rest = PAGE.read_text(encoding="utf-8").split(OPEN)
        text = f"{before}{OPEN}\n{write(became)}\n{CLOSE}{rest.split(CLOSE)[1]}"
        PAGE.write_text(text, encoding="utf-8")
