"""The headless demo's report: one HTML file with the tables and the draggable panel, no network needed."""

import base64
import html
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from sparse_debug_widgets.cli.console import Table
from sparse_debug_widgets.cli.findings import Findings
from sparse_debug_widgets.core.storage import atomic_path
from sparse_debug_widgets.widgets import panel

PER_ROW = 10
RGB = 3
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
  background: light-dark(#fff, #16191d); color: light-dark(#1d2125, #dfe3e7); }
iframe { width: 100%; height: 960px; border: 1px solid light-dark(#d5d9dd, #3a4047); border-radius: 6px; }
table { border-collapse: collapse; margin: .5rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; }
tr { border-bottom: 1px solid light-dark(#e4e7ea, #30363c); }
td + td { font-variant-numeric: tabular-nums; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
img.sheet { width: 100%; image-rendering: pixelated; border-radius: 6px; }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 3rem; }
.note { color: light-dark(#5c656d, #9aa4ad); max-width: 60ch; margin: 0; }
"""


def write_report(findings: Findings, tables: Iterable[Table], file: Path) -> Path:
    """Write the report, atomically."""
    demo = findings.demo
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{html.escape(demo.name)}: what was found</title><style>{STYLE}</style></head><body>
<h1>{html.escape(demo.name)}: what was found</h1>
<p>{html.escape(demo.description)}.</p>
<div class="tables">{"".join(map(table_html, tables))}</div>
{pictures_html(findings)}
<h2>The path: drag it</h2>
<iframe title="The regularisation path, draggable" srcdoc="{html.escape(panel_page(findings))}"></iframe>
<details><summary>The model card</summary><pre>{html.escape(demo.card)}</pre></details>
</body></html>
"""
    with atomic_path(file) as partial:
        partial.write_text(page, encoding="utf-8")
    return file


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
    image = Image.fromarray(sheet if sheet.shape[2] == RGB else sheet[:, :, 0])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    name = findings.demo.class_names[findings.class_index]
    title = html.escape(f"What excites {findings.top[0].name} most, among pictures that are no {name}")
    return f'<h2>{title}</h2><img class="sheet" alt="{title}" src="data:image/jpeg;base64,{data}">'


def table_html(table: Table) -> str:
    """One table; every text is escaped."""
    head = "".join(f"<th>{html.escape(word)}</th>" for word in table.header)
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f"<div><table><caption>{html.escape(table.title)}</caption><tr>{head}</tr>{rows}</table>{note}</div>"
    )
