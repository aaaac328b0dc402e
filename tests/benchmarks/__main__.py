"""Run benchmarks: `poe bench` all of them, `poe bench NAME ...` some, `poe bench --list` their names.

A benchmark is a module of this folder with `main() -> None`; a module whose name starts with an
underscore is a helper of theirs. A benchmark with a dictionary PARTS has `main(*parts)`: names of parts that
follow its own run these only (`poe bench solver small gaussian`).
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


def sorted_out(given: list[str], parser: argparse.ArgumentParser) -> list[tuple[str, list[str]]]:
    """Benchmarks, each with the names of its parts that followed it."""
    chosen: list[tuple[str, list[str]]] = []
    for name in given:
        if name in names():
            chosen.append((name, []))
            continue
        owner = chosen[-1][0] if chosen else ""
        parts = getattr(import_module(f"tests.benchmarks.{owner}"), "PARTS", {}) if owner else {}
        if name not in parts:
            known = ", ".join([*names(), *(f"{owner} {part}" for part in parts)])
            parser.error(f"no benchmark is called {name}; there are: {known}")
        chosen[-1][1].append(name)
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="poe bench", description="Measure; nothing here passes or fails.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names()) or '(none yet)'}")
    parser.add_argument("--list", action="store_true", help="say what there is")
    arguments = parser.parse_args()
    chosen = sorted_out(arguments.names, parser)
    if arguments.list:
        sys.stdout.writelines(f"{name:20} {description(name)}\n" for name in names())
        return 0
    for name, parts in chosen or [(name, []) for name in names()]:
        sys.stdout.write(f"== {name}: {description(name)}\n")
        sys.stdout.flush()
        import_module(f"tests.benchmarks.{name}").main(*parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
