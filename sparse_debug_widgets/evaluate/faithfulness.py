"""Faithfulness: does the explanation predict what the model says? (thesis, Sec. 3.3.2, point 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_finite, check_int, reject
from sparse_debug_widgets.evaluate.metric import Metric, read_vector

_WHAT = "faithfulness"


def f_reg(scores: object, reconstructed: object) -> Metric:
    """F_reg, the mean absolute error of the explained score; lower is better.

    Args:
        scores: (M,) the model's score (logit) of the explained class on each image.
        reconstructed: (M,) what the explanation says it is.

    Returns:
        In units of the score. ``details``: ``"R2"`` (NaN where the scores are constant) and
        ``"baseline"``, the error of a constant, which an explanation has to beat.

    Raises:
        InputError: Not such numbers, or not as many of one as of the other.
    """
    wanted, found = _pair(scores, reconstructed)
    error = np.abs(found - wanted)
    spread = np.abs(wanted - np.median(wanted)).mean()
    variance = ((wanted - wanted.mean()) ** 2).mean()
    constant = variance <= (1e-12 * max(1.0, np.abs(wanted).max())) ** 2
    notes = ("the score is constant: a constant explains it, R2 is not defined",) if constant else ()
    r2 = float("nan") if constant else float(1 - (error**2).mean() / variance)
    details = {"R2": r2, "baseline": float(spread), "n": len(wanted)}
    return Metric("F_reg", float(error.mean()), "lower", 0.0, details, notes)


def f_cls(logits: object, class_index: int, reconstructed: object) -> Metric:
    """F_cls, the share of decisions that stay when one logit is replaced; higher is better.

    Args:
        logits: (M, C) the model's scores before the softmax.
        class_index: The explained class.
        reconstructed: (M,) what the explanation says its score is.

    Returns:
        A share. ``details``: ``"positives"``, the same share among the images that the model gives to the
        class (NaN where there are none), and ``"baseline"``, the share that a constant keeps: with many
        classes most decisions do not involve the explained one.

    Raises:
        InputError: Not such numbers, one class only, or a class that does not exist.
    """
    scores = np.asarray(logits)
    if scores.dtype.kind not in "iuf" or scores.ndim != 2 or not len(scores) or scores.shape[1] < 2:
        must = "be logits (images, classes) of at least two classes"
        reject("logits", _WHAT, must, f"{scores.dtype} of shape {scores.shape}")
    check_finite(scores, "logits", _WHAT)
    check_int(class_index, "class_index", _WHAT, low=0, high=scores.shape[1] - 1)
    wanted, found = _pair(scores[:, class_index], reconstructed)
    before = scores.argmax(axis=1)
    same = _decisions(scores, class_index, found) == before
    constant = _decisions(scores, class_index, np.full_like(wanted, np.median(wanted))) == before
    positive = before == class_index
    notes = []
    if not positive.any():
        notes.append("the model gives no image to the class: only false alarms can be seen")
    if positive.all():
        notes.append("the model gives every image to the class: only misses can be seen")
    details = {
        "positives": float(same[positive].mean()) if positive.any() else float("nan"),
        "baseline": float(constant.mean()),
        "n": len(wanted),
    }
    return Metric("F_cls", float(same.mean()), "higher", 1.0, details, tuple(notes))


def _decisions(scores: npt.NDArray[Any], class_index: int, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    replaced = scores.astype(np.float64)
    replaced[:, class_index] = values
    return np.asarray(replaced.argmax(axis=1))


def _pair(scores: object, reconstructed: object) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    wanted = read_vector(scores, "scores", _WHAT)
    found = read_vector(reconstructed, "reconstructed", _WHAT)
    if len(found) != len(wanted):
        reject("reconstructed", "the scores", f"hold {len(wanted)} numbers", str(len(found)))
    return wanted, found
