"""interpret: what a deep feature means."""

from sparse_debug_widgets.interpret.image_explanations import ImageExplanations
from sparse_debug_widgets.interpret.lime import lime_images, lime_prototypes
from sparse_debug_widgets.interpret.prototypes import Prototypes, find_prototypes
from sparse_debug_widgets.interpret.surrogate import Surrogates, fit_surrogates

__all__ = [
    "ImageExplanations",
    "Prototypes",
    "Surrogates",
    "find_prototypes",
    "fit_surrogates",
    "lime_images",
    "lime_prototypes",
]
