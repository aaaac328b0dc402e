"""Docstrings open with a noun phrase or an imperative, and public ones say what they take and raise."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import sparse_debug_widgets

PACKAGE = Path(sparse_debug_widgets.__file__).parent
QUESTIONS = {"What", "Whether", "How", "Where", "Which", "Who", "Why", "When", "Whose"}
FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_docstring_opens_with_a_question_word(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, documented) else None
        assert not text or text.split()[0].rstrip(",") not in QUESTIONS, text.splitlines()[0]


def public() -> list[tuple[str, Callable[..., object]]]:
    """Functions of the root, and methods of its classes that are not taken over unchanged."""
    found: list[tuple[str, Callable[..., object]]] = []
    for name in sorted(sparse_debug_widgets.__all__):
        thing = getattr(sparse_debug_widgets, name)
        if not getattr(thing, "__module__", "").startswith("sparse_debug_widgets"):
            continue
        members = vars(thing).items() if inspect.isclass(thing) else [("", thing)]
        for member, value in members:
            function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if inspect.isfunction(function) and not member.startswith("_"):
                found.append((f"{name}.{member}".rstrip("."), function))
    return found


def refuses(function: Callable[..., object]) -> bool:
    """Does its own body raise, or call what does?"""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    raising = any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    return raising or any(name in {"refuse", "reject"} or name.startswith("check_") for name in names)


@pytest.mark.parametrize(
    ("name", "function"), public(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_public_says_what_it_takes_and_raises(name, function):
    text = inspect.getdoc(function) or ""
    if text.startswith("See :"):
        return
    taken = [
        parameter for parameter in inspect.signature(function).parameters if parameter not in ("self", "cls")
    ]
    assert not taken or "Args:" in text, f"{name} takes {', '.join(taken)}"
    assert not refuses(function) or "Raises:" in text, name
