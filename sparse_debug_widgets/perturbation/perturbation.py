"""The result of a perturbation: what was changed, how that went, and what the model says before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.result import Result

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Floats = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MAGNIFICATION = 5.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Perturbation(Result):
    """Perturbations of a batch, one for each example.

    A trace has K + 1 columns: column 0 is the unperturbed input. Columns that were not computed (cancelled)
    are NaN in floats and -1 in whole numbers.

    Attributes:
        inputs: (B, ...) as the model saw them.
        delta: (B, ...) the perturbation with the best loss of all steps; ``inputs + delta`` keeps the box.
        target: (B,) class that the loss is about.
        eps: (B,) radius.
        q: (B,) share of the coordinates that a step may touch; NaN for other norms than l1-q.
        vertex_height: (B,) ``eps / m``, what a step puts on a coordinate; NaN for other norms than l1-q.
        losses: (B, K + 1) cross-entropy of the target.
        gaps: (B, K + 1) Frank-Wolfe gap ``<g, delta - s>``: for a convex loss the distance from the best
            possible one; NaN where the method has none, and in the last column.
        supports: (B, K + 1) coordinates that are not zero.
        probabilities: (B, K + 1, C).
        best_step: (B,) which step ``delta`` is.
        steps_done: (B,) steps finished.
        probabilities_after: (B, C) at ``inputs + delta``.
        loss_after: (B,) likewise.
        success: (B,) whether the model now predicts the target (descent), or something else (ascent).
        iterates: (B, K + 1, ...) if they were kept, else None.
        low: Lower end of the pixel range, broadcasts against one example; None without a box.
        high: Upper end.
        norm: Name of the ball.
        ascent: Whether the loss was raised.
        cancelled: Whether the run was stopped early; what is here is the best so far.
    """

    kind: ClassVar[str] = "perturbation"
    arrays: ClassVar[Mapping[str, str]] = {
        "inputs": "B ...x float",
        "delta": "B ...x float",
        "target": "B class",
        "eps": "B float finite",
        "q": "B float",
        "vertex_height": "B float",
        "losses": "B S float",
        "gaps": "B S float",
        "supports": "B S class",
        "probabilities": "B S C float",
        "best_step": "B index <S",
        "steps_done": "B index",
        "probabilities_after": "B C float",
        "loss_after": "B float",
        "success": "B bool",
        "iterates": "? B S ...x float",
    }

    inputs: Floats
    delta: Floats
    target: Ints
    eps: Floats
    q: Floats
    vertex_height: Floats
    losses: Floats
    gaps: Floats
    supports: Ints
    probabilities: Floats
    best_step: Ints
    steps_done: Ints
    probabilities_after: Floats
    loss_after: Floats
    success: Bools
    iterates: Floats | None
    low: Floats | None
    high: Floats | None
    norm: str
    ascent: bool
    cancelled: bool

    @property
    def perturbed(self) -> Floats:
        """(B, ...) inputs + delta."""
        return self.inputs + self.delta

    @property
    def prediction_before(self) -> Ints:
        """(B,) predicted class of the inputs; -1 where it was never computed."""
        return _argmax(self.probabilities[:, 0])

    @property
    def prediction_after(self) -> Ints:
        """(B,) predicted class of the perturbed inputs."""
        return _argmax(self.probabilities_after)

    @property
    def confidence_before(self) -> Floats:
        """(B,) probability of the target."""
        return _of_target(self.probabilities[:, 0], self.target)

    @property
    def confidence_after(self) -> Floats:
        """(B,) probability of the target at ``inputs + delta``."""
        return _of_target(self.probabilities_after, self.target)

    @property
    def confidences(self) -> Floats:
        """(B, K + 1) probability of the target at every step."""
        return np.take_along_axis(self.probabilities, self.target[:, None, None].clip(0), axis=2)[..., 0]

    @property
    def support(self) -> Ints:
        """(B,) coordinates that differ."""
        counts: Ints = (_flat(self.delta) != 0).sum(axis=1)
        return counts

    @property
    def saturates(self) -> Bools:
        """(B,) whether eps / m exceeds the pixel range: every chosen pixel saturates, eps hardly matters."""
        if self.low is None or self.high is None:
            return np.zeros(len(self.delta), dtype=bool)
        return self.vertex_height > float(np.max(self.high - self.low))

    def faults(self) -> Iterator[str]:
        """See the base class."""
        for name, end in (("low", self.low), ("high", self.high)):
            if end is not None and not _broadcasts(end, self.inputs.shape[1:]):
                yield f"{name} of shape {end.shape} for inputs {self.inputs.shape[1:]}"
        if self.target.size and self.target.max() >= self.probabilities.shape[2]:
            yield f"targets beyond the {self.probabilities.shape[2]} classes"

    def to_frame(self) -> pd.DataFrame:
        """One row for each example."""
        import pandas as pd

        flat = _flat(self.delta).astype(np.float64)
        columns = {
            "target": self.target,
            "prediction_before": self.prediction_before,
            "prediction_after": self.prediction_after,
            "confidence_before": self.confidence_before,
            "confidence_after": self.confidence_after,
            "loss_before": self.losses[:, 0],
            "loss_after": self.loss_after,
            "success": self.success,
            "support": self.support,
            "l1": np.abs(flat).sum(1),
            "l2": np.sqrt((flat**2).sum(1)),
            "linf": np.abs(flat).max(1),
            "eps": self.eps,
            "q": self.q,
            "best_step": self.best_step,
            "steps_done": self.steps_done,
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self.target), name="example"))

    def trace(self) -> pd.DataFrame:
        """One row for each example and step: loss, confidence, gap, support."""
        import pandas as pd

        batch, steps = self.losses.shape
        index = pd.MultiIndex.from_product([range(batch), range(steps)], names=["example", "step"])
        columns = {
            "loss": self.losses.ravel(),
            "confidence": self.confidences.ravel(),
            "gap": self.gaps.ravel(),
            "support": self.supports.ravel(),
        }
        return pd.DataFrame(columns, index=index)

    def plot(self, n: int = 6) -> go.Figure:
        """Pictures: the original, the perturbation (five times, grey is zero) and the perturbed one.

        Inputs that are no pictures are shown as the confidence at every step.

        Args:
            n: At most so many examples.
        """
        from sparse_debug_widgets.core import figures

        shown = range(min(n, len(self.delta)))
        title = f"{self.provenance.method}, {self.norm}"
        if self.inputs.ndim != 4 or self.inputs.shape[1] not in {1, 3}:
            names = {f"example {i}": self.confidences[i] for i in shown}
            steps = np.arange(self.losses.shape[1])
            return figures.lines(
                steps, names, title=title, x_title="step", y_title="confidence of the target"
            )
        pictures, captions = [], []
        low = 0.0 if self.low is None else self.low
        span = 1.0 if self.low is None or self.high is None else self.high - self.low
        for i in shown:
            delta = self.delta[i] / span
            pictures += [(self.inputs[i] - low) / span, 0.5 + MAGNIFICATION / 2 * delta]
            pictures += [(self.inputs[i] + self.delta[i] - low) / span]
            before = f"{self.prediction_before[i]} (target {self.target[i]}: {self.confidence_before[i]:.0%})"
            captions += [
                f"{i}: {before}",
                f"{self.support[i]} of {delta.size}",
                f"{self.prediction_after[i]} (target: {self.confidence_after[i]:.0%})",
            ]
        return figures.images(pictures, captions, title=title, n_columns=3)


def _flat(array: Floats) -> Floats:
    return array.reshape(len(array), -1)


def _argmax(probabilities: Floats) -> Ints:
    known = ~np.isnan(probabilities).any(axis=1)
    return np.where(known, np.nan_to_num(probabilities).argmax(axis=1), -1)


def _of_target(probabilities: Floats, target: Ints) -> Floats:
    # A target of -1 is one that was never computed; its probabilities are NaN.
    return np.take_along_axis(probabilities, target[:, None].clip(0), axis=1)[:, 0]


def _broadcasts(end: Floats, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(end.shape, shape) == shape
    except ValueError:
        return False
