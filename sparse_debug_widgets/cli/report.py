"""The headless demo's report: one HTML file with the tables and the draggable panel, no network needed."""

import html
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sparse_debug_widgets.cli.findings import Findings
from sparse_debug_widgets.core.page import Table, page_html, picture_html, table_html, write_page
from sparse_debug_widgets.widgets import panel

PER_ROW = 10


def write_report(findings: Findings, tables: Iterable[Table], file: Path) -> Path:
    """Write the report, atomically."""
    demo = findings.demo
    body = f"""<p>{html.escape(demo.description)}.</p>
<div class="tables">{"".join(map(table_html, tables))}</div>
{pictures_html(findings)}
<h2>The path: drag it</h2>
<iframe title="The regularisation path, draggable" srcdoc="{html.escape(panel_page(findings))}"></iframe>
<details><summary>The model card</summary><pre>{html.escape(demo.card)}</pre></details>"""
    return write_page(page_html(f"{demo.name}: what was found", body), file)


def panel_page(findings: Findings) -> str:
    """The standalone page of the panel, on the class and the lambda that were looked at."""
    shown = panel(findings.path, class_index=findings.class_index, index=findings.selected)
    with tempfile.TemporaryDirectory() as folder:
        return shown.to_html(Path(folder) / "panel.html").read_text(encoding="utf-8")


def pictures_html(findings: Findings) -> str:
    """The pictures of other classes that excite the strongest feature: what it looks for."""
    if not findings.exciting:
        return ""
    pixels = [np.asarray(findings.demo.train[row][0]) for row in findings.exciting]
    strips = [np.concatenate(pixels[k : k + PER_ROW], axis=2) for k in range(0, len(pixels), PER_ROW)]
    sheet = (255 * np.concatenate(strips, axis=1)).astype(np.uint8).transpose(1, 2, 0)
    name = findings.demo.class_names[findings.class_index]
    title = f"What excites {findings.top[0].name} most, among pictures that are no {name}"
    return f"<h2>{html.escape(title)}</h2>{picture_html(sheet, title, sheet=True)}"
