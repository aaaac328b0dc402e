"""One object for a kind of labels: nobody else compares its name, and a new one is seen everywhere."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.cli.parser import main
from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.sparse.problem.families import (
    FAMILIES,
    allowed_families,
    leanest_family,
)
from sparse_debug_widgets.widgets.kit import assets
from tests.widgets.front import eventually

PACKAGE = Path(sdw.__file__).parent
HOMES = {"families.py"}
FILES = sorted(file for file in PACKAGE.rglob("*.py") if file.name not in HOMES)


def names_in(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and n.value in tuple(FAMILIES)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_other_file_compares_the_name_of_a_family_or_lists_them(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare | ast.Match | ast.Dict):
            keys = node.keys if isinstance(node, ast.Dict) else [node]
            assert not [name for key in keys if key is not None for name in names_in(key)], ast.unparse(node)
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Subscript):
            assert len(set(names_in(node))) < 2, ast.unparse(node)
        if isinstance(node, ast.IfExp):
            assert not names_in(node), ast.unparse(node)


def test_no_page_knows_a_family() -> None:
    for script in sorted(Path(assets.__file__).parents[1].rglob("*.js")):
        text = script.read_text(encoding="utf-8")
        assert not [name for name in FAMILIES if name in text], script.name


def test_labels_say_which_families_they_allow() -> None:
    assert allowed_families(None) == ("gaussian",)
    assert allowed_families(2) == ("multinomial", "binomial", "gaussian")
    assert allowed_families(7) == ("multinomial", "gaussian")
    assert [leanest_family(n) for n in (None, 2, 3)] == ["gaussian", "binomial", "multinomial"]


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> str:
    """A family of somebody else's: its loss is an old one, its words are new."""
    monkeypatch.setattr(FAMILIES, "_entries", dict(FAMILIES._entries))
    plain = FAMILIES["multinomial"]
    words = {"score": "hit rate", "column": "hit_rate", "one": "kind", "many": "kinds", "near": "5 hits"}
    words["rule"] = "5-hit rule"
    FAMILIES.add("kinds", dataclasses.replace(plain, name="kinds", **words))
    return "kinds"


@pytest.fixture
def features() -> DeepFeatures:
    # Data of this file alone: Fit panels of the same data share their fits, also of a family that is gone.
    rng = np.random.default_rng(20)
    labels = np.arange(120) % 3
    values = rng.normal(size=(120, 5)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    return DeepFeatures.from_arrays(values, labels, validation=0.25)


def test_a_new_family_reaches_paths_tables_figures_and_files(
    kinds: str, features: DeepFeatures, tmp_path: Path
) -> None:
    path = sdw.elastic_net_path(features, family=kinds, n_lambdas=6)
    same = sdw.elastic_net_path(features, n_lambdas=6)
    np.testing.assert_array_equal(path.weights_at(5), same.weights_at(5))
    assert {"train_hit_rate", "validation_hit_rate"} <= set(path.to_frame())
    assert not [name for name in path.to_frame() if "accuracy" in name]
    assert path.plot().layout.yaxis.title.text == "hit rate"
    loaded = sdw.RegularizationPath.load(path.save(tmp_path / "path.safetensors"))
    assert loaded.family == "kinds"
    assert loaded.labels_are.score == "hit rate"


def test_a_new_family_reaches_the_panels(kinds: str, features: DeepFeatures) -> None:
    path = sdw.elastic_net_path(features, family=kinds, n_lambdas=6)
    head: dict[str, Any] = sdw.panel(path, fallback="none").head["value"]
    assert [head[word] for word in ("score", "one", "many", "near")] == [
        "hit rate",
        "kind",
        "kinds",
        "5 hits",
    ]
    panel = sdw.fit_panel(features, family=kinds, n_lambdas=5, fallback="none", checkpoints=None)
    (field,) = [entry for entry in panel.head["fields"] if entry["name"] == "family"]
    assert "kinds" in field["choices"]
    assert field["barred"] == ["binomial"]
    panel.start().result()
    eventually(lambda: panel.grown.get("value"))
    assert panel.grown["value"]["score"] == "hit rate"
    eventually(lambda: panel.runs[-1]["state"] == "done")
    assert panel.runs[-1]["rule"]["name"] == "5-hit rule"
    panel.close()


def test_a_new_family_is_a_word_of_the_command_line(
    kinds: str, features: DeepFeatures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = features.save(tmp_path / "features.safetensors"), tmp_path / "path.safetensors"
    assert main(["fit", str(source), str(target), "--family", kinds, "--n-lambdas", "4"]) == 0
    assert sdw.RegularizationPath.load(target).family == "kinds"
    assert main(["fit", str(source), str(target), "--family", "kind"]) == 1
    assert "Did you mean 'kinds'" in capsys.readouterr().err


def test_regression_is_called_by_its_own_name() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4)).astype(np.float32)
    numbers = DeepFeatures.from_arrays(x, x[:, 0] * 2.0, validation=0.25)
    table = sdw.elastic_net_path(numbers, family="gaussian", n_lambdas=5).to_frame()
    assert {"train_r2", "validation_r2"} <= set(table)
    assert not [name for name in table if "accuracy" in name]
