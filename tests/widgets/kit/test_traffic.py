"""The types of what crosses the wire say what really does; every test of a panel looks (conftest.py)."""

import importlib
from types import ModuleType
from typing import Any, Literal, NotRequired, TypedDict, get_type_hints

import pytest

from sparse_debug_widgets.widgets.kit import assets, calls, traffic
from sparse_debug_widgets.widgets.kit.base import Panel, _is_action
from tests.front_end import declarations
from tests.widgets import conform


def _panel(name: str) -> type[Panel]:
    module = importlib.import_module(f"sparse_debug_widgets.widgets.panels.{name}.panel")
    (found,) = [
        kind for kind in vars(module).values() if isinstance(kind, type) and vars(kind).get("name") == name
    ]
    return found


def test_every_panel_has_its_types() -> None:
    assert sorted(declarations.TRAFFIC) == assets.panel_names()


@pytest.mark.parametrize("name", assets.panel_names())
def test_a_panel_has_the_traits_and_actions_of_its_types(name: str) -> None:
    panel = _panel(name)
    theirs = {"layout", "tabbable", "tooltip"}
    traits = {t for t in panel.class_traits(sync=True) if not t.startswith("_")} - theirs
    actions = {action for action in dir(panel) if _is_action(panel, action)}
    assert traits == set(get_type_hints(declarations.TRAFFIC[name][0]))
    assert actions == set(get_type_hints(declarations.TRAFFIC[name][1]))


class Inner(TypedDict):
    a: int
    b: NotRequired[list[tuple[str, float | None]]]


@pytest.mark.parametrize(
    ("value", "hint", "wrong"),
    [
        ({"a": 1}, Inner, 0),
        ({"a": 1, "b": [("x", None), ["y", 2]]}, Inner, 0),
        ({"a": True}, Inner, 1),
        ({"b": []}, Inner, 1),
        ({"a": 1, "c": 2}, Inner, 1),
        ({"a": 1, "b": [("x", "z")]}, Inner, 1),
        ({"a": 1, "b": [("x",)]}, Inner, 1),
        ({}, Inner | traffic.Nothing, 0),
        ({"c": 1}, Inner | traffic.Nothing, 1),
        ({"value": {"a": 1}, "arrays": {}}, traffic.Held[Inner], 0),
        ({"value": {"a": "1"}}, traffic.Held[Inner], 1),
        ("x", Literal["x", "y"], 0),
        ("z", Literal["x", "y"], 1),
        ({"k": 1.5}, dict[str, float], 0),
        ({"k": None}, dict[str, float], 1),
        (None, float | None, 0),
        ([1, 2], list[Any], 0),
    ],
)
def test_what_differs_is_found(value: Any, hint: Any, wrong: int) -> None:
    assert len(list(conform.differences(value, hint, "it"))) == wrong


def test_what_a_panel_sends_is_compared(sent_otherwise: list[str], notebook: Any) -> None:
    """The fixture behind every other test of this folder notices a trait and an answer of another shape."""
    del notebook
    from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
    from tests.widgets.fakes import FakePath
    from tests.widgets.front import request

    panel = PathPanel(FakePath(8, 10, 2), fallback="none")
    assert sent_otherwise == []
    panel.live = {"index": "3"}
    assert any("path.live" in text for text in sent_otherwise)
    sent_otherwise.clear()
    panel._desk._actions["score"] = lambda _call: calls.Answer({"jobs": 1})
    request(panel, "score")
    assert any("path.score()" in text for text in sent_otherwise)
    sent_otherwise.clear()


def test_a_declaration_says_the_same() -> None:
    text = declarations.text()
    wanted = """interface LogEntry {
  silenced: [number, number][];
  index: number;
  class_index: number;
  scores?: Scores;
  on?: string;
}"""
    assert wanted in text
    assert "  live: Maybe<LiveState | OtherPath>;\n" in text
    assert "  head: Held<PathPanelAbout>;\n" in text
    assert 'type JobWord = "queued" | "running"' in text


def test_a_type_without_a_counterpart_is_refused() -> None:
    with pytest.raises(TypeError, match="no counterpart"):
        declarations.typescript(set[int])


def test_a_name_stands_for_one_type() -> None:
    here, there = ModuleType("here"), ModuleType("there")
    here.__dict__["Inner"] = there.__dict__["Inner"] = Inner
    assert declarations.together(here, there) == {"Inner": Inner}
    there.__dict__["Inner"] = traffic.Begun
    with pytest.raises(TypeError, match="Inner of there is another type elsewhere"):
        declarations.together(here, there)
