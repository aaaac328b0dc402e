"""The whole sweep over lambda_1 for a slider: every map, its sparsity, its loss, and the automatic choice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, reject
from sparse_debug_widgets.core.params import Parameter, Range, check_parameters, read_parameters
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.core.targets import Target
from sparse_debug_widgets.saliency.attribution import Attribution, provenance
from sparse_debug_widgets.saliency.curvature.hessian import Copies
from sparse_debug_widgets.saliency.curvature.lambda1 import HIGH, LOW, sup_norm, zero_share
from sparse_debug_widgets.saliency.methods.context_aware import Maximisation
from sparse_debug_widgets.saliency.methods.registry import METHODS, sweep_methods
from sparse_debug_widgets.saliency.methods.smoothgrad import SigmaUnits, noisy_points
from sparse_debug_widgets.saliency.probe.probe import Probe, opened, probing
from sparse_debug_widgets.saliency.probe.tensors import host

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
N_LAMBDAS = Parameter("n_lambdas", "int", 24, Range(3, 200), help="Length of the grid.")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lambda1Sweep(Result):
    """Maps for a grid of lambda_1, sparsest first.

    Attributes:
        ratios: (K,) lambda_1 / ||g||_inf, descending from 1 (all zero).
        units: (B,) ||g||_inf.
        values: (K, B, ...) float32 maps, signed: positive speaks for the class.
        sparsity: (K, B) share of zero pixels.
        surrogate: (K, B) quadratic model of the loss's increase, without penalties.
        loss_increase: (K, B) what the loss really does when the map is taken away from the input.
        violation: (K, B) of the optimality conditions, in units of ||g||_inf.
        chosen: (B,) index of the automatically chosen map.
        inputs: (B, ...) what was explained.
        layout: ``"image"``, ``"features"`` or ``"tokens"``.
        target: (B,) the class that was explained.
        predicted: (B,) the class with the largest logit.
        confidence: (B,) its probability.
        details: lambda_2 and what else is known before lambda_1 is.
    """

    kind: ClassVar[str] = "lambda1_sweep"
    schema: ClassVar[int] = 2
    arrays: ClassVar[Mapping[str, str]] = {
        "ratios": "K float decreasing",
        "units": "B float",
        "values": "K B ...v float",
        "sparsity": "K B float",
        "surrogate": "K B float",
        "loss_increase": "K B float",
        "violation": "K B float",
        "chosen": "B index <K",
        "inputs": "B ...x number",
        "target": "B index",
        "predicted": "B index",
        "confidence": "B float",
    }

    ratios: Array
    units: Array
    values: Array
    sparsity: Array
    surrogate: Array
    loss_increase: Array
    violation: Array
    chosen: Array
    inputs: Array
    layout: str
    target: Array
    predicted: Array
    confidence: Array
    details: dict[str, Any]

    def upgraded(self, schema: int) -> Self:
        """The maps with positive values for the class, also where the file says where the loss rises.

        Args:
            schema: Version of the file that was read.
        """
        return self if schema > 1 else dataclasses.replace(self, values=-self.values)

    @property
    def lambdas(self) -> Array:
        """(K, B) lambda_1 themselves."""
        return self.ratios[:, None] * self.units

    def attribution(self, index: int | None = None) -> Attribution:
        """One map per example as an ordinary result.

        Args:
            index: Position in the sweep; None: the automatic choice of each example.

        Raises:
            InputError: No such position.
        """
        if index is not None and not -len(self.ratios) <= index < len(self.ratios):
            must = f"be a position in 0 ... {len(self.ratios) - 1}"
            reject("index", "a sweep over lambda_1", must, index)
        batch = np.arange(len(self.units))
        rows = self.chosen if index is None else np.full(len(batch), index % len(self.ratios))
        return Attribution(
            provenance=self.provenance,
            values=self.values[rows, batch],
            inputs=self.inputs,
            layout=self.layout,
            target=self.target,
            predicted=self.predicted,
            confidence=self.confidence,
            details={
                **self.details,
                "lambda1": tuple(self.lambdas[rows, batch].tolist()),
                "sparsity": tuple(self.sparsity[rows, batch].tolist()),
            },
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per lambda_1 and example."""
        import pandas as pd

        steps, batch = self.sparsity.shape
        return pd.DataFrame(
            {
                "example": np.tile(np.arange(batch), steps),
                "ratio": np.repeat(self.ratios, batch),
                "lambda1": self.lambdas.ravel(),
                "sparsity": self.sparsity.ravel(),
                "surrogate": self.surrogate.ravel(),
                "loss_increase": self.loss_increase.ravel(),
                "violation": self.violation.ravel(),
                "chosen": (np.arange(steps)[:, None] == self.chosen).ravel(),
            }
        )

    def plot(self, example: int = 0) -> go.Figure:
        """Sparsity of one example against lambda_1 / ||g||_inf, with the automatic choice marked.

        Args:
            example: Position of the example.
        """
        shown = self.ratios > 0
        marks = {"chosen": float(self.ratios[self.chosen[example]])}
        return figures.lines(
            self.ratios[shown],
            {"share of zero pixels": self.sparsity[shown, example]},
            title=f"{self.provenance.method}: sparsity against lambda_1",
            x_title="lambda_1 / ||g||_inf",
            y_title="share of zero pixels",
            log_x=True,
            marks=marks if marks["chosen"] > 0 else None,
        )


