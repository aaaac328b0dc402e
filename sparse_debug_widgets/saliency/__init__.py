"""Saliency that knows curvature and groups: gradients and their kin, CAFO and CASO, the input Hessian."""

from sparse_debug_widgets.saliency.agreement import CurvatureAgreement, curvature_agreement
from sparse_debug_widgets.saliency.attribution import Attribution, attribute
from sparse_debug_widgets.saliency.context_aware import NotConvergedWarning
from sparse_debug_widgets.saliency.display import display_maps
from sparse_debug_widgets.saliency.eigenpairs import Curvature, curvature
from sparse_debug_widgets.saliency.excitation import Excitation, excitation
from sparse_debug_widgets.saliency.excitation_call import Call, Rule
from sparse_debug_widgets.saliency.excitation_rules import EXCITATION_RULES
from sparse_debug_widgets.saliency.methods import METHODS, Method
from sparse_debug_widgets.saliency.rank_one import RankOneErrors, rank_one_errors
from sparse_debug_widgets.saliency.sweep import Lambda1Sweep, lambda1_sweep

__all__ = [
    "EXCITATION_RULES",
    "METHODS",
    "Attribution",
    "Call",
    "Curvature",
    "CurvatureAgreement",
    "Excitation",
    "Lambda1Sweep",
    "Method",
    "NotConvergedWarning",
    "RankOneErrors",
    "Rule",
    "attribute",
    "curvature",
    "curvature_agreement",
    "display_maps",
    "excitation",
    "lambda1_sweep",
    "rank_one_errors",
]
