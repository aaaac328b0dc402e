"""A report as one HTML file: sentences, tables and pictures for any browser, without scripts or network.

Whatever comes from data or from a model (names, labels, sentences) is text here, never markup.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.core.storage import atomic_path

_TEXT_LIMIT = 400
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
.wide { overflow-x: auto; max-width: 100%; }
.note { color: light-dark(#5c656d, #9aa4ad); max-width: 60ch; margin: 0; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 1rem; padding: 0;
  list-style: none; }
.cases li { overflow-wrap: anywhere; }
.cases img { width: 128px; image-rendering: pixelated; border-radius: 6px; display: block; }
.says li { max-width: 80ch; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class Table:
    """One table of text.

    Attributes:
        title: above the table.
        header: one word per column.
        rows: as many texts as columns, each.
        note: a sentence below, or nothing.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def text(value: object, limit: int = _TEXT_LIMIT) -> str:
    """A text as HTML shows it: on one line, shortened, without markup of its own.

    >>> text("<b>cat</b>")
    '&lt;b&gt;cat&lt;/b&gt;'
    """
    return html.escape(shorten(" ".join(str(value).split()), limit))


def table_html(table: Table, *, wide: bool = False) -> str:
    """One table; every text is escaped.

    Args:
        table: The table.
        wide: It may be wider than the page, and is scrolled then.
    """
    head = "".join(f'<th scope="col">{html.escape(word)}</th>' for word in table.header)
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    name = html.escape(table.title)
    kind = f' class="wide" tabindex="0" role="region" aria-label="{name}"' if wide else ""
    return f"<div{kind}><table><caption>{name}</caption><tr>{head}</tr>{rows}</table>{note}</div>"


def list_html(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return f'<ul class="says">{"".join(f"<li>{text(sentence)}</li>" for sentence in sentences)}</ul>'


def picture_html(pixels: npt.NDArray[Any], alt: str, *, sheet: bool = False) -> str:
    """A picture within the page.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3) bytes.
        alt: What it shows, for those who do not see it.
        sheet: A large one, compressed; as wide as the page.
    """
    from PIL import Image

    data = np.asarray(pixels, np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(data[:, :, 0] if data.ndim == 3 and data.shape[2] == 1 else data)
    if sheet:
        image.save(file, "JPEG", quality=88)
    else:
        image.save(file, "PNG")
    kind, name = ("jpeg", ' class="sheet"') if sheet else ("png", "")
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img{name} alt="{text(alt)}" src="data:image/{kind};base64,{code}">'


def matrix_html(title: str, names: Sequence[str], counts: npt.NDArray[Any]) -> str:
    """A square table of counts whose colours tell their share of the row.

    Args:
        title: Above it.
        names: Of rows and columns.
        counts: (C, C).
    """
    head = "".join(f'<th scope="col">{text(name, 24)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(1, int(row.sum()))
        cells = "".join(
            f'<td style="background:rgba(0,114,178,{0.6 * count / total:.2f})">{int(count) or ""}</td>'
            for count in row
        )
        rows.append(f'<tr><th scope="row">{text(name, 24)}</th>{cells}</tr>')
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(title)}"><table>'
        f"<caption>{text(title)}</caption>"
        f"<tr><td></td>{head}</tr>{''.join(rows)}</table></div>"
    )


def page_html(title: str, body: str) -> str:
    """The whole page.

    Args:
        title: Of the page, escaped here.
        body: Markup that the other functions made.
    """
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{text(title)}</title><style>{STYLE}</style></head><body><main>
<h1>{text(title)}</h1>
{body}
</main></body></html>
"""


def write_page(page: str, file: Path) -> Path:
    """Write a page, atomically."""
    with atomic_path(file) as partial:
        # Half a surrogate pair, which a name may hold, is no UTF-8.
        partial.write_text(page, encoding="utf-8", errors="replace")
    return file
