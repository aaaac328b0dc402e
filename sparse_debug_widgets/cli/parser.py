"""Arguments of the command line; each command lives in a module of its own."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from sparse_debug_widgets.cli import INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
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

    fit = commands.add_parser("fit", help="fit the path of a file of features")
    fit.add_argument(
        "features",
        type=Path,
        help="a saved DeepFeatures, an .npz with 'values' and 'labels', or a .csv with a column 'label'; "
        "under torchrun, {rank} stands for the number of the process, which reads the rows of its own file",
    )
    fit.add_argument("path", type=Path, help="file to write the path to")
    fit.add_argument("--family", default="multinomial", help="what the labels are (default: multinomial)")
    fit.add_argument("--alpha", type=float, default=0.99, help="share of the l1 penalty (default: 0.99)")
    fit.add_argument("--n-lambdas", type=int, default=100, help="number of lambdas (default: 100)")
    fit.add_argument(
        "--eps", type=float, default=1e-3, help="smallest lambda over the largest (default: 1e-3)"
    )
    fit.add_argument(
        "--tol",
        type=_tolerance,
        default="auto",
        metavar="auto|NUMBER",
        help="relative duality gap to reach (default: auto, as tight as is nearly free)",
    )
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--solver", default="working_set", choices=("working_set", "saga"))
    fit.add_argument("--device", help="where the solver's arrays live, for example cuda (default: the CPU)")
    fit.add_argument(
        "--memory-budget",
        type=float,
        metavar="BYTES",
        help="read the features from a temporary file if the fit needs more than this (for example 500e6)",
    )
    fit.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FOLDER",
        help="keep every solved lambda there, and go on from what is there already",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; an error of the user's is one line on standard error and exit code 1."""
    arguments = build_parser().parse_args(argv)
    from sparse_debug_widgets.core.checks import InputError
    from sparse_debug_widgets.core.progress import Cancelled

    try:
        if arguments.command == "demo":
            from sparse_debug_widgets.cli import demo

            return demo.run(arguments)
        from sparse_debug_widgets.cli import fit

        return fit.run(arguments)
    except (InputError, OSError) as error:
        sys.stderr.write(f"sparse_debug_widgets: {error}\n")
        return 1
    except (Cancelled, KeyboardInterrupt):
        return INTERRUPTED


def _tolerance(text: str) -> float | str:
    """A number, or "auto"."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        message = f"{text[:60]!r} is neither 'auto' nor a number"
        raise argparse.ArgumentTypeError(message) from None
