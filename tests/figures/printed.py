"""Where figures are printed: between markers in documents, in code that names a feature, and in the cards.

A marker says which figure and how: ``<!--= shapes.accuracy_test .3 -->.754<!--/-->``. Forms are ``.3`` (three
decimals, no leading zero), ``%`` (per cent with one decimal), ``0`` (whole) and ``1`` (one decimal).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sparse_debug_widgets.data.cards import DIGITS_CARD, PARTS_CARD, SHAPES_CARD, TICKETS_CARD, CardNumbers
from sparse_debug_widgets.data.weights_io import WEIGHTS

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).parent / "figures.json"
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "docs" / "benchmarks" / "demos.md",
    *sorted((ROOT / "notebooks").glob("0*.py")),
)
CARDS = {"shapes": SHAPES_CARD, "tickets": TICKETS_CARD, "parts": PARTS_CARD, "digits": DIGITS_CARD}
"""Templates of the cards whose figures are measured here; robust networks' cards come from their training."""
CODE = ((ROOT / "README.md", r"layer\.silence\((\d+)\)", "shapes.strongest_feature"),)
"""Figures in code, where there can be no marker: document, pattern, which."""
_MARKED = re.compile(r"<!--= (?P<name>\S+) (?P<form>\S+) -->(?P<value>[^<]*)<!--/-->")
_FORMS: dict[str, Callable[[float], str]] = {
    ".2": lambda value: f"{value:.2f}".removeprefix("0"),
    ".3": lambda value: f"{value:.3f}".removeprefix("0"),
    "%": lambda value: f"{100 * value:.1f} %",
    "0": lambda value: f"{value:.0f}",
    "1": lambda value: f"{value:.1f}",
}

Figures = Mapping[str, Mapping[str, float]]


def stored() -> dict[str, dict[str, float]]:
    """The figures as they were measured last."""
    figures: dict[str, dict[str, float]] = json.loads(STORED.read_text(encoding="utf-8"))
    return figures


def look_up(figures: Figures, name: str, form: str) -> str:
    """A figure as it is to be printed.

    Raises:
        KeyError: There is no such figure, or no such form.
    """
    demo, _, key = name.partition(".")
    return _FORMS[form](figures[demo][key])


def marked(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, form and printed value of all that is marked in a document."""
    for found in _MARKED.finditer(text):
        yield found["name"], found["form"], found["value"]


def filled(text: str, figures: Figures) -> str:
    """A document with the figures in it."""

    def fill(found: re.Match[str]) -> str:
        shown = look_up(figures, found["name"], found["form"])
        return f"<!--= {found['name']} {found['form']} -->{shown}<!--/-->"

    return _MARKED.sub(fill, text)


def card_numbers(name: str, directory: Path = WEIGHTS) -> dict[str, float]:
    """The numbers in the header of a demo's weights."""
    with safe_open(directory / f"{name}.safetensors", framework="pt") as file:
        numbers: dict[str, float] = json.loads(file.metadata()["numbers"])
    return numbers


def card(name: str, numbers: Mapping[str, float]) -> str:
    """The card's text."""
    return CARDS[name].format_map(CardNumbers(numbers))


def write(figures: Figures) -> None:
    """Store the figures, and print them everywhere."""
    STORED.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        _replace(document, text, filled(text, figures))
    for document, pattern, name in CODE:
        text, number = document.read_text(encoding="utf-8"), look_up(figures, name, "0")
        _replace(document, text, re.sub(pattern, lambda m, n=number: m[0].replace(m[1], n), text))
    for name in CARDS:
        _write_card(name, figures[name])


def _write_card(name: str, measured: Mapping[str, float], directory: Path = WEIGHTS) -> None:
    """Put figures into the header of a demo's weights, which stay as they are, and into its card."""
    path, numbers = directory / f"{name}.safetensors", card_numbers(name, directory)
    new = numbers | {key: value for key, value in measured.items() if key in numbers}
    if new != numbers:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, torch.Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        save_file(tensors, path, metadata={"numbers": json.dumps(new, sort_keys=True)})
        path.chmod(0o644)
    text = directory / f"{name}.md"
    _replace(text, text.read_text(encoding="utf-8"), card(name, new))


def _replace(path: Path, old: str, new: str) -> None:
    if new != old:
        path.write_text(new, encoding="utf-8")
