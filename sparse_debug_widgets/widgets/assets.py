"""The front end's text: hand-written modules joined without a bundler.

anywidget loads a module from a blob URL, where relative imports cannot resolve; so the shared files, the
panel's parts and the panel itself become one text. They share one scope: every top-level name is unique.

``kit``, ``draw``, ``terms``, ``parts`` and ``view`` belong to every panel. What only some need is named by
those: a file whose first line is ``// needs: pictures, jobs`` is joined after ``pictures.js`` and ``jobs.js``
(and what these need), and the style sheets of the same names come along.
"""

from __future__ import annotations

import base64
import functools
import re
from pathlib import Path

from sparse_debug_widgets.core.checks import check_choice, reject

_STATIC = Path(__file__).parent / "static"
_SHARED = ("kit", "draw", "terms", "parts", "view")
_HOST = "host"
_RULE = re.compile(r"(\s*)([^\s{};][^{};]*)(?=\{)")  # what stands before a brace
_COMMA = re.compile(r",(?![^(]*\))")  # not those within :is(...)
_NEEDS = re.compile(r"// needs: (\w+(?:, \w+)*)\n")


def panel_names() -> list[str]:
    """Names of the panels: a module in ``panels`` and a file of the same name in ``static``."""
    modules = (path.stem for path in (_STATIC.parent / "panels").glob("*.py"))
    return sorted(name for name in modules if (_STATIC / f"{name}.js").is_file())


@functools.cache
def esm(panel: str) -> str:
    """The ES module of a panel: the shared files, the parts ``<panel>.<part>.js``, then ``<panel>.js``.

    The panel's file defines ``const <panel>Panel``, which becomes the module's default export: files without
    ``import`` and ``export`` see each other's names both here and in the type checker.

    Raises:
        InputError: There is no panel of this name.
    """
    texts = [_read(name, "js") for name in _files(panel, "js")]
    return compact("\n".join([*texts, f"export default {panel}Panel;\n"]))


@functools.cache
def address(panel: str) -> str:
    """The ES module of a panel as an address that holds it, for hosts that would serve it as a file.

    Raises:
        InputError: There is no panel of this name.
    """
    return f"data:text/javascript;base64,{base64.b64encode(esm(panel).encode()).decode()}"


@functools.cache
def css(panel: str) -> str:
    """The style sheet of a panel: shared rules first, then the panel's own, which hold in it alone.

    Many panels share a page, and the page joins their style sheets in the order in which they are opened.

    Raises:
        InputError: There is no panel of this name.
    """
    names = _files(panel, "css")
    own = {name for name in names if name.split(".")[0] == panel}
    return "\n".join(
        _within(panel, _read(name, "css")) if name in own else _read(name, "css") for name in names
    )


@functools.cache
def standalone(panel: str) -> tuple[str, str]:
    """Module and style sheet for a page without Jupyter: with the host, without comments and indentation."""
    return compact(f"{esm(panel)}\n{_read(_HOST, 'js')}"), compact(css(panel))


def compact(text: str) -> str:
    """Drop comments that fill their lines, indentation and empty lines; nothing else is touched."""
    text = re.sub(r"^[ \t]*/\*(?:(?!\*/).)*\*/[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _within(panel: str, sheet: str) -> str:
    """The rules of a sheet with selectors that begin at ``.sdw-<panel>`` or at an element below it only."""
    root = f".sdw-{panel}"

    def scoped(selector: str) -> str:
        if re.search(rf"{root}(?![\w-])", selector):
            return selector
        if re.match(r"\.sdw(?![\w-])", selector):
            return f".sdw{root}{selector.removeprefix('.sdw')}"
        return f":is({root}, {root} *){selector}"

    def rule(found: re.Match[str]) -> str:
        space, selectors = found.groups()
        if selectors.startswith("@"):
            return found.group()
        return space + ", ".join(scoped(part.strip()) for part in _COMMA.split(selectors)) + " "

    return _RULE.sub(rule, re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL))


def _files(panel: str, suffix: str) -> list[str]:
    check_choice(panel, panel_names(), "panel", "the front end")
    own = [*sorted(path.stem for path in _STATIC.glob(f"{panel}.*.js")), panel]
    styles = sorted(path.stem for path in _STATIC.glob(f"{panel}.*.css"))
    names: list[str] = list(_SHARED)
    for name in own:
        _add_needed(name, names, ())
    names += [name for name in [*styles, *own] if name not in names]
    return [name for name in names if (_STATIC / f"{name}.{suffix}").is_file()]


def _add_needed(name: str, names: list[str], path: tuple[str, ...]) -> None:
    """Add what a file needs to the names, in an order in which nothing comes before what it needs itself."""
    first = _NEEDS.match(_read(name, "js"))
    for needed in first.group(1).split(", ") if first else ():
        if not (_STATIC / f"{needed}.js").is_file():
            reject(f"{name}.js", "the front end", "need files that exist", f"{needed}.js")
        if needed in path:
            reject(f"{name}.js", "the front end", "not need itself", " -> ".join([*path, needed]))
        if needed not in names:
            _add_needed(needed, names, (*path, needed))
            names.append(needed)


def _read(name: str, suffix: str) -> str:
    return (_STATIC / f"{name}.{suffix}").read_text(encoding="utf-8")
