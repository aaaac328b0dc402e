"""The report of one look at a live model: right and wrong, why, who is to blame, and what a repair does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.rates import Rate
from sparse_debug_widgets.analysis.debug.page import (
    Case,
    cases_html,
    causes_html,
    confusion_html,
    share_table,
    suspects_html,
)
from sparse_debug_widgets.analysis.debug.stages import SPARSE, STAGES
from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice
from sparse_debug_widgets.core.page import Table, list_html, page_html, table_html, write_page
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.core.storage import check_target

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Ints = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DebugReport(Result):
    """All that one look at a model found; made by :func:`debug_report`.

    Of a model that predicts numbers there are only the accuracies (R^2) and the features: class, group and
    error fields are empty then, and ``left_out`` says so.

    Attributes:
        form: "pictures", "sentences", "series" or "rows of numbers".
        split: "train", "validation" or "test": the rows that were looked at.
        labels_are: "labels" of the data, "answers" of the model in their place, or "numbers".
        stages: S names of layers: "dense" (where the network's own is known), "sparse", and "silenced" (the
            sparse one with ``silenced`` held at their mean, where anything is), and "refit" (where a small
            cause was found: the path fitted again on copies that have it by the toss of a coin).
        accuracies: (S,) share of right answers on those rows; R^2 of numbers.
        class_names: C names; none of numbers.
        class_counts: (C,) rows of each class.
        class_hits: (S, C) of them, those that a layer is right about.
        confusion: (S, C, C) rows of class i that a layer calls j.
        group_names: G names; none where no groups were given.
        group_counts: (G,) rows of each group.
        group_hits: (S, G) of them, those that a layer is right about.
        index: Index of the sparse layer on the path.
        strength: Its lambda.
        feature_names: p names.
        used: (U,) features that the sparse layer uses, largest weight first.
        n_nonzero: (R,) nonzero weights of each row of the sparse layer.
        silenced: (M,) features that are silenced in the stage of that name: those that mend more of these
            rows than they break, beyond chance; else those that carry the first small cause.
        error_rows: (E,) rows, in data then test, that the sparse layer is wrong about.
        error_labels: (E,) their classes.
        error_predictions: (E,) what they are taken for.
        error_features: (E,) the feature that speaks most for the wrong class; -1 for none.
        error_gammas: (E,) how much the margin falls when it is silenced.
        error_margins: (E,) score of the prediction less score of the label.
        error_answers: (E,) the answer with that feature silenced.
        error_controls: (E,) the answer with a random used feature silenced.
        suspect_columns: Names of the columns of :attr:`suspects`, in their order.
        suspect_table: These columns.
        shown_rows: (P,) rows whose examples are kept for the report.
        shown_texts: Their sentences, or nothing.
        shown_pictures: (P, H, W, 3) their pictures as bytes, or None.
        sentences: The findings in plain words.
        left_out: What was not done, and why.
        cause_columns: Names of the columns of :attr:`causes`, in their order.
        cause_table: These columns; None where nothing was looked for.
        cause_texts: Pairs of sentences that show the first causes: as it is, and with the part put in.
        cause_pictures: (Q, 2, H, W, 3) the same for pictures, as bytes, or None.
        repair_names: Repairs of the first cause that were measured on coin-tossed copies.
        repair_accuracies: (M,) share of right answers on those.
        repair_worst: (M,) of the worst group.
        repair_groups: Names of the worst groups.
        search_note: Why small causes were not looked for, or nothing.
    """

    kind: ClassVar[str] = "debug_report"
    arrays: ClassVar[Mapping[str, str]] = {
        "stages": "S names",
        "accuracies": "S float",
        "class_names": "C names",
        "class_counts": "C index",
        "class_hits": "S C index",
        "confusion": "S C C index",
        "group_names": "G names",
        "group_counts": "G index",
        "group_hits": "S G index",
        "feature_names": "p names",
        "used": "U index <p",
        "n_nonzero": "R index",
        "silenced": "M index <p",
        "error_rows": "E index",
        "error_labels": "E index <C",
        "error_predictions": "E index <C",
        "error_features": "E class <p",
        "error_gammas": "E float finite",
        "error_margins": "E float finite",
        "error_answers": "E index <C",
        "error_controls": "E index <C",
        "suspect_columns": "q names",
        "shown_rows": "P index",
        "shown_texts": "T names",
        "shown_pictures": "? P H W 3 index",
        "sentences": "n names",
        "left_out": "m names",
        "cause_columns": "c names",
        "cause_pictures": "? Q 2 h w 3 index",
        "repair_names": "F names",
        "repair_accuracies": "? F float",
        "repair_worst": "? F float",
        "repair_groups": "F names",
    }

    form: str
    split: str
    labels_are: str
    stages: tuple[str, ...]
    accuracies: Float64
    class_names: tuple[str, ...]
    class_counts: Ints
    class_hits: Ints
    confusion: Ints
    group_names: tuple[str, ...]
    group_counts: Ints
    group_hits: Ints
    index: int
    strength: float
    feature_names: tuple[str, ...]
    used: Ints
    n_nonzero: Ints
    silenced: Ints
    error_rows: Ints
    error_labels: Ints
    error_predictions: Ints
    error_features: Ints
    error_gammas: Float64
    error_margins: Float64
    error_answers: Ints
    error_controls: Ints
    suspect_columns: tuple[str, ...]
    suspect_table: Mapping[str, Any]
    shown_rows: Ints
    shown_texts: tuple[str, ...]
    shown_pictures: npt.NDArray[np.uint8] | None
    sentences: tuple[str, ...]
    left_out: tuple[str, ...]
    cause_columns: tuple[str, ...] = ()
    cause_table: Mapping[str, Any] | None = None
    cause_texts: tuple[tuple[str, ...], ...] = ()
    cause_pictures: npt.NDArray[np.uint8] | None = None
    repair_names: tuple[str, ...] = ()
    repair_accuracies: Float64 | None = None
    repair_worst: Float64 | None = None
    repair_groups: tuple[str, ...] = ()
    search_note: str = ""

    @property
    def explained(self) -> npt.NDArray[np.bool_]:
        """(E,) errors that are right once their problematic feature is silenced."""
        return np.asarray(self.error_answers == self.error_labels)

    @property
    def suspects(self) -> pd.DataFrame:
        """Features under suspicion, most suspicious first; column ``feature`` holds their numbers.

        ``errors`` are those of which it is the problematic feature, ``explained`` those that end when it is
        silenced in them; ``accuracy_silenced`` is what silencing it everywhere does, and ``worst_change`` is
        what it does to the class that loses most. A feature that a class truly rests on is found here too:
        look at its examples before it is silenced. ``cause`` names the part of an example that makes a class
        by itself, where the search for small causes found one that this feature carries: those come first.
        """
        import pandas as pd

        columns = {name: list(self.suspect_table[name]) for name in self.suspect_columns}
        return pd.DataFrame(columns)

    @property
    def causes(self) -> pd.DataFrame:
        """The search for small fixed causes: one row per class, best evidence first; see :func:`suspects`."""
        import pandas as pd

        table = self.cause_table or {}
        return pd.DataFrame({name: list(table[name]) for name in self.cause_columns})

    def rate(self, stage: str = SPARSE) -> Rate:
        """The share of right answers of a layer, with its interval; no cases of a model of numbers.

        Args:
            stage: One of ``stages``.

        Raises:
            InputError: No such layer in this report.
        """
        place = self.stages.index(check_choice(stage, self.stages, "stage", "this report"))
        return Rate.from_counts(int(self.class_hits[place].sum()), int(self.class_counts.sum()))

    def to_frame(self) -> pd.DataFrame:
        """One row per class and per group: examples, and the share that each layer is right about.

        Of a model that predicts numbers: one row with R^2 of each layer.
        """
        import pandas as pd

        rows: list[dict[str, object]] = []
        parts = (
            ("class", self.class_names, self.class_counts, self.class_hits),
            ("group", self.group_names, self.group_counts, self.group_hits),
        )
        for of, names, counts, hits in parts:
            for k, name in enumerate(names):
                row: dict[str, object] = {"of": of, "name": name, "examples": int(counts[k])}
                for stage, found in zip(self.stages, hits, strict=True):
                    rate = Rate.from_counts(int(found[k]), int(counts[k]))
                    row |= {stage: rate.value, f"{stage}_low": rate.low, f"{stage}_high": rate.high}
                rows.append(row)
        if not rows:
            everything = dict(zip(self.stages, map(float, self.accuracies), strict=True))
            rows = [{"of": "all", "name": "R^2", **everything}]
        return pd.DataFrame(rows)

    def errors(self) -> pd.DataFrame:
        """One row per error of the sparse layer, with the feature that makes it."""
        import pandas as pd

        names = self.class_names
        return pd.DataFrame(
            {
                "row": self.error_rows,
                "label": [names[i] for i in self.error_labels],
                "prediction": [names[i] for i in self.error_predictions],
                "feature": self.error_features,
                "name": [self.feature_names[j] if j >= 0 else "" for j in self.error_features],
                "gamma": self.error_gammas,
                "margin": self.error_margins,
                "answer_silenced": [names[i] for i in self.error_answers],
                "explained": self.explained,
            }
        )

    def plot(self) -> go.Figure:
        """The share of right answers of each class and group, one bar per layer; R^2 of numbers."""
        import plotly.graph_objects as go

        names = (*self.class_names, *self.group_names)
        counts = np.concatenate([self.class_counts, self.group_counts])
        figure = go.Figure()
        for place, stage in enumerate(self.stages):
            hits = np.concatenate([self.class_hits[place], self.group_hits[place]])
            values = hits / np.maximum(counts, 1) if names else self.accuracies[place : place + 1]
            figure.add_bar(x=np.arange(len(values)), y=values, name=STAGES[stage])
        shown = names or ("all",)
        figure.update_xaxes(
            tickvals=np.arange(len(shown)), ticktext=[figures.label(name, 20) for name in shown]
        )
        title = "Right answers of each class and group" if names else "R^2"
        return figures.themed(figure, title=f"{title} ({self.split} rows)", y_title="share")

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML file that any browser shows, without a network or scripts.

        Args:
            path: The file to write; an existing one is replaced.

        Returns:
            The path written.

        Raises:
            StorageError: A folder, or a place where nothing can be written.
        """
        return write_page(self.page(), check_target(path, "the report"))

    def page(self) -> str:
        """The report as the text of an HTML page."""
        parts, tables = [list_html(self.sentences)], []
        for title, names, counts, found in (
            ("Classes", self.class_names, self.class_counts, self.class_hits),
            ("Groups", self.group_names, self.group_counts, self.group_hits),
        ):
            if names:
                tables.append(share_table(title, names, counts, dict(zip(self.stages, found, strict=True))))
        parts.append(f'<div class="tables">{"".join(map(table_html, tables))}</div>')
        if len(self.class_names) > 1:
            matrix = self.confusion[self.stages.index(SPARSE)]
            parts += ["<h2>What is taken for what</h2>", confusion_html(self.class_names, matrix)]
        if self.cause_table:
            parts += [
                "<h2>Small causes</h2>",
                causes_html(self.cause_table, self.cause_texts, self.cause_pictures),
            ]
        if len(self.repair_names) > 1:
            parts.append(self._repairs())
        if self.suspect_table["feature"]:
            parts += ["<h2>Features under suspicion</h2>", suspects_html(self.suspect_table)]
        if len(self.shown_rows):
            parts += ["<h2>The surest errors</h2>", cases_html(self._cases())]
        if self.left_out:
            parts += ["<h2>Left out</h2>", list_html(self.left_out)]
        return page_html("What this model gets wrong, and why", "\n".join(parts))

    def _repairs(self) -> str:
        accuracies, worst = self.repair_accuracies, self.repair_worst
        if accuracies is None or worst is None:
            return ""
        rows = tuple(
            (name, f"{100 * accuracies[k]:.1f} %", f"{100 * worst[k]:.1f} %", self.repair_groups[k])
            for k, name in enumerate(self.repair_names)
        )
        title = "Repairs, on examples that have the first cause by the toss of a coin"
        return table_html(Table(title, ("repair", "right", "worst group", "which"), rows), wide=True)

    def _cases(self) -> Iterator[Case]:
        names, where = self.class_names, {int(row): k for k, row in enumerate(self.error_rows)}
        for place, row in enumerate(self.shown_rows):
            k = where[int(row)]
            feature = int(self.error_features[k])
            yield Case(
                row=int(row),
                label=names[self.error_labels[k]],
                answer=names[self.error_predictions[k]],
                feature=self.feature_names[feature] if feature >= 0 else "",
                without=names[self.error_answers[k]],
                margin=float(self.error_margins[k]),
                picture=None if self.shown_pictures is None else self.shown_pictures[place],
                sentence=self.shown_texts[place] if self.shown_texts else "",
            )

    def __repr__(self) -> str:
        return "\n".join(
            ["DebugReport", *(f"- {sentence}" for sentence in (*self.sentences, *self.left_out))]
        )

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if set(self.stages) - set(STAGES) or len(set(self.stages)) != len(self.stages):
            yield f"stages {self.stages}"
        if SPARSE not in self.stages:
            yield "no sparse layer"
        tables = (
            ("suspects", self.suspect_columns, self.suspect_table),
            ("causes", self.cause_columns, self.cause_table or {}),
        )
        for name, columns, table in tables:
            lengths = {len(column) if isinstance(column, list | tuple) else -1 for column in table.values()}
            if set(columns) != set(table) or len(lengths) > 1 or -1 in lengths:
                yield f"columns of {name} that do not fit together"
        if not set(self.shown_rows.tolist()) <= set(self.error_rows.tolist()):
            yield "examples that are no errors"
        if self.shown_texts and len(self.shown_texts) != len(self.shown_rows):
            yield "other sentences than rows that are shown"
        if (self.class_hits > self.class_counts).any() or (self.group_hits > self.group_counts).any():
            yield "more right answers than examples"
