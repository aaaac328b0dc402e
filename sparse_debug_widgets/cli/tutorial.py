"""Open JupyterLab on the first of the tutorial notebooks, the others beside it."""

import os
from pathlib import Path

from sparse_debug_widgets.cli.console import out
from sparse_debug_widgets.cli.percent import write_notebook
from sparse_debug_widgets.core.checks import refuse

TUTORIAL = "01_find_the_planted_flaw"
"""The first of the tutorials, the one that is opened."""


def tutorial_scripts() -> tuple[Path, ...]:
    """The tutorials as they are shipped: beside this module in a wheel, in the checkout's folder otherwise.

    Raises:
        InputError: This installation holds none.
    """
    here = Path(__file__).parent
    places = (here / "notebooks", here.parents[1] / "notebooks")
    for place in places:
        if (place / f"{TUTORIAL}.py").is_file():
            return tuple(sorted(place.glob("[0-9]*.py")))
    return refuse(
        f"The tutorial is missing: there is no {TUTORIAL}.py in {' or '.join(map(str, places))}. "
        "Install the package again."
    )


def tutorial_script() -> Path:
    """The first of them."""
    return next(script for script in tutorial_scripts() if script.stem == TUTORIAL)


def prepare(folder: Path) -> Path:
    """Put the tutorials into a folder; a copy that is there already, maybe with a person's notes, is kept.

    Returns:
        The first of the notebooks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for script in tutorial_scripts():
        notebook = folder / f"{script.stem}.ipynb"
        if not notebook.exists():
            write_notebook(script, notebook)
    return folder / f"{TUTORIAL}.ipynb"


def open_lab(folder: Path) -> int:
    """Run JupyterLab on the tutorial, in this process, until it is shut down."""
    from jupyterlab.labapp import LabApp

    notebook = prepare(folder).resolve()
    out.print(f"JupyterLab opens {notebook}: run its cells from the top. Ctrl-C here ends it.")
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # for its kernels: two threads wait for each other, one works
    options = []
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")  # in a container one is root, and Jupyter would refuse
    LabApp.launch_instance(argv=[str(notebook), *options])
    return 0
