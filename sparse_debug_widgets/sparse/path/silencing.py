"""Scores of a path's layers on given rows with features silenced, at every strength and one by one.

A silenced feature is held at its mean, which is 0 in standardised units: its weights are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
Silent = tuple[int, int | None]
"""A feature, and the class that it is silenced for; None: for all."""
_CHUNK = 4096


class Trial(NamedTuple):
    """One feature silenced, beside those that are silenced already.

    Attributes:
        feature: Its number.
        weight: Of the class looked at, standardised units.
        score: Of the layer without it.
        change: That score less the score with it.
        mended: Rows that are right without it and were wrong with it; 0 for a regression.
        broken: Rows that are wrong without it and were right with it; 0 for a regression.
    """

    feature: int
    weight: float
    score: float
    change: float
    mended: int
    broken: int


def standardized_columns(path: RegularizationPath, values: Array) -> npt.NDArray[np.float32]:
    """Raw features (n, p) in the path's units, one row per feature: (p, n), as sparse products want them."""
    columns = np.empty((path.n_features, len(values)), np.float32)
    for first in range(0, len(values), _CHUNK):
        part = slice(first, first + _CHUNK)
        columns[:, part] = ((np.asarray(values[part], np.float64) - path.mean) / path.scale).T
    return columns


def scores_along(
    path: RegularizationPath,
    columns: npt.NDArray[np.float32],
    labels: Array,
    silenced: Sequence[Silent] = (),
    *,
    budget: float | None = None,
    progress: ProgressCallback = lambda _: None,
) -> npt.NDArray[np.float64]:
    """Score of the layer of each strength on some rows.

    Args:
        path: The path.
        columns: Features of the rows, see :func:`standardized_columns`.
        labels: (n,) classes, or targets.
        silenced: Features that are left out.
        budget: Multiplications to spend; where all strengths take more, evenly spaced ones are scored. None:
            score all.
        progress: Called once a strength; may raise Cancelled.

    Returns:
        (K,) scores, NaN where none was computed.
    """
    K, n = path.n_lambdas, len(labels)
    step = 1
    if budget is not None:
        cost = (float(path.n_nonzero.sum()) + 2.0 * K * path.n_rows) * n
        step = max(1, int(np.ceil(cost / budget)))
    scores = np.full(K, np.nan)
    chosen = [k for k in range(K) if (K - 1 - k) % step == 0]
    for count, k in enumerate(chosen):
        progress(Progress(count, len(chosen), f"strength {k + 1} of {K}"))
        weights = _without(path, k, silenced)
        answers = np.asarray(path.sparse_rows(k, weights) @ columns) + path.intercepts[k][:, None]
        scores[k] = path.labels_are.measure(answers.T, labels)
    return scores


def try_each(
    path: RegularizationPath,
    index: int,
    columns: npt.NDArray[np.float32],
    labels: Array,
    class_index: int,
    silenced: Sequence[Silent] = (),
    *,
    everywhere: bool = True,
    progress: ProgressCallback = lambda _: None,
) -> list[Trial]:
    """Silence each feature of a class on its own, beside those that are silenced, best first.

    Args:
        path: The path.
        index: The strength.
        columns: Features of the rows, see :func:`standardized_columns`.
        labels: (n,) classes, or targets.
        class_index: The class whose features are tried.
        silenced: Features that are silenced already.
        everywhere: Silence a feature for all classes; else for this one only.
        progress: Called once a feature; may raise Cancelled.

    Returns:
        One trial for each feature with a weight in the class.
    """
    kind, weights = path.labels_are, path.weights_at(index)
    for feature, spoken in silenced:
        weights[slice(None) if spoken is None else kind.place(spoken).row, feature] = 0.0
    answers = (weights @ columns + path.intercepts[index][:, None]).T
    before, right = kind.measure(answers, labels), _right(kind.numbers, answers, labels)
    own = kind.of_class(weights, class_index)
    trials = []
    features = np.flatnonzero(own)
    for count, j in enumerate(features.tolist()):
        progress(Progress(count, len(features), f"feature {count + 1} of {len(features)}"))
        rows = np.flatnonzero(weights[:, j]) if everywhere else np.array([kind.place(class_index).row])
        changed = answers.copy()
        changed[:, rows] -= np.outer(columns[j], weights[rows, j])
        score, now = kind.measure(changed, labels), _right(kind.numbers, changed, labels)
        mended, broken = int((now & ~right).sum()), int((right & ~now).sum())
        trials.append(Trial(j, float(own[j]), score, score - before, mended, broken))
    return sorted(trials, key=lambda trial: (-trial.score, trial.feature))


def trials_frame(path: RegularizationPath, trials: Iterable[Trial]) -> pd.DataFrame:
    """Trials as a table with the features' names."""
    import pandas as pd

    frame = pd.DataFrame(list(trials), columns=list(Trial._fields))
    frame.insert(1, "name", [path.feature_names[j] for j in frame["feature"]])
    return frame


def _without(path: RegularizationPath, k: int, silenced: Sequence[Silent]) -> npt.NDArray[np.float32]:
    """The nonzero weights of a strength, those of silenced features as 0."""
    rows, features, weights = path.entries(k)
    quiet = weights.astype(np.float32)
    for feature, spoken in silenced:
        hit = features == feature
        if spoken is not None:
            hit &= rows == path.labels_are.place(spoken).row
        quiet[hit] = 0.0
    return quiet


def _right(numbers: bool, answers: Array, labels: Array) -> npt.NDArray[np.bool_]:
    if numbers:
        return np.zeros(len(answers), bool)
    chosen = answers[:, 0] > 0 if answers.shape[1] == 1 else answers.argmax(1)
    return np.asarray(chosen.astype(np.int64) == labels.reshape(-1))
