"""One command from a fresh clone to a running demo, or to all tests; needs nothing but Python.

    python3 .ci/bootstrap.py demo [--headless] [--out DIR]    the main job
    python3 .ci/bootstrap.py ci                               every check and test, in a real browser too

It makes the environment .venv in the checkout, installs the package into it, and goes on in there.
Standard library only. What cannot be had ends the command with one line that says what to do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
SUPPORTED = ((3, 11), (3, 12), (3, 13))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class SetupError(Exception):
    """Something that the set-up needs cannot be had; the message says what and what to do."""


def run(*command: str | Path, failure: str) -> None:
    """Run a command of the set-up and let its output through."""
    try:
        subprocess.run([str(part) for part in command], check=True, cwd=ROOT)  # noqa: S603 (our own commands)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"{failure} ({error})") from error


def apt_install(*packages: str, purpose: str) -> None:
    """Install Debian packages, as root or through sudo."""
    advice = f"{purpose}: install it with 'apt-get install {' '.join(packages)}' as root, then run this again"
    apt = shutil.which("apt-get")
    sudo = [] if hasattr(os, "geteuid") and os.geteuid() == 0 else [shutil.which("sudo")]
    if apt is None or None in sudo:
        raise SetupError(advice)
    prefix = [*(str(part) for part in sudo), "env", "DEBIAN_FRONTEND=noninteractive", apt]
    run(*prefix, "update", "-q", failure=advice)
    run(*prefix, "install", "-q", "-y", "--no-install-recommends", *packages, failure=advice)


def interpreter() -> str:
    """A Python that the package supports: this one, or another on the PATH."""
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for major, minor in reversed(SUPPORTED):
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return found
    here = ".".join(str(part) for part in sys.version_info[:2])
    raise SetupError(f"Python {here} is not compatible with this package: it needs Python 3.11, 3.12 or 3.13")


def make_environment() -> None:
    """Create .venv; Debian keeps the module for that in a package of its own."""
    python = interpreter()
    if python == sys.executable and importlib.util.find_spec("ensurepip") is None:
        version = ".".join(str(part) for part in sys.version_info[:2])
        apt_install(f"python{version}-venv", purpose="python3 has no venv module")
    run(python, "-m", "venv", "--clear", VENV, failure=f"the environment {VENV} cannot be made")


def what_is_copied() -> bytes:
    """All that an editable install copies rather than points to: metadata and the notebook extension."""
    extension = (ROOT / "sparse_debug_widgets" / "widgets" / "labextension").rglob("*.*")
    files = [ROOT / "pyproject.toml", ROOT / "hatch_build.py", *sorted(extension)]
    return b"".join(file.read_bytes() for file in (*files, *sorted((ROOT / "notebooks").glob("*.py"))))


def install(groups: tuple[str, ...]) -> None:
    """Install the package and its dependency groups, unless just this was installed before."""
    wanted = hashlib.sha256(what_is_copied() + repr(groups).encode()).hexdigest()
    stamp = VENV / f"installed-{'-'.join(groups) or 'package'}.sha256"
    if PYTHON.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    if not PYTHON.is_file():
        make_environment()
    failure = "the packages cannot be installed: pip must reach the Python package index"
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    sys.stdout.write(
        "Installing the packages into .venv: about 6 GB with PyTorch, a few minutes the first time.\n"
    )
    sys.stdout.flush()
    run(*pip, "--upgrade", "pip>=25.1", failure=failure)
    run(*pip, "--editable", ".", *(part for group in groups for part in ("--group", group)), failure=failure)
    stamp.write_text(wanted, encoding="utf-8")


def browser() -> str:
    """Path of the browser for the browser tests, installed first where apt can do that."""
    named = os.environ.get("SDW_BROWSER")
    if named:
        if not shutil.which(named):
            raise SetupError(f"SDW_BROWSER names no program: {named!r}")
        return named
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        apt_install("chromium", purpose="the browser tests need Chromium")
        found = shutil.which("chromium")
    if found is None:
        raise SetupError("the browser tests need Chromium, and installing it left no 'chromium' on the PATH")
    return found


def main(arguments: list[str]) -> int:
    """Set up, then go on in the environment."""
    task = arguments[0] if arguments else ""
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    try:
        if task == "demo":
            install(())
            command = [str(PYTHON), "-m", "sparse_debug_widgets", *arguments]
        elif task == "ci":
            environment["SDW_BROWSER"] = browser()
            install(("dev",))
            command = [str(PYTHON), "-m", "poethepoet", *arguments]
        else:
            raise SetupError("say 'python3 .ci/bootstrap.py demo' or 'python3 .ci/bootstrap.py ci'")
    except SetupError as error:
        sys.stderr.write(f"bootstrap: {error}\n")
        return 1
    return go_on(command, environment)


def go_on(command: list[str], environment: dict[str, str]) -> int:
    """Become the command, so that signals reach it; Windows knows no such thing."""
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, environment)  # noqa: S606 (our own command)
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 (as above)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
