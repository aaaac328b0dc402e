"""interpret: what a deep feature means."""

from sparse_debug_widgets.interpret.lime.image_explanations import ImageExplanations
from sparse_debug_widgets.interpret.lime.lime_images import lime_images, lime_prototypes
from sparse_debug_widgets.interpret.lime.lime_text import lime_text
from sparse_debug_widgets.interpret.lime.surrogate import Surrogates, fit_surrogates
from sparse_debug_widgets.interpret.lime.text_explanations import TextExplanations
from sparse_debug_widgets.interpret.lime.wordcloud import WordClouds, word_clouds
from sparse_debug_widgets.interpret.order.feature_order import FeatureOrder, feature_order
from sparse_debug_widgets.interpret.prototypes.prototypes import Prototypes, find_prototypes
from sparse_debug_widgets.interpret.visualize.visualize import Visualizations, visualize_features
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe, Terms
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations, read_layer
from sparse_debug_widgets.interpret.xfeatures.srae.methods import METHODS as EXPLANATION_METHODS
from sparse_debug_widgets.interpret.xfeatures.srae.result import ClassExplanation
from sparse_debug_widgets.interpret.xfeatures.srae.srae import ExplanationWarning, fit_explanation
from sparse_debug_widgets.interpret.xfeatures.xfeatures import XFeatures, x_features

__all__ = [
    "EXPLANATION_METHODS",
    "ClassExplanation",
    "ExplanationWarning",
    "FeatureOrder",
    "ImageExplanations",
    "LayerActivations",
    "Prototypes",
    "Recipe",
    "Surrogates",
    "Terms",
    "TextExplanations",
    "Visualizations",
    "WordClouds",
    "XFeatures",
    "feature_order",
    "find_prototypes",
    "fit_explanation",
    "fit_surrogates",
    "lime_images",
    "lime_prototypes",
    "lime_text",
    "read_layer",
    "visualize_features",
    "word_clouds",
    "x_features",
]
