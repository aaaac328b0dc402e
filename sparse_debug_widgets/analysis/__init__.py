"""Questions about a model that is wrong: which features, which examples, which cause, and which repair."""

from sparse_debug_widgets.analysis.ablation import Ablation, ablation
from sparse_debug_widgets.analysis.bias_probe import BiasProbe, bias_probe
from sparse_debug_widgets.analysis.confusion import Confusion, confusion
from sparse_debug_widgets.analysis.debug.debug_report import debug_report
from sparse_debug_widgets.analysis.debug.report import DebugReport
from sparse_debug_widgets.analysis.misclassification import Misclassification, misclassification
from sparse_debug_widgets.analysis.suspects.suspects import Suspects, suspects

__all__ = [
    "Ablation",
    "BiasProbe",
    "Confusion",
    "DebugReport",
    "Misclassification",
    "Suspects",
    "ablation",
    "bias_probe",
    "confusion",
    "debug_report",
    "misclassification",
    "suspects",
]
