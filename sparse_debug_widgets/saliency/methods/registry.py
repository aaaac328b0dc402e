"""The registry of saliency methods: one file and one line adds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sparse_debug_widgets.core.meaning import Meaning
from sparse_debug_widgets.core.params import Parameter, read_parameters
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.saliency.curvature.hessian import Copies
from sparse_debug_widgets.saliency.methods.context_aware import (
    Maximisation,
    cafo,
    caso,
    first_order_problem,
    second_order_problem,
    smooth_cafo,
    smooth_caso,
)
from sparse_debug_widgets.saliency.methods.excitation_backprop import excitation_backprop
from sparse_debug_widgets.saliency.methods.gradcam import gradcam
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps, gradient, gradient_x_input
from sparse_debug_widgets.saliency.methods.integrated_gradients import integrated_gradients
from sparse_debug_widgets.saliency.methods.smoothgrad import smoothgrad
from sparse_debug_widgets.saliency.probe.probe import Probe

Passes: TypeAlias = Callable[[Mapping[str, Any]], float]
ProblemMaker: TypeAlias = Callable[[Probe, Copies | None, float, float], Maximisation]
_SECOND_ORDER = 6.0


def _one_pass(_settings: Mapping[str, Any]) -> float:
    return 1.0


@dataclass(frozen=True)
class Method:
    """A saliency method, with what panels, code and sweeps ask about it.

    Attributes:
        run: ``run(probe, *, ...) -> Found``; its keyword-only parameters are what a person may choose.
        passes: The work in passes through the model, roughly, given the parameters; for progress bars.
        random: It asks copies of the input with noise: the seed decides what it finds.
        problem: ``problem(probe, copies, c1, tol)``, the maximisation that a sweep over lambda_1 solves,
            with the noisy copies of a random method; None: nothing to sweep over.
        meaning: What the "?" beside its name tells; None: the first line of its documentation.
    """

    run: Callable[..., FoundMaps]
    passes: Passes = _one_pass
    random: bool = False
    problem: ProblemMaker | None = None
    meaning: Meaning | None = None

    def __call__(self, probe: Probe, **settings: Any) -> FoundMaps:  # noqa: ANN401 - the method's own
        """Explain what the probe holds."""
        return self.run(probe, **settings)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The settings that a person may choose."""
        return read_parameters(self.run)

    def cost(self, settings: Mapping[str, Any]) -> float:
        """The work in passes through the model, roughly; what is not said has its default."""
        return float(self.passes({p.name: p.default for p in self.parameters} | dict(settings)))

    @property
    def summary(self) -> str:
        """The first line of its documentation."""
        return (self.run.__doc__ or "").split("\n")[0]


METHODS: Registry[Method] = Registry(
    "method",
    {
        "gradient": Method(
            gradient,
            meaning=Meaning(
                "How much the score of the class would change if this one value were a little larger: the "
                "slope of the score, not what the value has added to it.",
                "map = ∂s/∂x,   s the logit of the class, or minus its loss",
            ),
        ),
        "gradient_x_input": Method(
            gradient_x_input,
            meaning=Meaning(
                "The slope of the score times the value itself: in a linear model, what each value adds to "
                "the score; a value of 0 counts nothing.",
                "mapᵢ = xᵢ ∂s/∂xᵢ",
            ),
        ),
        "smoothgrad": Method(
            smoothgrad,
            lambda chosen: chosen["n_samples"],
            random=True,
            meaning=Meaning(
                "The gradient, averaged over copies of the example with some noise on them: what flickers "
                "from copy to copy averages out.",
                "map = (1/N) Σₖ ∂s/∂x at x + εₖ,   εₖ normal with standard deviation σ",
            ),
        ),
        "integrated_gradients": Method(
            integrated_gradients,
            lambda chosen: chosen["n_steps"],
            meaning=Meaning(
                "The slopes on the straight way from an empty input to this one, added up: all values "
                "together sum to how much the score has changed on the way.",
                "mapᵢ = (xᵢ − x⁰ᵢ) ∫₀¹ ∂s/∂xᵢ at x⁰ + t (x − x⁰) dt,   x⁰ the empty input (baseline)",
            ),
        ),
        "gradcam": Method(
            gradcam,
            meaning=Meaning(
                "Where a late layer finds what speaks for the class: its maps are added up, each weighted by "
                "how much the score depends on it, and enlarged to the picture.",
                "map = ReLU(Σₖ αₖ Aᵏ),   αₖ = mean over the places of ∂s/∂Aᵏ,   Aᵏ the maps of the layer",
            ),
        ),
        "excitation_backprop": Method(
            excitation_backprop,
            meaning=Meaning(
                "Sends a mass of 1 from the class down through the network, at each unit to those that "
                "excite it and in proportion to how much: the map is what arrives.",
                "mass of a = Σ over units b above:  mass of b · a w⁺ / Σ a′ w′⁺,   w⁺ = max(w, 0)",
            ),
        ),
        "cafo": Method(
            cafo,
            problem=first_order_problem,
            meaning=Meaning(
                "The small change of the whole input that its slope says would harm the class most, with "
                "the sign turned, so that it marks what speaks for the class; λ₁ makes it sparse.",
                "Δ maximises  gᵀΔ − λ₁ ‖Δ‖₁ − λ₂ ‖Δ‖²,   g the gradient of the loss;   "
                "map = −Δ = −soft(g, λ₁) / (2 λ₂)",
            ),
        ),
        "caso": Method(
            caso,
            lambda _: _SECOND_ORDER,
            problem=second_order_problem,
            meaning=Meaning(
                "As CAFO, but it also knows how the slope itself changes (the curvature), so that values "
                "that matter only together are found together.",
                "Δ maximises  gᵀΔ + ½ ΔᵀHΔ − λ₁ ‖Δ‖₁ − λ₂ ‖Δ‖²,   H the Hessian of the loss, "
                "λ₂ = max(L, 0)/2 + c₁ with its largest eigenvalue L;   map = −Δ",
            ),
        ),
        "smooth_cafo": Method(
            smooth_cafo,
            lambda chosen: chosen["n_samples"],
            random=True,
            problem=first_order_problem,
            meaning=Meaning(
                "CAFO with its slope averaged over copies of the example with some noise on them: what "
                "flickers from copy to copy averages out.",
                "as CAFO, with g = (1/N) Σₖ gradient of the loss at x + εₖ,   εₖ normal with deviation σ",
            ),
        ),
        "smooth_caso": Method(
            smooth_caso,
            lambda chosen: _SECOND_ORDER * chosen["n_samples"],
            random=True,
            problem=second_order_problem,
            meaning=Meaning(
                "CASO with its slope and its curvature averaged over copies of the example with some noise "
                "on them: what flickers from copy to copy averages out.",
                "as CASO, with g and H the means over k of those at x + εₖ,   εₖ normal with deviation σ",
            ),
        ),
    },
)


def sweep_methods() -> tuple[str, ...]:
    """Names of the methods whose lambda_1 can be swept."""
    return tuple(name for name, method in METHODS.items() if method.problem is not None)
