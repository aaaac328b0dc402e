"""Compares what really crosses the wire with its types (``traffic.py`` of the widgets)."""

import types
from collections.abc import Iterator
from typing import (
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from tests.front_end.declarations import TRAFFIC


def differences(value: Any, hint: Any, where: str) -> Iterator[str]:
    """Say where a value is not what its type says, and how."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {NotRequired, Required}:
        yield from differences(value, inner[0], where)
    elif origin in {Union, types.UnionType}:
        found = [list(differences(value, part, where)) for part in inner]
        if all(found):
            yield min(found, key=len)[0]
    elif is_typeddict(origin or hint):
        yield from _in_dict(value, origin or hint, dict(zip(_parameters(origin), inner, strict=True)), where)
    elif origin is Literal:
        if value not in inner:
            yield f"{where}: {value!r} is none of {inner}"
    elif origin is dict:
        yield from _each(value, dict, lambda key: (inner[1], f"{where}[{key!r}]"), where)
    elif origin is list:
        yield from _each(value, list, lambda _: (inner[0], f"{where}[]"), where)
    elif origin is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(inner):
            yield f"{where}: {value!r} is not {len(inner)} values"
        else:
            yield from (text for v, h in zip(value, inner, strict=True) for text in differences(v, h, where))
    elif hint is not Any and not _plain(value, hint):
        yield f"{where}: {type(value).__name__} {str(value)[:60]!r} is not {hint}"


def _plain(value: Any, hint: Any) -> bool:
    kinds = {float: (int, float), bytes: (bytes, memoryview, bytearray)}.get(hint, hint)
    return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))


def _parameters(origin: Any) -> tuple[Any, ...]:
    return getattr(origin, "__parameters__", ()) if origin is not None else ()


def _in_dict(value: Any, kind: Any, arguments: dict[Any, Any], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {type(value).__name__} is not {kind.__name__}"
        return
    hints = get_type_hints(kind, include_extras=True)
    yield from (f"{where}: {kind.__name__} has no {name!r}" for name in value.keys() - hints.keys())
    yield from (
        f"{where}: {name!r} of {kind.__name__} is missing" for name in kind.__required_keys__ - value.keys()
    )
    for name in value.keys() & hints.keys():
        yield from differences(value[name], arguments.get(hints[name], hints[name]), f"{where}.{name}")


def _each(value: Any, kind: type, part: Any, where: str) -> Iterator[str]:
    if not isinstance(value, kind) and not (kind is list and isinstance(value, tuple)):
        yield f"{where}: {type(value).__name__} is not a {kind.__name__}"
        return
    for key in value if kind is dict else range(min(len(value), 20)):
        hint, place = part(key)
        yield from differences(value[key], hint, place)


def trait_differences(panel: str, name: str, value: Any) -> list[str]:
    """What is wrong with the value of a trait; one that has not been set yet is empty."""
    hint = get_type_hints(TRAFFIC[panel][0])[name]
    return [] if value == {} else list(differences(value, hint, f"{panel}.{name}"))


def answer_differences(panel: str, action: str, value: Any) -> list[str]:
    """What is wrong with an answer."""
    hint = get_type_hints(TRAFFIC[panel][1])[action]
    return list(differences(value, hint, f"{panel}.{action}()"))
