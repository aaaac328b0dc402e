"""Convert and execute every notebook, with warnings as errors; `poe notebooks` runs this.

The executed notebooks are written to the folder given as the first argument (default: not kept), so
that a person, or the documentation, can look at them.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from sparse_debug_widgets.cli.percent import to_notebook

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
WARNINGS_ARE_ERRORS = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("default", module="ipykernel")  # it warns about itself on shutdown
"""
CELL_SECONDS = 600


def execute(script: Path, folder: Path) -> Path:
    """Run a notebook top to bottom in a fresh kernel; an error in a cell raises."""
    notebook = nbformat.reads(json.dumps(to_notebook(script.read_text(encoding="utf-8"))), as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": folder}})
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]
    with client.setup_kernel():
        if client.kc is None:
            raise RuntimeError("the kernel did not start")
        client.kc.execute(WARNINGS_ARE_ERRORS, silent=True)
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    executed = folder / f"{script.stem}.ipynb"
    nbformat.write(notebook, executed)
    return executed


def main(arguments: list[str]) -> int:
    scripts = sorted(NOTEBOOKS.glob("[0-9]*.py"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments[0]) if arguments else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for script in scripts:
            start = time.perf_counter()
            execute(script, folder)
            sys.stdout.write(f"{script.name}: executed in {time.perf_counter() - start:.0f} s\n")
    sys.stdout.write(f"{len(scripts)} passed, 0 failed\n")
    return 0 if scripts else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
