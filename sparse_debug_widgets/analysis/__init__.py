"""Questions about a model that is wrong: which features, which examples, which cause, and which repair."""

from sparse_debug_widgets.analysis.misclassification import Misclassification, misclassification

__all__ = [
    "Misclassification",
    "misclassification",
]
