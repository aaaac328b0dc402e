"""Names that want to be HTML, to break lines, to fill the screen or to turn the text around."""

import csv
from xml.etree import ElementTree

import pytest

from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.fakes import FakePath

pytestmark = pytest.mark.browser
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "quote \" and ' and & and \\",
    "line\nbreak\r\nand\ttab",
    "x" * 10_000,
    "W" * 10_000,
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u202eevil override\u202c",
    "",
    "   ",
    "=HYPERLINK(1)",
    "\U0001f600" * 300,
)


def hostile_panel() -> PathPanel:
    names = tuple(HOSTILE[j % len(HOSTILE)] if j < 36 else f"f{j}" for j in range(40))
    return PathPanel(
        FakePath(40, 50, len(HOSTILE), feature_names=names, class_names=HOSTILE), fallback="none", index=40
    )


@pytest.fixture(params=[400, 1100])
def page(request, show):
    return show(hostile_panel(), width=request.param)


def test_no_name_becomes_an_element_or_runs(page):
    page.rest()
    for c in range(len(HOSTILE)):
        page.root.locator(".sdw-picker").select_option(str(c))
        page.rest()
    assert page.page.evaluate("document.querySelectorAll('.sdw img, .sdw script').length") == 0


def test_no_name_breaks_the_layout(page):
    page.rest()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = page.root.locator(".sdw-row:visible").evaluate_all("(rows) => rows.map((r) => r.offsetHeight)")
    assert set(heights) == {22}
    assert page.root.locator("select").first.evaluate("(s) => s.offsetHeight") < 40


def test_names_are_cut_on_the_canvas_and_whole_in_the_title_up_to_a_limit(page):
    page.rest()
    j = HOSTILE.index("x" * 10_000)
    page.page.evaluate("(i) => sdw.model.set('idx', i)", 49)
    page.rest()
    titles = page.root.locator(".sdw-row:visible").evaluate_all("(rows) => rows.map((r) => r.title)")
    assert titles
    assert all(len(title) < 2200 for title in titles)
    cut = [t for t in titles if t.startswith(("x" * 2000, "W" * 2000))]
    assert cut, j
    assert all("10,000 characters" in t for t in cut)


def test_right_to_left_names_stay_in_their_column(page):
    """Numbers beside a right-to-left name are painted where they are beside any other."""
    page.rest()
    right = """(c) => {
      const { width, height } = c, d = c.getContext('2d').getImageData(0, 0, width, height).data;
      let most = 0;
      for (let i = 3; i < d.length; i += 4) if (d[i]) most = Math.max(most, ((i - 3) / 4) % width);
      return most / width; }"""
    assert page.canvas("bars").evaluate(right) < 1
    assert page.root.locator("option").nth(6).get_attribute("dir") == "auto"


def test_downloads_carry_names_as_data(page):
    page.rest()
    files = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.page.expect_download() as caught:
            page.root.get_by_role("button", name=f"{kind}:").click()
        files[kind] = caught.value.path().read_bytes()
        assert (
            caught.value.suggested_filename
            == f"path-img-src-x-onerror-alert-1-lambda-0.000711.{kind.lower()}"
        )
    assert files["PNG"].startswith(b"\x89PNG")
    svg = ElementTree.fromstring(files["SVG"])  # noqa: S314 (our own file)
    assert {element.tag.rpartition("}")[2] for element in svg.iter()} <= {
        "svg",
        "g",
        "rect",
        "text",
        "polyline",
        "circle",
        "path",
        "clipPath",
    }
    rows = list(csv.reader(files["CSV"].decode("utf-8-sig").splitlines(keepends=True)))
    assert {len(row) for row in rows} == {4 + 50}
    assert not any(row[0].startswith("=") for row in rows)
    weights = page.panel._path.class_path(0)
    assert len(rows) == 1 + (weights != 0).any(axis=0).sum()
