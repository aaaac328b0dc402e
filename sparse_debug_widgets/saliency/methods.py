"""The registry of saliency methods: one file and one line adds one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.saliency.context_aware import cafo, caso, smooth_cafo, smooth_caso
from sparse_debug_widgets.saliency.excitation_backprop import excitation_backprop
from sparse_debug_widgets.saliency.gradcam import gradcam
from sparse_debug_widgets.saliency.gradient import Found, gradient, gradient_x_input
from sparse_debug_widgets.saliency.integrated_gradients import integrated_gradients
from sparse_debug_widgets.saliency.smoothgrad import smoothgrad

# method(probe, *, ...) -> Found; the keyword-only parameters are read by core.params
Method: TypeAlias = Callable[..., Found]

METHODS: Registry[Method] = Registry(
    "method",
    {
        "gradient": gradient,
        "gradient_x_input": gradient_x_input,
        "smoothgrad": smoothgrad,
        "integrated_gradients": integrated_gradients,
        "gradcam": gradcam,
        "excitation_backprop": excitation_backprop,
        "cafo": cafo,
        "caso": caso,
        "smooth_cafo": smooth_cafo,
        "smooth_caso": smooth_caso,
    },
)
