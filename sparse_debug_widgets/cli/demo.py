"""`demo`: JupyterLab on the tutorial, or the same job without a browser."""

import argparse
import time
from pathlib import Path

from sparse_debug_widgets.cli.console import out, show
from sparse_debug_widgets.core.storage import check_target


def run(arguments: argparse.Namespace) -> int:
    """Open the tutorial, or run headless.

    Raises:
        StorageError: nothing can be written to the folder.
    """
    check_target(arguments.out / "report", "the report")
    if not arguments.headless:
        from sparse_debug_widgets.cli.tutorial import open_lab

        return open_lab(arguments.out)
    return run_headless(arguments.name, arguments.out)


def run_headless(name: str, folder: Path) -> int:
    """Run the job, print what was found and write it down."""
    start = time.perf_counter()
    from sparse_debug_widgets.cli.findings import investigate
    from sparse_debug_widgets.cli.report import write_report
    from sparse_debug_widgets.cli.tables import tables

    findings = investigate(name)
    found = tables(findings)
    for table in found:
        show(table)
    folder.mkdir(parents=True, exist_ok=True)
    report = write_report(findings, found, folder / f"{name}-report.html")
    path = findings.path.save(folder / f"{name}-path.safetensors")
    out.print(f"Wrote {report}: these tables and the draggable panel, for any browser.", soft_wrap=True)
    out.print(f"Wrote {path}: the path, for RegularizationPath.load.", soft_wrap=True)
    out.print(f"Done in {time.perf_counter() - start:.0f} s.")
    return 0
