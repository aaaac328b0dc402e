"""Input gradients: the plain one, and gradient times input."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from sparse_debug_widgets.saliency.probe.calls import Of, toward_class
from sparse_debug_widgets.saliency.probe.probe import Probe


class FoundMaps(NamedTuple):
    """The return value of a method.

    Attributes:
        values: (B, ...) signed, shape of the inputs (for tokens: of their embeddings).
        details: JSON-able; a number per example where it is a tuple.
    """

    values: Tensor
    details: dict[str, Any]


def gradient(probe: Probe, *, of: Of = "logit") -> FoundMaps:
    """Gradient of a class's logit, or of its loss, with respect to the input (Simonyan et al., 2014).

    Args:
        probe: The live model and its inputs.
        of: ``"logit"`` of the target class, or ``"loss"``, its cross-entropy; of the loss the map shows what
            lowers it, so that positive values speak for the class either way.
    """
    probe.begin(probe.batch, "gradient")
    return FoundMaps(toward_class(of) * probe.gradient(of), {})


def gradient_x_input(probe: Probe, *, of: Of = "logit") -> FoundMaps:
    """Gradient times input: exact contributions where the model is linear.

    Where the input is 0 the value is 0, whatever the model does with it (the paper of CASO, appendix D,
    argues against it for that reason).

    Args:
        probe: The live model and its inputs.
        of: ``"logit"`` of the target class, or ``"loss"``, its cross-entropy; of the loss the map shows what
            lowers it, so that positive values speak for the class either way.
    """
    probe.begin(probe.batch, "gradient")
    return FoundMaps(toward_class(of) * probe.gradient(of) * probe.points, {})
