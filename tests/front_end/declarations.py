"""TypeScript for what crosses the wire, written from the types in the files ``traffic.py`` of the widgets.

``typecheck.py`` writes it into ``generated/`` before it checks.
"""

import importlib
import types
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from sparse_debug_widgets.widgets import panels
from sparse_debug_widgets.widgets.kit import traffic
from sparse_debug_widgets.widgets.shared import traffic as shared_traffic

WHERE = Path(__file__).parent / "generated" / "traffic.d.ts"
_HEAD = """// Written by declarations.py.

/** Something, or an object without anything: a look at one property tells which. */
type Maybe<T> = T | { [Name in keyof T]?: undefined };
"""
_OF_PANELS = {
    path.parent.name: importlib.import_module(f"{panels.__name__}.{path.parent.name}.traffic")
    for path in sorted(Path(panels.__path__[0]).glob("*/traffic.py"))
}
# Traits and answers by the name of the panel.
TRAFFIC: dict[str, tuple[type, type]] = {name: module.TRAFFIC for name, module in _OF_PANELS.items()}
_PLAIN = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    bytes: "ArrayBuffer | ArrayBufferView",
    type(None): "null",
    Any: "any",
}


def text() -> str:
    """All declarations."""
    named = together(traffic, shared_traffic, *_OF_PANELS.values()).items()
    aliases = [f"type {name} = {typescript(kind)};\n" for name, kind in named if not is_typeddict(kind)]
    return "\n".join([_HEAD, *aliases, *(_interface(kind) for _, kind in named if is_typeddict(kind))])


def together(*modules: types.ModuleType) -> dict[str, Any]:
    """Types of all modules by name.

    Raises:
        TypeError: A name stands for one type here, for another there: TypeScript gets one list of names.
    """
    found: dict[str, Any] = {}
    for module in modules:
        for name, kind in vars(module).items():
            is_type = is_typeddict(kind) or get_origin(kind) in {tuple, Literal}
            if is_type and found.setdefault(name, kind) is not kind:
                raise TypeError(f"{name} of {module.__name__} is another type elsewhere")
    return found


def write() -> None:
    """Write the declarations where the type checker finds them, if they have changed."""
    now = text()
    if not WHERE.is_file() or WHERE.read_text(encoding="utf-8") != now:
        WHERE.parent.mkdir(exist_ok=True)
        WHERE.write_text(now, encoding="utf-8")


def typescript(hint: Any) -> str:  # noqa: PLR0911 (one for each kind of type)
    """A type of Python's in TypeScript.

    Raises:
        TypeError: It has none.
    """
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, TypeVar) or is_typeddict(hint):
        return str(hint.__name__)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {NotRequired, Required}:
        return typescript(inner[0])
    if origin is Literal:
        return " | ".join(f'"{word}"' for word in inner)
    if origin in {Union, types.UnionType} and traffic.Nothing in inner:
        return f"Maybe<{' | '.join(typescript(part) for part in inner if part is not traffic.Nothing)}>"
    if origin in {Union, types.UnionType}:
        return " | ".join(dict.fromkeys(typescript(part) for part in inner))
    if origin is list:
        item = typescript(inner[0])
        return f"({item})[]" if " | " in item else f"{item}[]"
    if origin is tuple:
        return f"[{', '.join(typescript(part) for part in inner)}]"
    if origin is dict and inner[0] is str:
        return f"Record<string, {typescript(inner[1])}>"
    if is_typeddict(origin):
        return f"{origin.__name__}<{', '.join(typescript(part) for part in inner)}>"
    raise TypeError(f"{hint} has no counterpart in TypeScript")


def _interface(kind: Any) -> str:
    parameters = ", ".join(parameter.__name__ for parameter in getattr(kind, "__parameters__", ()))
    lines = [
        f"  {name}{'' if name in kind.__required_keys__ else '?'}: {typescript(hint)};"
        for name, hint in get_type_hints(kind, include_extras=True).items()
    ]
    head = f"interface {kind.__name__}{f'<{parameters}>' if parameters else ''} {{"
    return "\n".join([f"/** {kind.__doc__} */", head, *lines, "}", ""])
