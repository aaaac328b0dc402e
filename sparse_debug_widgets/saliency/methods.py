"""The registry of saliency methods: one file and one line adds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sparse_debug_widgets.core.params import Parameter, read_parameters
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.saliency.context_aware import (
    Problem,
    cafo,
    caso,
    first_order_problem,
    second_order_problem,
    smooth_cafo,
    smooth_caso,
)
from sparse_debug_widgets.saliency.excitation_backprop import excitation_backprop
from sparse_debug_widgets.saliency.gradcam import gradcam
from sparse_debug_widgets.saliency.gradient import Found, gradient, gradient_x_input
from sparse_debug_widgets.saliency.hessian import Copies
from sparse_debug_widgets.saliency.integrated_gradients import integrated_gradients
from sparse_debug_widgets.saliency.probe import Probe
from sparse_debug_widgets.saliency.smoothgrad import smoothgrad

Passes: TypeAlias = Callable[[Mapping[str, Any]], float]
ProblemMaker: TypeAlias = Callable[[Probe, Copies | None, float, float], Problem]
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
    """

    run: Callable[..., Found]
    passes: Passes = _one_pass
    random: bool = False
    problem: ProblemMaker | None = None

    def __call__(self, probe: Probe, **settings: Any) -> Found:  # noqa: ANN401 - the method's own
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
        "gradient": Method(gradient),
        "gradient_x_input": Method(gradient_x_input),
        "smoothgrad": Method(smoothgrad, lambda chosen: chosen["n_samples"], random=True),
        "integrated_gradients": Method(integrated_gradients, lambda chosen: chosen["n_steps"]),
        "gradcam": Method(gradcam),
        "excitation_backprop": Method(excitation_backprop),
        "cafo": Method(cafo, problem=first_order_problem),
        "caso": Method(caso, lambda _: _SECOND_ORDER, problem=second_order_problem),
        "smooth_cafo": Method(
            smooth_cafo, lambda chosen: chosen["n_samples"], random=True, problem=first_order_problem
        ),
        "smooth_caso": Method(
            smooth_caso,
            lambda chosen: _SECOND_ORDER * chosen["n_samples"],
            random=True,
            problem=second_order_problem,
        ),
    },
)


def sweep_methods() -> tuple[str, ...]:
    """Names of the methods whose lambda_1 can be swept."""
    return tuple(name for name, method in METHODS.items() if method.problem is not None)
