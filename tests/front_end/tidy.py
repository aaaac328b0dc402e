"""Format and lint the front end's JavaScript and CSS with biome; `--write` mends what can be mended."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BIOME = HERE / "node_modules" / "@biomejs" / "biome" / "bin" / "biome"


def main() -> int:
    from tests.front_end.typecheck import install, npm_command

    if not install():
        return 1
    node = npm_command()[0]
    command = [node, str(BIOME), "check", "--error-on-warnings", "--no-errors-on-unmatched", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