def lambda1_sweep(
    model: nn.Module,
    x: Tensor | Array | Mapping[str, Any],
    method: str = "caso",
    *,
    target: Target | None = None,
    n_lambdas: int = 24,
    chunk_size: int | None = None,
    seed: int = 0,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - see Options
) -> Lambda1Sweep:
    """All maps of a sweep over lambda_1 in units of ||g||_inf, solved together.

    The grid is logarithmic from 1 (where everything is exactly 0) to ``smallest``, with lambda_1 = 0 at its
    end. The automatic choice follows section 4.1 of the paper on this grid: of the maps with a sparsity ratio
    in [0.75, 1) the one with the highest loss, that is the surrogate without penalties; where there is none,
    the sparsest map that is not all zero.

    Args:
        model: The live model.
        x: As in :func:`attribute`.
        method: ``"cafo"``, ``"caso"``, ``"smooth_cafo"`` or ``"smooth_caso"``.
        target: Class to explain: an index, one per example, or ``"prediction"`` (also None).
        n_lambdas: Length of the grid, at least 3.
        chunk_size: Rows in one forward pass.
        seed: Of the noise of smooth methods.
        progress: Callback, bool or None.
        **options: ``output`` and ``embedding`` as in :func:`attribute`; ``smallest`` (1e-3), ``c1`` (10),
            ``n_samples`` (50), ``sigma`` (0.15), ``sigma_units`` ("range"), ``tol`` (1e-5).

    Raises:
        InputError: As in :func:`attribute`.

    References:
        Singla and others, "Understanding Impacts of High-Order Loss Approximations and Features in Deep
        Learning Interpretation", ICML 2019, section 4.1; ``docs/methods/saliency.md``.
    """
    start = time.perf_counter()
    check_choice(method, sweep_methods(), "method", "a sweep over lambda_1")
    N_LAMBDAS.check(n_lambdas, "a sweep over lambda_1")
    asked = opened(options, target, chunk_size, seed, progress)
    settings = check_parameters(read_parameters(_problem), options, "lambda1_sweep")
    with probing(model, x, **asked) as probe:
        probe.begin(0, f"sweep: {method}")
        problem = _problem(probe, method, **settings)
        ratios = np.append(np.geomspace(1, settings["smallest"], n_lambdas - 1), 0.0)
        return _swept(probe, problem, ratios, method, settings | {"start": start})


def sweep_parameters() -> tuple[Parameter, ...]:
    """List what a person may choose of a sweep beside its method, for panels and the command line."""
    return N_LAMBDAS, *read_parameters(_problem)


