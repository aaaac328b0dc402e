"""The front end's text: hand-written modules joined without a bundler.

anywidget loads a module from a blob URL, where relative imports cannot resolve; so the shared files, the
panel's parts and the panel itself become one text. They share one scope: every top-level name is unique.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from sparse_debug_widgets.core.checks import check_choice

_STATIC = Path(__file__).parent / "static"
_SHARED = ("kit", "draw", "parts")
_HOST = "host"


def panel_names() -> list[str]:
    """Names of the panels that have a front end."""
    files = (path.stem for path in _STATIC.glob("*.js"))
    return sorted(name for name in files if "." not in name and name not in {*_SHARED, _HOST})


@functools.cache
def esm(panel: str) -> str:
    """The ES module of a panel: the shared files, the parts ``<panel>.<part>.js``, then ``<panel>.js``.

    The panel's file defines ``const <panel>Panel``, which becomes the module's default export: files without
    ``import`` and ``export`` see each other's names both here and in the type checker.

    Raises:
        InputError: There is no panel of this name.
    """
    texts = [_read(name, "js") for name in _files(panel, "js")]
    return "\n".join([*texts, f"export default {panel}Panel;\n"])


@functools.cache
def css(panel: str) -> str:
    """The style sheet of a panel: shared rules first.

    Raises:
        InputError: There is no panel of this name.
    """
    return "\n".join(_read(name, "css") for name in _files(panel, "css"))


@functools.cache
def standalone(panel: str) -> tuple[str, str]:
    """Module and style sheet for a page without Jupyter: with the host, without comments and indentation."""
    return compact(f"{esm(panel)}\n{_read(_HOST, 'js')}"), compact(css(panel))


def compact(text: str) -> str:
    """Drop comments that fill their lines, indentation and empty lines; nothing else is touched."""
    text = re.sub(r"^[ \t]*/\*(?:(?!\*/).)*\*/[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _files(panel: str, suffix: str) -> list[str]:
    check_choice(panel, panel_names(), "panel", "the front end")
    parts = sorted(path.stem for path in _STATIC.glob(f"{panel}.*.{suffix}"))
    names = [*_SHARED, *parts, panel]
    return [name for name in names if (_STATIC / f"{name}.{suffix}").is_file()]


def _read(name: str, suffix: str) -> str:
    return (_STATIC / f"{name}.{suffix}").read_text(encoding="utf-8")
