"""Questions about explanations: are they faithful, do they look at different and at few things?"""

from sparse_debug_widgets.evaluate.explanation_metrics import ExplanationMetrics, explanation_metrics
from sparse_debug_widgets.evaluate.faithfulness import f_cls, f_reg
from sparse_debug_widgets.evaluate.inpainting import inpaint
from sparse_debug_widgets.evaluate.locality import locality_from_masks, locality_from_points
from sparse_debug_widgets.evaluate.masking import KeptPixels, keep_top_pixels
from sparse_debug_widgets.evaluate.metric import Metric
from sparse_debug_widgets.evaluate.orthogonality import orthogonality
from sparse_debug_widgets.evaluate.parts import voronoi_weights

__all__ = [
    "ExplanationMetrics",
    "KeptPixels",
    "Metric",
    "explanation_metrics",
    "f_cls",
    "f_reg",
    "inpaint",
    "keep_top_pixels",
    "locality_from_masks",
    "locality_from_points",
    "orthogonality",
    "voronoi_weights",
]
