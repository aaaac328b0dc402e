"""Features under suspicion, by the errors that they make, and what silencing each of them does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.layers import ClassLayer, Examined
from sparse_debug_widgets.analysis.common.rates import mcnemar
from sparse_debug_widgets.analysis.misclassification import Misclassification
from sparse_debug_widgets.core.progress import Progress, ProgressCallback

N_SUSPECTS = 20
Ints = npt.NDArray[np.int64]


class Blamed(NamedTuple):
    """A feature, the errors that it makes, and what silencing it does to all rows.

    Attributes:
        feature: Its number.
        name: Its name.
        towards: The class that it speaks for in most of its errors.
        errors: Errors whose problematic feature it is.
        explained: Of them, those that end when it is silenced in them.
        mended: Rows that turn right when it is silenced everywhere.
        broken: Rows that turn wrong then.
        p_value: Of McNemar's test, one-sided: that silencing it mends more than it breaks.
        accuracy_silenced: Share of right answers with it silenced.
        worst_class: The class that loses most by that.
        worst_change: Change of that class's share of right answers.
        cause: The part of an example that makes a class by itself and that this feature carries, or "".
    """

    feature: int
    name: str
    towards: str
    errors: int
    explained: int
    mended: int
    broken: int
    p_value: float
    accuracy_silenced: float
    worst_class: str
    worst_change: float
    cause: str = ""


def blamed_features(
    layer: ClassLayer,
    examined: Examined,
    found: Misclassification,
    progress: ProgressCallback,
    carriers: Mapping[int, tuple[str, str]],
    most: int = N_SUSPECTS,
) -> list[Blamed]:
    """Rank features by the errors that end when they are silenced.

    Args:
        layer: The sparse layer.
        examined: The rows that were looked at.
        found: The errors of that layer on those rows.
        progress: Called once a feature; may raise Cancelled.
        carriers: Features that carry a small cause, strongest first, with the class it makes and what it is.
        most: Features that are measured.

    Returns:
        Carriers, then features by the errors that they explain.
    """
    table = found.features(layer.name)
    table = table.sort_values(["explained", "errors"], ascending=False, kind="stable")
    known = {int(row["feature"]): row for row in _rows(table)}
    others = [row for feature, row in known.items() if feature not in carriers][:most]
    rows: list[dict[str, Any]] = []
    for feature, (towards, _) in carriers.items():
        none = {"name": found.feature_names[feature], "errors": 0, "explained": 0}
        rows.append(none | known.get(feature, {}) | {"feature": feature, "prediction": towards})
    rows += others
    before = layer.predictions(examined.z) == examined.labels
    counts = np.bincount(examined.labels, minlength=layer.n_classes)
    blamed: list[Blamed] = []
    for row in rows:
        progress(Progress(len(blamed), len(rows), "silencing one feature after the other"))
        after = layer.without([row["feature"]]).predictions(examined.z) == examined.labels
        gained = np.bincount(examined.labels, after.astype(float) - before, layer.n_classes)
        change = gained / np.maximum(counts, 1)
        worst = int(change.argmin())
        blamed.append(
            Blamed(
                feature=int(row["feature"]),
                name=str(row["name"]),
                towards=str(row["prediction"]),
                errors=int(row["errors"]),
                explained=int(row["explained"]),
                mended=int((after & ~before).sum()),
                broken=int((before & ~after).sum()),
                p_value=mcnemar(before, after, alternative="greater"),
                accuracy_silenced=float(after.mean()),
                worst_class=found.class_names[worst],
                worst_change=float(change[worst]),
                cause=carriers.get(row["feature"], ("", ""))[1],
            )
        )
    return blamed


def table_of(blamed: list[Blamed]) -> dict[str, Any]:
    """The columns of a table of suspects."""
    return {name: tuple(getattr(one, name) for one in blamed) for name in Blamed._fields}


def _rows(table: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 (a DataFrame)
    for _, row in table.iterrows():
        yield dict(row)
