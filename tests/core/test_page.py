"""Pages of reports: what comes from data is text in them."""

from pathlib import Path

import numpy as np

from sparse_debug_widgets.core.page import (
    Table,
    list_html,
    matrix_html,
    page_html,
    picture_html,
    table_html,
    write_page,
)

EVIL = "</td><script>alert(1)</script>\" onload='x"


def test_every_part_escapes_its_texts() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    parts = [
        list_html([EVIL]),
        table_html(Table(EVIL, (EVIL,), ((EVIL,),), EVIL)),
        table_html(Table(EVIL, (EVIL,), ((EVIL,),), EVIL), wide=True),
        matrix_html(EVIL, [EVIL, "b"], np.array([[3, 1], [0, 0]])),
        picture_html(picture, EVIL),
        picture_html(picture[:, :, :1], EVIL, sheet=True),
        page_html(EVIL, ""),
    ]
    for part in parts:
        assert "<script" not in part
        assert "\" onload='" not in part
        assert "alert(1)" in part


def test_a_page_is_written_whole_also_with_half_a_surrogate_pair(tmp_path: Path) -> None:
    file = write_page(page_html("a \ud83d b", "<p>good</p>"), tmp_path / "new" / "page.html")
    assert "<p>good</p>" in file.read_text(encoding="utf-8")
    assert [path.name for path in file.parent.iterdir()] == ["page.html"]
