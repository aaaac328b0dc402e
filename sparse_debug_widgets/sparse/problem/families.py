"""The families of labels: one object for each, asked by everybody who says or shows something.

A family knows its loss, which row of weights speaks for a class and with which sign, and what people call its
score and its rows. Nothing outside compares the names of families; a page gets :meth:`Family.words`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.outputs import Place, place_of
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.sparse.problem.losses import Binomial, Gaussian, Loss, Multinomial
from sparse_debug_widgets.sparse.rows.row_source import Total

Array = npt.NDArray[Any]
_HALF = 0.5
_TWO = 2


@dataclass(frozen=True)
class Family:
    """One kind of labels.

    Attributes:
        name: What ``family=`` calls it.
        score: What its score is called: accuracy, or R squared.
        column: What the score is called in the columns of tables.
        percent: Is the score a share, shown in per cent?
        one: What people call one of the things that have weights: a class, or an output.
        many: Several of these.
        raises: What a positive weight or contribution is.
        lowers: What a negative one is.
        weight_unit: What a weight of 1 does.
        rule: What the rule is called that chooses the sparsest layer that is nearly as good as the best.
        near: How near to the best that rule stays, in words.
        single_row: Do two classes share one row of weights? It is class 1's; class 0's is its negative.
        numbers: Are labels numbers to predict, not classes?
        make_loss: Binds the loss to targets: class indices (n,), or numbers (m, n).
    """

    name: str
    score: str
    column: str
    percent: bool
    one: str
    many: str
    raises: str
    lowers: str
    weight_unit: str
    rule: str
    near: str
    single_row: bool
    numbers: bool
    make_loss: Callable[[torch.Tensor, int, torch.Tensor | None, int, Total], Loss]

    def allows(self, n_classes: int | None) -> bool:
        """Say whether labels of so many classes can be fitted; None for labels that are numbers."""
        if self.numbers:
            return True
        return n_classes == _TWO if self.single_row else n_classes is not None

    def n_rows(self, n_names: int) -> int:
        """Rows of weights that so many classes or outputs have."""
        return 1 if self.single_row else n_names

    def place(self, index: int) -> Place:
        """The row and the sign of a class."""
        return place_of(index, lone=self.single_row)

    def of_class(self, rows: Array, index: int) -> Array:
        """The weights of a class out of rows of weights (..., C, p): (..., p)."""
        row, sign = self.place(index)
        weights = rows[..., row, :]
        return weights if sign > 0 else 0.0 - weights

    def for_classes(self, rows: Array, n_names: int, axis: int = -2) -> Array:
        """Something that both classes of a single row share, once for each class."""
        return np.repeat(rows, n_names, axis) if self.single_row else rows

    def scores(self, rows: Array) -> Array:
        """Scores (..., classes) of the answers (..., C) of a fitted layer; of a single row z: -z and z."""
        return np.concatenate([-rows, rows], -1) if self.single_row else rows

    def probabilities(self, rows: Array) -> Array:
        """Probabilities (..., classes) of the answers (..., C) of a fitted layer."""
        logits = self.scores(rows) * (_HALF if self.single_row else 1.0)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        return np.asarray(shares / shares.sum(-1, keepdims=True))

    def measure(self, outputs: Array, labels: Array) -> float:
        """Share of right predictions, or R squared, of outputs (n, C); NaN where it is not defined."""
        if self.numbers:
            targets = labels.reshape(outputs.shape).astype(np.float64)
            left, total = ((targets - outputs) ** 2).sum(), ((targets - targets.mean(0)) ** 2).sum()
            return float(1 - left / total) if total > 0 else float("nan")
        rows = outputs.reshape(len(outputs), -1)
        # A model may have one logit or two whatever the path was fitted as: class 1 is z > 0.
        chosen = rows[:, 0] > 0 if rows.shape[1] == 1 else rows.argmax(1)
        return float((chosen.astype(np.int64) == labels.reshape(-1)).mean())

    def write(self, score: float) -> str:
        """A score for people."""
        if not np.isfinite(score):
            return "\N{EN DASH}"
        return f"{100 * score:.1f} %" if self.percent else f"{score:.3f}"

    def words(self) -> dict[str, Any]:
        """Return the words that a page uses."""
        return {
            "score": self.score,
            "percent": self.percent,
            "one": self.one,
            "shared": self.single_row,
            "many": self.many,
            "raises": self.raises,
            "lowers": self.lowers,
            "weightUnit": self.weight_unit,
            "ruleName": self.rule,
            "near": self.near,
        }


def _classes(
    name: str, make_loss: Callable[[torch.Tensor, int, torch.Tensor | None, int, Total], Loss], one_row: bool
) -> Family:
    return Family(
        name=name,
        score="accuracy",
        column="accuracy",
        percent=True,
        one="class",
        many="classes",
        raises="for the class",
        lowers="against it",
        weight_unit="logit per standard deviation of the feature",
        rule="5-point rule",
        near="5 points",
        single_row=one_row,
        numbers=False,
        make_loss=make_loss,
    )


_KNOWN = (
    _classes("multinomial", lambda y, c, s, n, total: Multinomial(y, c, s, n=n, total=total), one_row=False),
    _classes("binomial", lambda y, _, s, n, total: Binomial(y, s, n=n, total=total), one_row=True),
    Family(
        name="gaussian",
        score="R\N{SUPERSCRIPT TWO}",
        column="r2",
        percent=False,
        one="output",
        many="outputs",
        raises="raises the output",
        lowers="lowers it",
        weight_unit="units of the output per standard deviation of the feature",
        rule="0.05 rule",
        near="0.05",
        single_row=False,
        numbers=True,
        make_loss=lambda y, _, s, n, total: Gaussian(y, s, n=n, total=total),
    ),
)
FAMILIES: Registry[Family] = Registry("family", {family.name: family for family in _KNOWN})
"""Name -> family. To add one: a loss in ``losses``, and one line above."""


def allowed_families(n_classes: int | None) -> tuple[str, ...]:
    """Families that labels of so many classes allow, the natural one first; None for numbers."""
    return tuple(name for name, family in FAMILIES.items() if family.allows(n_classes))


def leanest_family(n_classes: int | None) -> str:
    """The family with the fewest rows of weights for so many classes; None for numbers."""
    fits = [FAMILIES[name] for name in allowed_families(n_classes)]
    if n_classes is None:
        return fits[0].name
    classes = [family for family in fits if not family.numbers]
    return min(classes, key=lambda family: family.n_rows(n_classes)).name
