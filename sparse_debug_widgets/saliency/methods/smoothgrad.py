"""SmoothGrad: the mean gradient over noisy copies of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from torch import Tensor

from sparse_debug_widgets.core.params import Range
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps
from sparse_debug_widgets.saliency.probe.calls import Of, toward_class
from sparse_debug_widgets.saliency.probe.probe import Probe, noise

SigmaUnits = Literal["range", "absolute"]


def smoothgrad(
    probe: Probe,
    *,
    n_samples: Annotated[int, Range(1, 500)] = 50,
    sigma: Annotated[float, Range(0, 10)] = 0.15,
    sigma_units: SigmaUnits = "range",
    of: Of = "logit",
) -> FoundMaps:
    """Mean gradient over noisy copies of the input (Smilkov et al., 2017).

    One label for all copies of an example. With ``sigma`` 0 it is the gradient.

    Args:
        probe: The live model and its inputs.
        n_samples: Noisy copies.
        sigma: Standard deviation of the noise.
        sigma_units: In units of each example's own range (max - min), as in SmoothGrad's paper, or of the
            input itself.
        of: ``"logit"`` of the target class, or ``"loss"``, its cross-entropy; of the loss the map shows what
            lowers it, so that positive values speak for the class either way.
    """
    probe.begin((n_samples + 1) * probe.batch, "SmoothGrad")
    _ = probe.target
    values = probe.sum_gradients(
        n_samples, noisy_points(probe, sigma, sigma_units), [1 / n_samples] * n_samples, of
    )
    return FoundMaps(toward_class(of) * values, {})


def noisy_points(probe: Probe, sigma: float, units: SigmaUnits) -> Callable[[int], Tensor]:
    """Number of a copy -> noisy inputs (B, ...)."""
    flat = probe.points.flatten(1)
    scale = (flat.amax(1) - flat.amin(1)) * sigma if units == "range" else flat.new_full((len(flat),), sigma)
    scale = scale.view(-1, *[1] * (probe.points.ndim - 1))
    return lambda copy: probe.points + scale * noise(probe, copy)
