"""Open JupyterLab on the tutorial notebook."""

import subprocess
import sys
from pathlib import Path

from sparse_debug_widgets.cli.console import out
from sparse_debug_widgets.cli.percent import write_notebook
from sparse_debug_widgets.core.checks import InputError

TUTORIAL = "01_find_the_planted_flaw"


def tutorial_script() -> Path:
    """The tutorial as it is shipped: beside this module in a wheel, in the checkout's folder otherwise."""
    here = Path(__file__).parent
    places = (here / "notebooks", here.parents[1] / "notebooks")
    for place in places:
        script = place / f"{TUTORIAL}.py"
        if script.is_file():
            return script
    raise InputError(
        f"this installation is not compatible with the demo: it must hold {TUTORIAL}.py; "
        f"got none in {' or '.join(map(str, places))}. Install the package again."
    )


def prepare(folder: Path) -> Path:
    """Put the tutorial into a folder; a copy that is there already, maybe with a person's notes, is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook = folder / f"{TUTORIAL}.ipynb"
    if not notebook.exists():
        write_notebook(tutorial_script(), notebook)
    return notebook


def open_lab(folder: Path) -> int:
    """Start JupyterLab on the tutorial and stay until it ends; exit code of JupyterLab."""
    notebook = prepare(folder)
    out.print(f"Opening JupyterLab on {notebook}. Run the cells from the top; Ctrl-C here ends it.")
    command = [sys.executable, "-m", "jupyterlab", str(notebook.resolve())]
    return subprocess.run(command, cwd=folder, check=False).returncode  # noqa: S603 (our own interpreter)