def _problem(
    probe: Probe,
    method: str,
    *,
    smallest: Annotated[float, Range(1e-8, 0.5, log=True)] = 1e-3,
    c1: Annotated[float, Range(0, open_low=True)] = 10.0,
    n_samples: Annotated[int, Range(1, 500)] = 50,
    sigma: Annotated[float, Range(0, 10)] = 0.15,
    sigma_units: SigmaUnits = "range",
    tol: Annotated[float, Range(1e-12, 0.5, log=True)] = 1e-5,
) -> Maximisation:
    """The maximisation that a sweep solves for many lambda_1.

    Args:
        probe: The live model and its inputs.
        method: A method of ``METHODS`` that has a problem to solve.
        smallest: Last lambda_1 of the grid before 0, as a share of ||g||_inf.
        c1: Margin of lambda_2 above L / 2.
        n_samples: Noisy copies of smooth methods.
        sigma: Standard deviation of their noise.
        sigma_units: In units of each example's range (max - min), or of the input itself.
        tol: Violation of the optimality conditions, in units of ||g||_inf.
    """
    del smallest
    entry = METHODS[method]
    if entry.problem is None:
        reject("method", "a sweep over lambda_1", "solve for any lambda_1", method)
    copies = None
    if entry.random:
        _ = probe.target
        copies = Copies(n_samples, noisy_points(probe, sigma, sigma_units))
    return entry.problem(probe, copies, c1, tol)


def _swept(
    probe: Probe, problem: Maximisation, ratios: Array, method: str, settings: dict[str, Any]
) -> Lambda1Sweep:
    start = settings.pop("start")
    units = sup_norm(problem.gradient)
    lambda1 = torch.from_numpy(ratios).to(units)[:, None] * units
    found = problem.solve(lambda1)
    surrogate = problem.surrogate(found.delta)
    share = zero_share(found.delta, probe.points.shape)
    logits = probe.logits.float()
    return Lambda1Sweep(
        provenance=provenance(probe, method, settings, start),
        ratios=ratios,
        units=host(units.double()),
        values=host(-found.delta.float().view(len(ratios), *probe.points.shape)),
        sparsity=host(share.double()),
        surrogate=host(surrogate.double()),
        loss_increase=host(_loss_increase(probe, found.delta)),
        violation=found.violation,
        chosen=host(choose(share, surrogate)),
        inputs=host(probe.inputs.given),
        layout=probe.inputs.layout,
        target=host(probe.target),
        predicted=host(logits.argmax(1)),
        confidence=host(logits.softmax(1).amax(1)),
        details=problem.details,
    )


def choose(share: Tensor, surrogate: Tensor) -> Tensor:
    """Index (B,) of the automatic choice on a grid; see :func:`lambda1_sweep`.

    Args:
        share: (K, B) sparsity ratios, sparsest first.
        surrogate: (K, B) losses.
    """
    good = (share >= LOW) & (share < HIGH)
    best = torch.where(good, surrogate, -torch.inf).argmax(0)
    # Not all zero, sparsest first: what halving back from the first all-zero lambda_1 would meet.
    first = (share < HIGH).float().argmax(0)
    return torch.where(good.any(0), best, first)


def _loss_increase(probe: Probe, deltas: Tensor) -> Tensor:
    """(K, B) cross-entropy at the input moved by Delta, the map's negative, minus that at the input."""
    steps, batch = deltas.shape[:2]
    moved = (probe.points + deltas.view(steps, *probe.points.shape)).flatten(0, 1)
    owners = probe.owners.repeat(steps)
    target = probe.target[owners]
    losses = []
    with torch.no_grad():
        for rows in probe.chunks(steps * batch):
            logits = probe.run(moved[rows], owners[rows]).double()
            losses.append(nn.functional.cross_entropy(logits, target[rows], reduction="none"))
        before = nn.functional.cross_entropy(probe.logits.double(), probe.target, reduction="none")
    return torch.cat(losses).view(steps, batch) - before
