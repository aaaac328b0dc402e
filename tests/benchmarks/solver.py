"""The path solver beside its peers: same lambdas, same standardised features, one float64 judge.

`poe bench solver` runs every part, `poe bench solver small gaussian` some. A part runs in a process of its
own, so that peak memory is its own, and writes its section of `docs/benchmarks/solver.md`. Peers run where
they are installed: glmnet through Rscript (Debian: r-cran-glmnet), celer and glm_saga from PyPI.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.benchmarks import _solver_parts as parts
from tests.benchmarks._sections import inside, put
from tests.benchmarks._solver_machine import machine, versions

ROOT = Path(__file__).parents[2]
FAST = 5.0
"""Goal: as many times faster than glmnet."""
ROOM = 2.5
"""Goal: peak memory in sizes of X."""
PATIENCE = 1500.0
"""Seconds that a part without a goal may take."""

PARTS = {
    "small": partial(parts.against_glmnet, ((1000, 512), (1000, 2048), (5000, 512)), 1e-3, 3, FAST),
    "medium": partial(parts.against_glmnet, ((20_000, 2048),), 1e-2, 1, 10.0),
    "interactive": parts.interactive,
    "gaussian": parts.gaussian,
    "real": parts.real_features,
    "first-order": parts.one_strength,
    "large-1e-2": partial(parts.large, 50_000, 2048, 10, 1e-2, 30.0, ROOM),
    "large-1e-3": partial(parts.large, 50_000, 2048, 10, 1e-3, 100.0, ROOM),
    "large-1e-4": partial(parts.large, 50_000, 2048, 10, 1e-4, most=PATIENCE),
    "classes-100": partial(parts.large, 20_000, 512, 100, 1e-2, 30.0),
    "classes-1000": partial(parts.large, 20_000, 1280, 1000, 1e-2, most=PATIENCE),
    "growth": parts.growth,
}


def alone(name: str) -> parts.Table:
    """A part, measured in a process of its own."""
    code = (
        f"import json, sys; from tests.benchmarks.solver import PARTS; "
        f"sys.stdout.write('\\n@' + json.dumps(PARTS[{name!r}]()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return parts.Table(*json.loads(done.stdout.rpartition("\n@")[2]))


def section(name: str, table: parts.Table) -> str:
    """A part's section of the page."""
    rows = [table.head, ["---"] * len(table.head), *table.rows]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{name}.** {table.note}", "", *lines])


def write(name: str, text: str) -> None:
    """Put a section into the page, in the order of the parts."""
    body = inside("solver")
    found = dict(re.findall(r"(\*\*([\w.-]+)\.\*\* .*?)(?=\n\*\*[\w.-]+\.\*\* |\Z)", body, re.DOTALL))
    sections = {key: value.strip() for value, key in found.items()} | {name: text}
    put("solver", "\n\n".join(sections[key] for key in PARTS if key in sections))


def main(*names: str) -> None:
    if shutil.which("Rscript") is None:
        sys.stdout.write("Rscript is missing: no rows of glmnet.\n")
    for name in names or PARTS:
        table = alone(name)
        text = section(name, table)
        where = f"{machine()}; {versions(text)}; {time.strftime('%Y-%m-%d')}"
        text = section(name, table._replace(note=f"{table.note} ({where}.)"))
        write(name, text)
        sys.stdout.write(text + "\n\n")
        sys.stdout.flush()
