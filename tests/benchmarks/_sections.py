"""Sections of a room's README that benchmarks write: one for each part, as soon as it is done."""

import os
import platform
import re
import time
from collections.abc import Iterable
from pathlib import Path

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def machine() -> str:
    """Where and when, and how busy the machine is already."""
    load = os.getloadavg()[0]
    cores = os.cpu_count()
    return (
        f"({platform.machine()}, {cores} cores, {time.strftime('%Y-%m-%d')}, load {load:.1f} when it began.)"
    )


def write(page: Path, titles: Iterable[str], title: str, text: str) -> None:
    """Put a section between the markers of a page.

    Args:
        page: The file.
        titles: All sections, in order; others between the markers go.
        title: This one's.
        text: What is under its heading.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    body, _, after = rest.partition(END)
    parts = re.split(r"^(?=### )", body, flags=re.MULTILINE)
    found = {part.partition("\n")[0].removeprefix("### "): part.strip() for part in parts}
    found[title] = f"### {title}\n\n{text}"
    ordered = [found[known] for known in titles if known in found]
    content = "\n\n".join(ordered)
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}", encoding="utf-8")
