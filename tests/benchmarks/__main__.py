"""Run benchmarks: `poe bench` all of them, `poe bench NAME ...` some, `poe bench --list` their names.

A benchmark is a module of this folder with `main() -> None`; a module whose name starts with an
underscore is a helper of theirs.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def description(name: str) -> str:
    document = import_module(f"tests.benchmarks.{name}").__doc__ or ""
    return document.strip().partition("\n")[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="poe bench", description="Measure; nothing here passes or fails.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names()) or '(none yet)'}")
    parser.add_argument("--list", action="store_true", help="say what there is")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(names())}")
    if arguments.list:
        sys.stdout.writelines(f"{name:20} {description(name)}\n" for name in names())
        return 0
    for name in arguments.names or names():
        sys.stdout.write(f"== {name}: {description(name)}\n")
        sys.stdout.flush()
        import_module(f"tests.benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
