"""The report as a page that anybody can open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.rates import Rate
from sparse_debug_widgets.analysis.debug.stages import SPARSE, STAGES
from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.core.page import (
    Table,
    list_html,
    matrix_html,
    picture_html,
    table_html,
    text,
)

Ints = npt.NDArray[np.int64]
_MATRIX, _ROWS, _NAME = 30, 40, 60
_COLUMNS = {
    "name": "feature",
    "cause": "carries the cause",
    "towards": "speaks for",
    "errors": "errors it makes",
    "explained": "end without it",
    "mended": "mends everywhere",
    "broken": "breaks everywhere",
    "accuracy_silenced": "right without it",
    "worst_class": "class that loses most",
    "worst_change": "by",
}
_SHARES = {"accuracy_silenced": "{:.1%}", "worst_change": "{:+.1%}"}


def share_table(title: str, names: Sequence[str], counts: Ints, hits: Mapping[str, Ints]) -> Table:
    """The shares of right answers of classes or groups, the weakest of the sparse layer first.

    Args:
        title: Above the table.
        names: Of the classes or groups.
        counts: Examples of each.
        hits: Stage to those it is right about.
    """
    shares = np.asarray(hits[SPARSE]) / np.maximum(counts, 1)
    order = np.argsort(np.where(counts > 0, shares, np.inf), kind="stable")[:_ROWS]
    rows = tuple(
        (
            shorten(names[k], _NAME),
            f"{int(counts[k]):,}",
            *(_share(Rate.from_counts(int(found[k]), int(counts[k]))) for found in hits.values()),
        )
        for k in order
    )
    left = len(names) - len(order)
    note = f"The {len(order)} weakest of {len(names):,}." if left else "Weakest first; 95 % intervals."
    return Table(title, ("", "examples", *(STAGES[stage] for stage in hits)), rows, note)


def _share(rate: Rate) -> str:
    if not rate.n:
        return "no examples"
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def confusion_html(names: Sequence[str], matrix: Ints) -> str:
    """The confusions of a layer: the whole matrix, or the commonest pairs of many classes.

    Args:
        names: C names.
        matrix: (C, C) examples of class i that are called j.
    """
    if len(matrix) <= _MATRIX:
        return matrix_html("Rows: the class; columns: the answer of the sparse layer", names, matrix)
    pairs = matrix.copy()
    np.fill_diagonal(pairs, 0)
    order = np.argsort(-pairs, axis=None, kind="stable")[:_ROWS]
    rows = []
    for label, answer in zip(*np.unravel_index(order, pairs.shape), strict=True):
        if pairs[label, answer]:
            both = (shorten(names[int(k)], _NAME) for k in (label, answer))
            rows.append((*both, f"{int(pairs[label, answer]):,}"))
    return table_html(Table("The commonest confusions", ("class", "taken for", "times"), tuple(rows)))


def suspects_html(table: Mapping[str, Sequence[Any]]) -> str:
    """The features under suspicion."""
    rows = tuple(
        tuple(
            _SHARES[name].format(table[name][k]) if name in _SHARES else shorten(str(table[name][k]), _NAME)
            for name in _COLUMNS
        )
        for k in range(len(table["feature"]))
    )
    note = (
        "A feature that a class truly rests on is found here too. Look at its examples (find_prototypes, "
        "features_panel) before it is silenced."
    )
    title = "By the errors that end when the feature is silenced in them"
    return table_html(Table(title, tuple(_COLUMNS.values()), rows, note), wide=True)


def causes_html(
    table: Mapping[str, Sequence[Any]],
    texts: Sequence[Sequence[str]],
    pictures: npt.NDArray[np.uint8] | None,
) -> str:
    """The verdicts of the search for small causes, and the examples that show them.

    Args:
        table: Columns, one row per class.
        texts: Pairs of sentences: as it is, and with the part put in.
        pictures: (Q, 2, H, W, 3) bytes, or None.
    """
    parts = [list_html(str(sentence) for sentence in list(table["sentence"])[:_ROWS])]
    shown = []
    for before, after in texts:
        shown.append(f"<li><q>{text(before)}</q> becomes <q>{text(after)}</q></li>")
    for pair in () if pictures is None else pictures:
        both = picture_html(pair[0], "as it is"), picture_html(pair[1], "with the part put in")
        shown.append(f"<li>{both[0]}</li><li>{both[1]}with the part put in</li>")
    if shown:
        parts.append(f'<ul class="cases">{"".join(shown)}</ul>')
    return "".join(parts)


class Case(NamedTuple):
    """One error as the page shows it.

    Attributes:
        row: Of the example.
        label: Name of its class.
        answer: Name of what it is taken for.
        feature: Name of the feature that makes the error; "" for none.
        without: Name of the answer without that feature.
        margin: Score of the answer less that of the label.
        picture: (H, W, 3) bytes, or None.
        sentence: The sentence, or "".
    """

    row: int
    label: str
    answer: str
    feature: str
    without: str
    margin: float
    picture: npt.NDArray[np.uint8] | None
    sentence: str


def cases_html(cases: Iterable[Case]) -> str:
    """Errors with their examples."""
    told = []
    for case in cases:
        shown = f"<q>{text(case.sentence)}</q> " if case.sentence else ""
        if case.picture is not None:
            shown = picture_html(case.picture, f"example {case.row}")
        why = ""
        if case.feature:
            why = f" because of {text(case.feature, _NAME)}; without it: {text(case.without, _NAME)}"
        told.append(
            f"<li>{shown}<b>{text(case.label, _NAME)}</b> taken for <b>{text(case.answer, _NAME)}</b>{why} "
            f'<span class="note">(example {case.row}, margin {case.margin:.2f})</span></li>'
        )
    return f'<ul class="cases">{"".join(told)}</ul>'
