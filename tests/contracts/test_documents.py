"""Documents: every link and every file that they name is there, and a room's page stays short."""

import functools
import re
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.interpret import EXPLANATION_METHODS
from sparse_debug_widgets.perturbation.methods import METHODS as ATTACKS
from sparse_debug_widgets.perturbation.norms import NORMS
from sparse_debug_widgets.saliency import METHODS
from sparse_debug_widgets.sparse import SOLVERS
from sparse_debug_widgets.sparse.problem.families import FAMILIES

ROOT = Path(__file__).parents[2]
FOLDERS = ("sparse_debug_widgets", "tests", "docs", "notebooks", ".ci", "binder")
BUILT = {"__pycache__", "node_modules"}
FILES = [
    *(path for path in ROOT.iterdir() if path.is_file() or path.name in FOLDERS),
    *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if not BUILT & set(path.parts)),
]
NAMES = [path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "") for path in FILES]
PAGES = sorted(path for path in FILES if path.suffix == ".md" and "weights" not in path.parts)
ROOMS = [
    page for page in PAGES if page.name == "README.md" and page.relative_to(ROOT).parts[0] in FOLDERS[:2]
]
GUIDES = [page for page in PAGES if page.parent == ROOT / "docs" or page.parent == ROOT / "docs" / "methods"]
MADE = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
MOST_WORDS = 500

_CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_NAMED = re.compile(r"`([\w./*<>-]+(?:\.(?:py|js|ts|css|md|toml|yml)|/))`")
_CODE_NAME = re.compile(r"`(?:[\w.]+\.)?([A-Za-z]\w+)(?:\(.*?\)|=)?`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def where(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    return _CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"[^\w\- ]", "", _LINK.sub("", heading).lower()).strip().replace(" ", "-")
        found.add(text if text not in found else f"{text}-1")
    return found


def unresolved(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    lost = []
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    return lost


def is_there(name: str, page: Path) -> bool:
    """Is a file that a page names in the repository?

    The end of a path is enough: in a room's page of a file of it, elsewhere the text says which room is
    meant. ``<name>`` stands for any name: there must be a file beside it.
    """
    name = re.sub(r"<\w+>", "*", name)
    beside = "" if page.parent == ROOT else f"{where(page.parent)}/"
    wanted = [name, f"{beside}{name}", f"{beside}*/{name}"] if page in ROOMS else [name, f"*/{name}"]
    return name in MADE or any(fnmatch(path, pattern) for path in NAMES for pattern in wanted)


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_every_link_resolves(page: Path) -> None:
    assert unresolved(page) == []


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    assert [name for name in _NAMED.findall(prose(page)) if not is_there(name, page)] == []


@functools.cache
def words() -> frozenset[str]:
    """Every word of the code."""
    texts = (
        path.read_text(encoding="utf-8") for path in FILES if path.suffix in {".py", ".js", ".toml", ".ts"}
    )
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


@pytest.mark.parametrize("page", GUIDES, ids=where)
def test_a_guide_names_what_the_code_has(page: Path) -> None:
    assert [name for name in _CODE_NAME.findall(prose(page)) if name not in words()] == []


@pytest.mark.parametrize("page", ROOMS, ids=where)
def test_a_rooms_page_is_short(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_the_newest_release_is_the_version_that_is_built() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    releases = re.findall(
        r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert releases[0] == settings["project"]["version"]
    assert releases == sorted(
        releases, key=lambda version: [int(part) for part in version.split(".")], reverse=True
    )


def test_every_benchmark_has_its_page() -> None:
    names = [path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py") if path.stem[0] != "_"]
    listed = (ROOT / "docs" / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name in names:
        page = (ROOT / "docs" / "benchmarks" / f"{name}.md").read_text(encoding="utf-8")
        assert page.count("<!-- bench: ") == page.count("<!-- /bench: ") > 0
        assert f"[{name}]({name}.md)" in listed


@pytest.mark.parametrize(
    "room", [page for page in ROOMS if len(page.relative_to(ROOT).parts) == 3], ids=where
)
def test_every_room_points_to_its_decisions(room: Path) -> None:
    if room.relative_to(ROOT).parts[0] == "sparse_debug_widgets":
        assert f"docs/decisions/{room.parent.name}.md" in room.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "registry"),
    [
        ("saliency", METHODS),
        ("perturbations", ATTACKS),
        ("perturbations", NORMS),
        ("paths", FAMILIES),
        ("paths", SOLVERS),
        ("x_features", EXPLANATION_METHODS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_methods_tell_of_every_entry(page: str, registry: Iterable[str]) -> None:
    text = (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")
    assert [name for name in registry if f"`{name}`" not in text] == []


COMPUTE = ("sparse", "saliency", "perturbation", "interpret", "evaluate")


@pytest.mark.parametrize(
    "name", [name for name, room in sdw._ROOM_OF.items() if room in COMPUTE and name.islower()]
)
def test_what_computes_cites_its_page(name: str) -> None:
    assert re.search(r"``docs/methods/\w+\.md``", getattr(sdw, name).__doc__)


def test_pages_that_the_code_cites_are_there() -> None:
    code = (path for path in FILES if path.suffix == ".py" and path != Path(__file__))
    cited = {page for path in code for page in re.findall(r"\bdocs/[\w/]+\.md\b", path.read_text("utf-8"))}
    assert cited
    assert [page for page in sorted(cited) if not (ROOT / page).is_file()] == []


def inner_layers() -> dict[str, str]:
    """The layers of each room that has a contract inside, as documents write them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    rooms = {
        c["containers"][0].partition(".")[2]: c["layers"] for c in contracts if "." in c["containers"][0]
    }
    return {room: " ▶ ".join(layers) for room, layers in rooms.items()}


@pytest.mark.parametrize(("room", "layers"), inner_layers().items())
def test_a_picture_of_layers_is_that_of_the_contract(room: str, layers: str) -> None:
    for page in (ROOT / "docs" / "architecture.md", ROOT / "sparse_debug_widgets" / room / "README.md"):
        assert layers in page.read_text(encoding="utf-8")
