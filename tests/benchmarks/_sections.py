"""The pages in `docs/benchmarks` that benchmarks write: whole tables, or a section as soon as it is done."""

import os
import platform
import re
import time
from collections.abc import Iterable
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "benchmarks"


def machine() -> str:
    """Where and when, and how busy the machine is already."""
    load = os.getloadavg()[0]
    cores = os.cpu_count()
    return (
        f"({platform.machine()}, {cores} cores, {time.strftime('%Y-%m-%d')}, load {load:.1f} when it began.)"
    )


def inside(page: str, mark: str = "") -> str:
    """Return what is between the markers of a page.

    Args:
        page: The page's name.
        mark: The markers' name: the page's own by default.
    """
    return _cut(page, mark)[1].strip()


def put(page: str, text: str, mark: str = "") -> None:
    """Put a text between the markers of a page.

    Args:
        page: The page's name.
        text: What is to stand there.
        mark: The markers' name: the page's own by default.
    """
    before, _, after = _cut(page, mark)
    name = mark or page
    whole = f"{before}<!-- bench: {name} -->\n\n{text.strip()}\n\n<!-- /bench: {name} -->{after}"
    (PAGES / f"{page}.md").write_text(whole, encoding="utf-8")


def put_section(page: str, titles: Iterable[str], title: str, text: str) -> None:
    """Put a section between the markers of a page.

    Args:
        page: The page's name.
        titles: All sections, in order; others between the markers go.
        title: This one's.
        text: What is under its heading.
    """
    parts = re.split(r"^(?=### )", inside(page), flags=re.MULTILINE)
    found = {part.partition("\n")[0].removeprefix("### "): part.strip() for part in parts}
    found[title] = f"### {title}\n\n{text}"
    put(page, "\n\n".join(found[known] for known in titles if known in found))


def _cut(page: str, mark: str) -> tuple[str, str, str]:
    """What is before, between and after the markers."""
    name = mark or page
    before, _, rest = (PAGES / f"{page}.md").read_text(encoding="utf-8").partition(f"<!-- bench: {name} -->")
    between, _, after = rest.partition(f"<!-- /bench: {name} -->")
    return before, between, after
