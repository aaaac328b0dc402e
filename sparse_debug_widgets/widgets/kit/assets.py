"""The front end's text: hand-written ES modules joined without a bundler (``es_modules.py`` says how).

A panel is what ``panels/<panel>/view.js`` imports, and what those files import. The style sheet that lies
beside a module and has its name belongs to it and comes along; that of a view is its panel's ``style.css``.
"""

from __future__ import annotations

import base64
import functools
import re
from pathlib import Path

from sparse_debug_widgets.core.checks import check_choice, refuse
from sparse_debug_widgets.widgets.kit import es_modules

_WIDGETS = Path(__file__).parents[1]
_HOST = "kit/host"
_RULE = re.compile(r"(\s*)([^\s{};][^{};]*)(?=\{)")  # what stands before a brace
_COMMA = re.compile(r",(?![^(]*\))")  # not those within :is(...)


def panel_names() -> list[str]:
    """Names of the panels: folders in ``panels`` that have a ``view.js``."""
    return sorted(path.parent.name for path in (_WIDGETS / "panels").glob("*/view.js"))


@functools.cache
def esm(panel: str) -> str:
    """The ES module of a panel: what its ``view.js`` imports, then that itself.

    That file exports ``<panel>Panel``, which becomes the module's default export.

    Raises:
        InputError: There is no panel of this name, or its modules cannot be joined.
    """
    check_choice(panel, panel_names(), "panel", "the front end")
    return compact(f"{joined(_view(panel))}\n{_default(panel)}\n")


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
    sheets = ((file, file.read_text(encoding="utf-8")) for file in _sheets(panel))
    return "\n".join(_within(panel, text) if _own(panel, file) else text for file, text in sheets)


@functools.cache
def standalone(panel: str) -> tuple[str, str]:
    """Module and style sheet for a page without Jupyter: with the host, without comments and indentation."""
    check_choice(panel, panel_names(), "panel", "the front end")
    return compact(f"{joined(_view(panel), _HOST)}\n{_default(panel)}\n"), compact(css(panel))


def joined(*names: str) -> str:
    """The text of some modules (``"kit/view"``) and of all that they import, in one scope.

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
    return es_modules.in_order(_WIDGETS / f"{name}.js" for name in names)


def _default(panel: str) -> str:
    name = f"{panel}Panel"
    if name not in _modules(_view(panel))[-1].exports:
        refuse(f"{_view(panel)}.js does not export '{name}'. Write 'export const {name} = ...' there.")
    return f"export default {name};"


def _view(panel: str) -> str:
    return f"panels/{panel}/view"


def _sheets(panel: str) -> list[Path]:
    """The style sheets of a panel: those of shared modules first, in the order of the modules."""
    files = [_sheet_of(module.file) for module in _modules(_view(panel))]
    return sorted((file for file in files if file.is_file()), key=lambda file: _own(panel, file))


def _sheet_of(script: Path) -> Path:
    return script.with_name("style.css") if script.name == "view.js" else script.with_suffix(".css")


def _own(panel: str, file: Path) -> bool:
    return file.parent == _WIDGETS / "panels" / panel
