"""Does curvature change the map? |CASO - CAFO| against the confidence of the prediction (Fig. 1)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.batching import Inputs, batches, count_examples
from sparse_debug_widgets.core.checks import check_int, reject
from sparse_debug_widgets.core.fingerprint import combine
from sparse_debug_widgets.core.forms import names_for
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.saliency.attribution import provenance
from sparse_debug_widgets.saliency.methods.context_aware import SolverSettings, second_order
from sparse_debug_widgets.saliency.probe.probe import probing
from sparse_debug_widgets.saliency.probe.tensors import host, unit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_EDGES = (0.0, 0.5, 0.8, 0.95, 0.99, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CurvatureAgreement(Result):
    """Difference between the second- and the first-order map, for each example of a data set.

    Attributes:
        difference: (n,) ||CASO / ||CASO|| - CAFO / ||CAFO|||| at lambda_1 = 0, in [0, 2].
        confidence: (n,) probability of the predicted class.
        predicted: (n,) the class with the largest logit, whose loss it is.
        labels: (n,) labels of the data, -1 where they have none.
        largest_eigenvalue: (n,) of the input Hessian.
    """

    kind: ClassVar[str] = "curvature_agreement"
    arrays: ClassVar[Mapping[str, str]] = {
        "difference": "n float",
        "confidence": "n float",
        "predicted": "n class",
        "labels": "n class",
        "largest_eigenvalue": "n float",
    }

    difference: Array
    confidence: Array
    predicted: Array
    labels: Array
    largest_eigenvalue: Array

    def to_frame(self) -> pd.DataFrame:
        """One row per example."""
        import pandas as pd

        return pd.DataFrame(
            {
                "confidence": self.confidence,
                "difference": self.difference,
                "predicted": self.predicted,
                "label": self.labels,
                "largest_eigenvalue": self.largest_eigenvalue,
            }
        )

    def by_confidence(
        self, edges: Sequence[float] = _EDGES, *, n_bootstrap: int = 2000, seed: int = 0
    ) -> pd.DataFrame:
        """Mean difference per interval of confidence, with bootstrap 95 % confidence intervals.

        Args:
            edges: Ascending ends of the intervals.
            n_bootstrap: Resamples.
            seed: Of the resampling.

        Raises:
            InputError: ``edges`` do not ascend, or are fewer than two.
        """
        import pandas as pd

        if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
            reject("edges", "intervals of confidence", "be ascending, at least two", tuple(edges))
        place = np.clip(np.searchsorted(edges, self.confidence, side="right") - 1, 0, len(edges) - 2)
        rng = generator(seed, "bootstrap")
        rows = []
        for k, (low, high) in enumerate(pairwise(edges)):
            sample = self.difference[place == k]
            row = {"from": low, "to": high, "n": len(sample), "mean": np.nan, "low": np.nan, "high": np.nan}
            if len(sample):
                means = rng.choice(sample, (n_bootstrap, len(sample))).mean(axis=1)
                row |= {"mean": sample.mean()}
                row |= dict(zip(("low", "high"), np.quantile(means, [0.025, 0.975]), strict=True))
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Difference against confidence, one point per example, in the manner of Fig. 1."""
        return figures.points(
            self.confidence,
            self.difference,
            title="How much curvature changes the map",
            x_title="confidence of the prediction",
            y_title="distance of CASO and CAFO, both of length 1",
        )


def curvature_agreement(
    model: nn.Module,
    data: object,
    *,
    n_examples: int | None = None,
    batch_size: int = 32,
    c1: float = 10.0,
    chunk_size: int | None = None,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - output, embedding
) -> CurvatureAgreement:
    """CASO against CAFO over a data set, lambda_1 = 0, for the predicted class (section 3.3, Fig. 1).

    Both maps are scaled to length 1 first, since a factor does not show in a map. Where the gradient is 0 in
    floating point both maps are 0, and so is their difference.

    Args:
        model: The live model.
        data: Whatever :func:`~sparse_debug_widgets.core.batching.batches` takes.
        n_examples: Only the first so many.
        batch_size: Examples read at a time.
        c1: Margin of lambda_2 above L / 2.
        chunk_size: Rows in one forward pass.
        progress: Callback, bool or None.
        **options: ``output`` and ``embedding`` as in :func:`attribute`.

    Raises:
        InputError: As in :func:`attribute`.

    References:
        Singla and others, "Understanding Impacts of High-Order Loss Approximations and Features in Deep
        Learning Interpretation", ICML 2019, Fig. 1; ``docs/methods/saliency.md``.
    """
    start = time.perf_counter()
    if n_examples is not None:
        check_int(n_examples, "n_examples", "a data set")
    report, known = reporter(progress), count_examples(data) or 0
    total = known if n_examples is None else min(n_examples, known or n_examples)
    parts: list[dict[str, Array]] = []
    done, prints = 0, []
    for batch in batches(data, batch_size, classes=names_for(model, data)):
        left = batch.size if n_examples is None else min(batch.size, n_examples - done)
        report(Progress(done, total, "CASO against CAFO"))
        if left <= 0:
            break
        inputs = _first(batch.inputs, left)
        with probing(model, inputs, chunk_size=chunk_size, **options) as probe:
            problem = second_order(probe, None, SolverSettings(c1))
            zero = torch.zeros(1, probe.batch, dtype=probe.points.dtype, device=probe.points.device)
            caso = problem.solve(zero).delta[0].double()
            distance = (unit(caso) - unit(problem.gradient.double())).norm(dim=1)
            top = probe.logits.double().softmax(1).max(1)
            labels = np.full(left, -1) if batch.labels is None else host(batch.labels[:left]).astype(np.int64)
            parts.append(
                {
                    "difference": host(distance),
                    "confidence": host(top.values),
                    "predicted": host(top.indices),
                    "labels": labels,
                    "largest_eigenvalue": np.asarray(problem.details["largest_eigenvalue"]),
                }
            )
            prints.append(provenance(probe, "", {}, start).fingerprint)
        done += left
    report(Progress(done, done, "CASO against CAFO"))
    return CurvatureAgreement(
        provenance=Provenance(
            method="curvature_agreement",
            params={"c1": c1, "n_examples": done},
            seconds=time.perf_counter() - start,
            fingerprint=combine(*prints),
        ),
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    )


def _first(inputs: Inputs, n: int) -> Inputs:
    return inputs[:n] if isinstance(inputs, Tensor) else {key: value[:n] for key, value in inputs.items()}
