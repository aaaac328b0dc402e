"""The front end's files keep to their width: the formatter leaves strings and comments as they are."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WIDTH = 120
FILES = sorted(
    path
    for folder, kinds in (("sparse_debug_widgets", ("*.js", "*.css")), ("tests/front_end", ("*.mjs", "*.ts")))
    for kind in kinds
    for path in (ROOT / folder).rglob(kind)
    if not {"node_modules", "generated"} & set(path.parts)
)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_line_is_wider(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [f"{number}: {line}" for number, line in enumerate(lines, 1) if len(line) > WIDTH] == []


def test_there_are_files():
    assert len(FILES) > 80
