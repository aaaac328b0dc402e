"""Docstrings open with a noun phrase or an imperative, and public ones say what they take and raise."""

import ast
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
