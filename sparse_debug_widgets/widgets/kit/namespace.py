"""Names by which the notebook reaches things: for titles, and for code that a person can run again."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.seeding import preserve_rng

if TYPE_CHECKING:
    from torch import nn

_ENTRIES = 1000
_PARTS = 8


def called(thing: object, otherwise: str) -> str:
    """The expression by which the notebook reaches a thing.

    A variable, an attribute or an entry of one (``demo.model``, ``splits["test"]``, ``models[0]``), or a
    tuple or list of such. :func:`runnable` turns what cannot be found into a line to fill in.

    Args:
        thing: What a panel was given.
        otherwise: The name where there is no such expression; one that the notebook does not use for anything
            else.
    """
    space = {n: v for n, v in list(vars(sys.modules["__main__"]).items()) if not n.startswith("_")}
    found = _reached(thing, space)
    if found:
        return found
    while otherwise and otherwise in space:
        otherwise = f"panel_{otherwise}"
    return otherwise


def _reached(thing: object, space: Mapping[str, Any]) -> str:
    direct = next((name for name, value in space.items() if value is thing), "")
    if direct:
        return direct
    for name, value in space.items():
        step = _step_to(thing, value)
        if step:
            return f"{name}{step}"
    if type(thing) in {tuple, list} and 0 < len(cast("list[Any]", thing)) <= _PARTS:
        parts = [_reached(part, space) for part in cast("list[Any]", thing)]
        if all(parts):
            inner = ", ".join(parts)
            return f"[{inner}]" if isinstance(thing, list) else f"({inner}{',' if len(parts) == 1 else ''})"
    return ""


def _step_to(thing: object, holder: object) -> str:
    """Find the step from a holder to a thing: ``.model``, ``["test"]``, ``[0]``; empty if there is none."""
    if isinstance(holder, ModuleType | type | FunctionType):
        return ""
    if isinstance(holder, Mapping):
        items = list(holder.items())[:_ENTRIES]
        return next((f"[{k!r}]" for k, v in items if v is thing and isinstance(k, str | int)), "")
    if isinstance(holder, list | tuple):
        names = getattr(holder, "_fields", ())
        place = next((k for k, value in enumerate(holder[:_ENTRIES]) if value is thing), None)
        return "" if place is None else f".{names[place]}" if names else f"[{place}]"
    held = {**getattr(holder, "__dict__", {}), **getattr(holder, "_modules", {})}
    return next((f".{n}" for n, v in held.items() if v is thing and not n.startswith("_")), "")


def runnable(code: str, **meant: str) -> str:
    """Code that runs in the notebook, or says in a line each what has to be filled in.

    Args:
        code: Lines of Python.
        **meant: What a name stands for, where the notebook has no expression for it.
    """
    tree = ast.parse(code)
    known = {name for name in vars(sys.modules["__main__"]) if not name.startswith("_")} | set(dir(builtins))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    known |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    known |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    missing = dict.fromkeys(node.id for node in names if node.id not in known)
    lines = [f"{name} = ...  # fill in: {_meaning(name, meant)}" for name in missing]
    head, _, rest = code.partition("\n\n")
    return code if not lines else "\n".join([head, "", *lines, rest]) if rest else "\n".join([*lines, code])


def _meaning(name: str, meant: Mapping[str, str]) -> str:
    plain = name.removeprefix("panel_")
    return meant.get(plain, f"the {plain.replace('_', ' ')} that this panel was given")


def example_code(data: object, row: int, shape: tuple[int, ...]) -> str:
    """The expression that gives one example as a batch of one; a name to fill in where there is none.

    Args:
        data: What the panel was given.
        row: Of the example.
        shape: Of one example.
    """
    if isinstance(data, Tensor | np.ndarray):
        name = called(data, "data")
        return f"{name}[None]" if tuple(data.shape) == shape else f"{name}[{row}:{row + 1}]"
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], Tensor | np.ndarray):
        name = called(data[0], "") or f"{called(data, 'data')}[0]"
        return f"{name}[{row}:{row + 1}]"
    name, source = called(data, "data"), data
    if isinstance(data, DataLoader):
        name, source = f"{name}.dataset", data.dataset
    # The examples of everything else are asked for, so that nothing is promised that does not run.
    item = _item(source, row)
    if hasattr(item, "shape") and tuple(item.shape) == shape:
        return f"{name}[{row}][None]"
    first: Any = item[0] if isinstance(item, tuple | list) and len(item) else None
    if hasattr(first, "shape") and tuple(first.shape) == shape:
        return f"{name}[{row}][0][None]"
    return "example"


def _item(source: object, row: int) -> Any:  # noqa: ANN401
    if not hasattr(source, "__getitem__") or isinstance(source, str | Mapping):
        return None
    with suppress(Exception), preserve_rng():
        return source[row]
    return None


def named_models(live: Any, compare: Any, names: Sequence[str]) -> dict[str, nn.Module]:  # noqa: ANN401 (models or None)
    """The models, bare, each by its name."""
    models = [unwrap(model) for model in (live, compare) if model is not None]
    given = [str(name) for name in names] or [called(model, "") for model in models]
    if len(set(given)) != len(models) or not all(given):
        if names:
            count = f"each of its {len(models)} models" if len(models) > 1 else "its model"
            listed = shorten(", ".join(map(repr, given)))
            refuse(f"The Saliency panel needs a different name for {count}; names= has {listed}.")
        given = ["model", "compared model"][: len(models)]
    return dict(zip(given, models, strict=True))
