"""Turn a `py:percent` script into a notebook: `# %%` starts code, `# %% [markdown]` starts text."""

import hashlib
import json
from pathlib import Path
from typing import Any

MARK = "# %%"


def split_cells(script: str) -> list[tuple[str, str]]:
    r"""Cells of a script as (cell type, source); what stands before the first mark is left out.

    >>> split_cells("# %% [markdown]\n# A *title*.\n#\n# Text.\n\n# %%\nx = 1\n")
    [('markdown', 'A *title*.\n\nText.'), ('code', 'x = 1')]
    """
    cells: list[tuple[str, list[str]]] = []
    for line in script.splitlines():
        if line.startswith(MARK):
            cells.append(("markdown" if line.strip().endswith("[markdown]") else "code", []))
        elif cells:
            kind, lines = cells[-1]
            lines.append(_uncomment(line) if kind == "markdown" else line)
    return [(kind, "\n".join(lines).strip("\n")) for kind, lines in cells]


def _uncomment(line: str) -> str:
    return line.removeprefix("#").removeprefix(" ")


def to_notebook(script: str) -> dict[str, Any]:
    """The notebook (nbformat 4.5) of a script; converting twice gives the same ids."""
    cells = []
    for number, (kind, source) in enumerate(split_cells(script)):
        digest = hashlib.sha256(f"{number}:{source}".encode()).hexdigest()[:12]
        cell: dict[str, Any] = {"cell_type": kind, "id": digest, "metadata": {}, "source": source}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write_notebook(script: Path, notebook: Path) -> None:
    """Write the notebook of a script file."""
    text = json.dumps(to_notebook(script.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
    notebook.write_text(text + "\n", encoding="utf-8")
