"""ES modules that import each other by relative paths, joined into one text without a bundler.

anywidget loads a module from a blob URL, where a relative import cannot resolve. So the files that an entry
imports are joined, what is imported before what imports it; the ``import`` lines and the word ``export`` are
taken away. They then share one scope, in which every top-level name must be unique.

Only two forms are read, so that a few regular expressions are enough: ``import { a, b } from "./file.js";``
and ``export`` before a declaration of one name. Types are imported in comments, which no browser reads
(``/** @import { T } from "./file.js" */``): only they may point backwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sparse_debug_widgets.core.checks import refuse

_IMPORT = re.compile(r'^import \{(\s*[\w$]+(?:,\s*[\w$]+)*,?\s*)\} from "(\.[^"]+)";\n', re.MULTILINE)
_TYPES = re.compile(r'@import \{([\w\s,$*]*)\} from "(\.[^"]+)"')
_TOP = re.compile(r"^(export )?(?:async )?(?:function\*?|class|const|let|var) ([\w$]+)", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function\*?|class|const|let|var) [\w$])", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/|(?<!\S)//[^\n]*", re.DOTALL)  # an address is no comment


@dataclass(frozen=True)
class Module:
    """A file as the joiner sees it.

    Attributes:
        file: Where it lies.
        text: Its text without ``import`` lines and the word ``export``.
        imports: The names that it imports, by file.
        types: The names whose types it imports, by file.
        names: Its own top-level names.
        exports: Those of its names that others may import.
    """

    file: Path
    text: str
    imports: Mapping[Path, tuple[str, ...]]
    types: Mapping[Path, tuple[str, ...]]
    names: tuple[str, ...]
    exports: frozenset[str]


def read(file: Path) -> Module:
    """Read one module.

    Raises:
        InputError: It imports or exports in a form that the joiner does not read.
    """
    text = file.read_text(encoding="utf-8")
    imports, types = (_imported(file, form.findall(text)) for form in (_IMPORT, _TYPES))
    tops = _TOP.findall(text)
    text = _EXPORT.sub("", _IMPORT.sub("", text))
    other = _OTHER.search(text)
    if other:
        refuse(
            f"{file.name} has the line '{other.group()}', which cannot be joined. "
            "Write 'import { a } from \"./file.js\";' or 'export' before a declaration."
        )
    exports = frozenset(name for word, name in tops if word)
    return Module(file, text, imports, types, tuple(name for _, name in tops), exports)


def in_order(entries: Iterable[Path]) -> list[Module]:
    """The modules that some files need, these included: each once, after all that it imports.

    Raises:
        InputError: Modules import each other in a circle, or a file, a name or a form cannot be had.
    """
    known: dict[Path, Module] = {}
    for entry in entries:
        _add(entry.resolve(), known, ())
    return list(known.values())


def join(modules: Iterable[Module]) -> str:
    """One text of modules that stand in order.

    Raises:
        InputError: Two modules have a top-level name in common.
    """
    texts, owners = [], dict[str, Path]()
    for module in modules:
        for name in module.names:
            if name in owners:
                first, second = owners[name].name, module.file.name
                refuse(f"{first} and {second} both define '{name}'. Give one of them another name.")
            owners[name] = module.file
        texts.append(module.text)
    return "\n".join(texts)


def check_used(modules: Iterable[Module], used: Mapping[Path, Iterable[str]]) -> None:
    """Refuse what is imported and not used, and what is exported and imported nowhere.

    Args:
        modules: All modules of a front end.
        used: What is used from outside, by file: the panels themselves.

    Raises:
        InputError: A name can be left out.
    """
    found = list(modules)
    wanted = {file.resolve(): set(names) for file, names in used.items()}
    for module in found:
        for file, names in module.types.items():
            wanted.setdefault(file, set()).update(names)
        words = set(re.findall(r"[\w$]+", _COMMENT.sub("", module.text)))
        for file, names in module.imports.items():
            wanted.setdefault(file, set()).update(names)
            for name in names:
                if name not in words:
                    refuse(
                        f"{module.file.name} imports '{name}' from {file.name} and does not use it. "
                        "Leave it out; import a type in a comment: /** @import { T } from ... */."
                    )
    for module in found:
        for name in sorted(module.exports - wanted.get(module.file, set())):
            refuse(f"{module.file.name} exports '{name}', which nothing imports. Take 'export' away from it.")


def _imported(file: Path, lines: Iterable[tuple[str, str]]) -> dict[Path, tuple[str, ...]]:
    found: dict[Path, tuple[str, ...]] = {}
    for names, where in lines:
        target = (file.parent / where).resolve()
        found[target] = (*found.get(target, ()), *re.findall(r"[\w$]+", names))
    return found


def _add(file: Path, known: dict[Path, Module], above: tuple[Path, ...]) -> None:
    if file in known:
        return
    if file in above:
        circle = " -> ".join(path.name for path in (*above[above.index(file) :], file))
        refuse(f"Modules import each other in a circle: {circle}. Move what both need into a third file.")
    module = read(file)
    for target, names in module.imports.items():
        if not target.is_file():
            refuse(f"{file.name} imports from {target.name}, which does not exist. Mend the path.")
        _add(target, known, (*above, file))
        for name in names:
            if name not in known[target].exports:
                refuse(
                    f"{file.name} imports '{name}' from {target.name}, which does not export it. "
                    "Write 'export' before it there, or mend the name."
                )
    known[file] = module
