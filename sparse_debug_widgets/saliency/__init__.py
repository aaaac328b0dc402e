"""Saliency that knows curvature and groups: gradients and their kin, CAFO and CASO, the input Hessian."""

from sparse_debug_widgets.saliency.attribution import Attribution, attribute
from sparse_debug_widgets.saliency.context_aware import NotConvergedWarning
from sparse_debug_widgets.saliency.methods import METHODS

__all__ = ["METHODS", "Attribution", "NotConvergedWarning", "attribute"]
