"""Arguments of the command line; each command lives in a module of its own."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from sparse_debug_widgets.cli import INTERRUPTED


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The parser with all commands.

    Args:
        command: The one that is to be parsed: settings of `fit` are read from its function, which takes
            seconds to import.
    """
    parser = argparse.ArgumentParser(
        prog="sparse_debug_widgets",
        description="Find out why a PyTorch network is wrong, and fix it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('sparse-debug-widgets')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="open JupyterLab on the tutorial, or run the same job headless")
    demo.add_argument(
        "--headless", action="store_true", help="no browser: print what was found, write a report"
    )
    demo.add_argument("--out", type=Path, default=Path("sdw-report"), help="folder for what is written")
    demo.add_argument("--name", default="shapes", help="which demo to run headless (default: shapes)")

    debug = commands.add_parser("debug", help="write a report: what a model gets wrong, and why")
    debug.add_argument(
        "source",
        nargs="?",
        metavar="MODULE:FUNCTION",
        help="a function that returns (model, data), (model, data, test) or a dict of them; or the model "
        "alone, where DATA is a file",
    )
    debug.add_argument(
        "data",
        nargs="?",
        type=Path,
        help="an .npz with 'inputs' and 'labels', and 'test_inputs', 'test_labels', 'groups' if there are",
    )
    debug.add_argument("--demo", metavar="NAME", help="a demo instead, for example shapes")
    debug.add_argument(
        "--out", type=Path, default=Path("debug-report.html"), help="the file to write (default: %(default)s)"
    )
    debug.add_argument("--batch-size", type=int, default=256, help="examples in one forward pass")
    debug.add_argument("--seed", type=int, default=0, help="of the split and of the controls")

    fit = commands.add_parser("fit", help="fit the path of a file of features")
    fit.add_argument(
        "features",
        type=Path,
        help="a saved DeepFeatures, an .npz with 'values' and 'labels', or a .csv with a column 'label'; "
        "under torchrun, {rank} stands for the number of the process, which reads the rows of its own file",
    )
    fit.add_argument("path", type=Path, help="file to write the path to")
    if command == "fit":
        from sparse_debug_widgets.cli.fit import add_settings

        add_settings(fit)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; an error of the user's is one line on standard error and exit code 1."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = build_parser(words[0] if words else "").parse_args(words)
    from sparse_debug_widgets.core.checks import InputError
    from sparse_debug_widgets.core.progress import Cancelled

    try:
        if arguments.command == "demo":
            from sparse_debug_widgets.cli import demo

            return demo.run(arguments)
        if arguments.command == "debug":
            from sparse_debug_widgets.cli import debug

            return debug.run(arguments)
        from sparse_debug_widgets.cli import fit

        return fit.run(arguments)
    except (InputError, OSError) as error:
        sys.stderr.write(f"sparse_debug_widgets: {error}\n")
        return 1
    except (Cancelled, KeyboardInterrupt):
        return INTERRUPTED
