"""An entry of a registry says all about itself: nobody else, in Python or in a page, asks for it by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.data.catalog import DEMOS
from sparse_debug_widgets.interpret import EXPLANATION_METHODS
from sparse_debug_widgets.perturbation import METHODS as ATTACKS
from sparse_debug_widgets.perturbation.norms import BOX_MODES, NORMS
from sparse_debug_widgets.saliency import METHODS
from sparse_debug_widgets.sparse import SOLVERS
from sparse_debug_widgets.sparse.problem.families import FAMILIES

PACKAGE = Path(sdw.__file__).parent
REGISTRIES = (METHODS, ATTACKS, NORMS, BOX_MODES, SOLVERS, FAMILIES, DEMOS, EXPLANATION_METHODS)
NAMES = {name for registry in REGISTRIES for name in registry}


def asked_for(node: ast.AST) -> list[str]:
    """Names that a comparison asks for, whole or by their beginning or end."""
    if isinstance(node, ast.Compare | ast.match_case):
        asked = node.pattern if isinstance(node, ast.match_case) else node
        return [n.value for n in ast.walk(asked) if isinstance(n, ast.Constant) and n.value in NAMES]
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"startswith", "endswith"}:
        words = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        return [w for w in words if len(w) > 3 and any(n.startswith(w) or n.endswith(w) for n in NAMES)]
    return []


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_nothing_asks_for_an_entry_by_its_name(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        assert asked_for(node) == [], f"line {node.lineno}"  # type: ignore[attr-defined]


def test_no_page_asks_for_an_entry_by_its_name() -> None:
    compared = "|".join(map(re.escape, sorted(NAMES - {"parts", "shapes"})))  # words of pages too
    for script in sorted((PACKAGE / "widgets").rglob("*.js")):
        found = re.findall(rf"[!=]==? *[\"'](?:{compared})[\"']", script.read_text(encoding="utf-8"))
        assert found == [], script.name


def test_the_check_finds_what_it_is_for() -> None:
    for line in ('method == "caso"', 'method.endswith("caso")', 'norm in ("l1q", "l2")', 'a["x"] != "saga"'):
        assert any(asked_for(node) for node in ast.walk(ast.parse(line))), line
