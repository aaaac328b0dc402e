"""The front end's text: hand-written ES modules joined without a bundler (``es_modules.py`` says how).

A panel is what ``static/<panel>.js`` imports, and what those files import. The style sheet that lies beside a
module and has its name belongs to it and comes along.
"""

from __future__ import annotations

import base64
import functools
import re
from pathlib import Path

from sparse_debug_widgets.core.checks import check_choice, refuse
from sparse_debug_widgets.widgets import es_modules

_STATIC = Path(__file__).parent / "static"
_HOST = "host"
_RULE = re.compile(r"(\s*)([^\s{};][^{};]*)(?=\{)")  # what stands before a brace
_COMMA = re.compile(r",(?![^(]*\))")  # not those within :is(...)


def panel_names() -> list[str]:
    """Names of the panels: a module in ``panels`` and a file of the same name in ``static``."""
    modules = (path.stem for path in (_STATIC.parent / "panels").glob("*.py"))
    return sorted(name for name in modules if (_STATIC / f"{name}.js").is_file())


@functools.cache
def esm(panel: str) -> str:
    """The ES module of a panel: what ``<panel>.js`` imports, then itself.

    That file exports ``<panel>Panel``, which becomes the module's default export.

    Raises:
        InputError: There is no panel of this name, or its modules cannot be joined.
    """
    check_choice(panel, panel_names(), "panel", "the front end")
    return compact(f"{joined(panel)}\n{_default(panel)}\n")


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
        InputError: There is no panel of this name, or its modules cannot be joined.
    """
    check_choice(panel, panel_names(), "panel", "the front end")
    sheets = ((name, _read_sheet(name)) for name in _sheets(panel))
    return "\n".join(_within(panel, text) if _own(panel, name) else text for name, text in sheets)


@functools.cache
def standalone(panel: str) -> tuple[str, str]:
    """Module and style sheet for a page without Jupyter: with the host, without comments and indentation."""
    check_choice(panel, panel_names(), "panel", "the front end")
    return compact(f"{joined(panel, _HOST)}\n{_default(panel)}\n"), compact(css(panel))


def joined(*names: str) -> str:
    """The text of some modules and of all that they import, in one scope.

    Raises:
        InputError: They cannot be joined; the message names the file and what to do.
    """
    return es_modules.join(_modules(*names))


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


@functools.cache
def _modules(*names: str) -> list[es_modules.Module]:
    return es_modules.in_order(_STATIC / f"{name}.js" for name in names)


def _default(panel: str) -> str:
    name = f"{panel}Panel"
    if name not in _modules(panel)[-1].exports:
        refuse(f"{panel}.js does not export '{name}'. Write 'export const {name} = ...' there.")
    return f"export default {name};"


def _sheets(panel: str) -> list[str]:
    """Names of the style sheets of a panel: those of shared modules first, in the order of the modules."""
    names = [module.file.stem for module in _modules(panel)]
    names = [name for name in names if (_STATIC / f"{name}.css").is_file()]
    return sorted(names, key=lambda name: _own(panel, name))


def _own(panel: str, name: str) -> bool:
    return name.split(".", 1)[0] == panel


def _read_sheet(name: str) -> str:
    return (_STATIC / f"{name}.css").read_text(encoding="utf-8")
