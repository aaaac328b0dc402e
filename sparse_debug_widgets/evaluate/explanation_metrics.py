"""All numbers of the thesis' Table 3.1 for the x-features of one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparse_debug_widgets.core.checks import check_known, reject
from sparse_debug_widgets.evaluate.faithfulness import f_cls, f_reg
from sparse_debug_widgets.evaluate.locality import locality_from_masks, locality_from_points
from sparse_debug_widgets.evaluate.metric import Metric
from sparse_debug_widgets.evaluate.orthogonality import orthogonality

if TYPE_CHECKING:
    import pandas as pd

    from sparse_debug_widgets.interpret.xfeatures.xfeatures import XFeatures


@dataclass(frozen=True)
class ExplanationMetrics:
    """Metrics by name, in the order of the thesis' table.

    Attributes:
        metrics: F_reg, F_cls (where logits were given), O1, O2, and with parts locality, and that of the
            1-heatmap.
    """

    metrics: tuple[Metric, ...]

    def __getitem__(self, name: str) -> Metric:
        """A metric by its name; the locality of the 1-heatmap is ``"locality of the 1-heatmap"``."""
        found = {metric.name: metric for metric in self.metrics}
        if name not in found:
            check_known([name], found, "this table", "metric")
        return found[name]

    def to_frame(self) -> pd.DataFrame:
        """One row per metric: value, which direction is better, the best value, notes."""
        import pandas as pd

        return pd.DataFrame(
            {
                "metric": [m.name for m in self.metrics],
                "value": [m.value for m in self.metrics],
                "better": [m.better for m in self.metrics],
                "best": [m.best for m in self.metrics],
                "notes": ["; ".join(m.notes) for m in self.metrics],
            }
        )


def explanation_metrics(
    found: XFeatures,
    *,
    logits: object = None,
    points: object = None,
    boxes: object = None,
    masks: object = None,
    part_names: Sequence[str] | None = None,
) -> ExplanationMetrics:
    """Judge x-features on their gallery (thesis, Sec. 3.3.2).

    Args:
        found: What :func:`~sparse_debug_widgets.interpret.xfeatures.xfeatures.x_features` returned.
        logits: (k, C) the model's scores of the gallery, for F_cls.
        points: (k, P, 2) row and column of the parts, NaN where not visible; or
        masks: (k, P, H, W), one mask a part.
        boxes: (k, 4) of the objects, with ``points``.
        part_names: P names.

    Raises:
        InputError: Points and masks at once, or shapes that do not fit.

    References:
        Khorram, "Toward Disentangling the Activations of the Deep Networks", Oregon State University, 2020,
        section 3.3.2; ``docs/methods/metrics.md``.
    """
    if points is not None and masks is not None:
        reject("masks", "points", "be given alone", "both")
    if boxes is not None and points is None:
        reject("boxes", "locality", "come with points", "boxes alone")
    metrics = [f_reg(found.scores, found.reconstructed)]
    if logits is not None:
        metrics.append(f_cls(logits, found.class_index, found.reconstructed))
    maps, single = found.maps.clip(min=0), found.baseline.clip(min=0)
    metrics += orthogonality(maps)
    if points is not None:
        metrics += [
            locality_from_points(maps, points, boxes, part_names=part_names),
            _renamed(locality_from_points(single, points, boxes, part_names=part_names)),
        ]
    if masks is not None:
        metrics += [
            locality_from_masks(maps, masks, part_names=part_names),
            _renamed(locality_from_masks(single, masks, part_names=part_names)),
        ]
    return ExplanationMetrics(tuple(metrics))


def _renamed(metric: Metric) -> Metric:
    return Metric(
        "locality of the 1-heatmap", metric.value, metric.better, metric.best, metric.details, metric.notes
    )
