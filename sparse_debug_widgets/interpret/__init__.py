"""interpret: what a deep feature means."""

from sparse_debug_widgets.interpret.feature_order import FeatureOrder, feature_order
from sparse_debug_widgets.interpret.image_explanations import ImageExplanations
from sparse_debug_widgets.interpret.lime import lime_images, lime_prototypes
from sparse_debug_widgets.interpret.lime_text import lime_text
from sparse_debug_widgets.interpret.prototypes import Prototypes, find_prototypes
from sparse_debug_widgets.interpret.surrogate import Surrogates, fit_surrogates
from sparse_debug_widgets.interpret.text_explanations import TextExplanations
from sparse_debug_widgets.interpret.visualize import Visualizations, visualize_features
from sparse_debug_widgets.interpret.wordcloud import WordClouds, word_clouds
from sparse_debug_widgets.interpret.xfeatures import XFeatures

__all__ = [
    "FeatureOrder",
    "ImageExplanations",
    "Prototypes",
    "Surrogates",
    "TextExplanations",
    "Visualizations",
    "WordClouds",
    "XFeatures",
    "feature_order",
    "find_prototypes",
    "fit_surrogates",
    "lime_images",
    "lime_prototypes",
    "lime_text",
    "visualize_features",
    "word_clouds",
]
