"""The examples that an explanation network learns from, their weights, and its fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations

Array = npt.NDArray[Any]
_WHAT = "an explanation network"
_HELD_OUT = 0.2
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows that are fitted, with their weights.

    Attributes:
        source: The activations that the rows are of.
        rows: (M,) rows of ``source`` to learn from.
        positive: (M,) bool.
        weights: (M,) mean 1; positives and negatives weigh the same in all.
        held: Activations to test with.
        held_rows: Rows of ``held``.
        class_index: The class.
    """

    source: LayerActivations
    rows: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]
    held: LayerActivations
    held_rows: npt.NDArray[np.int64]
    class_index: int

    @property
    def activations(self) -> Array:
        """(M, p) or (M, p, h, w), raw units."""
        return np.asarray(self.source.values[self.rows])

    @property
    def targets(self) -> npt.NDArray[np.float64]:
        """(M,) the model's scores of the class."""
        return np.asarray(self.source.scores[self.rows, self.class_index], np.float64)


def is_positive(source: LayerActivations, class_index: int) -> npt.NDArray[np.bool_]:
    """(N,) examples of the class: by their labels, or by the model's decision where there are none."""
    decided = source.scores.argmax(1)
    return np.asarray(np.where(source.labels >= 0, source.labels, decided) == class_index)


def choose_rows(
    source: LayerActivations,
    held: LayerActivations | None,
    class_index: int,
    n: int,
    n_negatives: int,
    seed: int,
) -> Chosen:
    """Rows to learn from and rows to test with.

    Raises:
        InputError: No such class, fewer than n positives, a score that is the same for all examples,
            activations that are all 0, or held-out activations of something else.
    """
    classes = source.scores.shape[1]
    check_int(class_index, "class_index", f"a model of {classes} classes", low=0, high=classes - 1)
    check_int(n_negatives, "n_negatives", _WHAT)
    if held is not None and (held.tap != source.tap or held.values.shape[1:] != source.values.shape[1:]):
        must = f"be of layer {source.tap.layer!r}, like those that it learns from"
        reject("the held-out activations", _WHAT, must, f"layer {held.tap.layer!r}")
    rng = generator(seed, "x-features", "rows")
    positive = is_positive(source, class_index)
    parts = [rng.permutation(np.flatnonzero(positive == side)) for side in (True, False)]
    kept, spared = parts, [part[:0] for part in parts]
    if held is None:
        shares = [round(_HELD_OUT * len(part)) for part in parts]
        spared = [part[:share] for part, share in zip(parts, shares, strict=True)]
        kept = [part[share:] for part, share in zip(parts, shares, strict=True)]
    needed = max(n, 2)
    if len(kept[0]) < needed:
        beside = f" beside {len(spared[0])} held out" if len(spared[0]) else ""
        refuse(
            f"Class {class_index} has {len(kept[0])} examples{beside}, and {n} x-features need at least "
            f"{needed} to learn from. Ask for fewer x-features, or pass more data."
        )
    rows = np.sort(np.concatenate([kept[0], kept[1][:n_negatives]]))
    held_rows = np.arange(len(held.labels)) if held else np.sort(np.concatenate(spared))
    sides = positive[rows]
    share = max(float(sides.mean()), 1e-12)
    weights = (
        np.where(sides, 0.5 / share, 0.5 / max(1 - share, 1e-12)) if not sides.all() else np.ones(len(rows))
    )
    found = Chosen(source, rows, sides, weights, held or source, held_rows, class_index)
    _check(found)
    return found


def _check(chosen: Chosen) -> None:
    targets = chosen.targets
    spread = float(np.ptp(targets))
    if spread <= _ROUNDING * max(1.0, float(np.abs(targets).max())):
        refuse(
            f"The score of class {chosen.class_index} is {targets[0]:.4g} for all examples: nothing is "
            "left to explain. Is the model trained, and are the inputs scaled as it expects them?"
        )
    if not chosen.activations.any():
        refuse(
            f"Layer {chosen.source.tap.layer!r} gives 0 for every example, so that nothing can be learned "
            "from it. Name another layer."
        )


def fidelity(scores: Array, class_index: int, mimicked: Array) -> dict[str, float]:
    """Measure how faithful mimicked scores are (thesis, 3.3.2).

    Args:
        scores: (N, C) of the model.
        class_index: The class whose score is mimicked.
        mimicked: (N,) its approximation.

    Returns:
        "F_reg", the mean absolute error in logits; "F_cls", the share of decisions that stay when the
        class's score is replaced; "R2". NaN without examples.
    """
    if len(scores) == 0:
        return dict.fromkeys(("F_reg", "F_cls", "R2"), float("nan"))
    wanted = np.asarray(scores[:, class_index], np.float64)
    replaced = np.array(scores, np.float64)
    replaced[:, class_index] = mimicked
    if scores.shape[1] == 2 and (scores[:, 0] == -scores[:, 1]).all():
        # One logit: the other class has no score of its own.
        replaced[:, 1 - class_index] = -np.asarray(mimicked, np.float64)
    residual = float(np.square(mimicked - wanted).sum())
    spread = float(np.square(wanted - wanted.mean()).sum())
    return {
        "F_reg": float(np.abs(mimicked - wanted).mean()),
        "F_cls": float((replaced.argmax(1) == scores.argmax(1)).mean()),
        "R2": 1 - residual / spread if spread > 0 else float("nan"),
    }
