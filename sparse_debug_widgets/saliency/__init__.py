"""Saliency that knows curvature and groups: gradients and their kin, CAFO and CASO, the input Hessian."""

from sparse_debug_widgets.saliency.attribution import Attribution, attribute
from sparse_debug_widgets.saliency.display import display_maps
from sparse_debug_widgets.saliency.excitation.call import Call, Rule
from sparse_debug_widgets.saliency.excitation.excitation import Excitation, excitation
from sparse_debug_widgets.saliency.excitation.rules import EXCITATION_RULES
from sparse_debug_widgets.saliency.methods.context_aware import NotConvergedWarning
from sparse_debug_widgets.saliency.methods.registry import METHODS, Method
from sparse_debug_widgets.saliency.studies.agreement import CurvatureAgreement, curvature_agreement
from sparse_debug_widgets.saliency.studies.eigenpairs import Curvature, curvature
from sparse_debug_widgets.saliency.studies.rank_one import RankOneErrors, rank_one_errors
from sparse_debug_widgets.saliency.studies.sweep import Lambda1Sweep, lambda1_sweep

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
