"""``attribute``: how much each input mattered, by any registered method."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_int
from sparse_debug_widgets.core.fingerprint import array_fingerprint
from sparse_debug_widgets.core.params import check_parameters
from sparse_debug_widgets.core.pixels import box_from, box_params
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.targets import Target
from sparse_debug_widgets.saliency.display import display_maps, figure_of_maps
from sparse_debug_widgets.saliency.methods.registry import METHODS
from sparse_debug_widgets.saliency.probe.calls import was_signed_by_loss
from sparse_debug_widgets.saliency.probe.probe import Probe, opened, probing
from sparse_debug_widgets.saliency.probe.tensors import host

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Attribution(Result):
    """Saliency values of a batch.

    Attributes:
        values: (B, ...) signed: positive values speak for the class, negative ones against it, whatever the
            method. The shape of the inputs, or (B, tokens, dimensions) for token numbers.
        inputs: (B, ...) what was explained: pixels, features or token numbers.
        layout: ``"image"``, ``"features"`` or ``"tokens"``.
        target: (B,) the class that was explained.
        predicted: (B,) the class with the largest logit.
        confidence: (B,) probability of the predicted class.
        details: What the method reports, mostly a tuple with one entry per example.
    """

    kind: ClassVar[str] = "attribution"
    schema: ClassVar[int] = 2
    arrays: ClassVar[Mapping[str, str]] = {
        "values": "B ...v float",
        "inputs": "B ...x number",
        "target": "B index",
        "predicted": "B index",
        "confidence": "B float",
    }

    values: Array
    inputs: Array
    layout: str
    target: Array
    predicted: Array
    confidence: Array
    details: dict[str, Any]

    def upgraded(self, schema: int) -> Self:
        """The map with positive values for the class, also where the file says where the loss rises.

        Args:
            schema: Version of the file that was read.
        """
        if schema > 1 or not was_signed_by_loss(self.provenance.method, self.provenance.params):
            return self
        # Integrated Gradients summed up to the change of the loss.
        sums = ("completeness_residual", "output_change")
        turned = {name: tuple(-x for x in entry) for name, entry in self.details.items() if name in sums}
        return dataclasses.replace(self, values=-self.values, details=self.details | turned)

    def display(self, *, percentile: float = 99.0) -> Array:
        """Maps in [0, 1]: absolute value, sum over channels, cap at a percentile, scale.

        Args:
            percentile: Where each map is capped, in (0, 100].

        Returns:
            (B, H, W) for images, (B, tokens), or (B, ...) for features.
        """
        return display_maps(self.values, self.layout, percentile=percentile)

    def to_frame(self) -> pd.DataFrame:
        """One row per example: classes, confidence, and what the method reports per example."""
        import pandas as pd

        table: dict[str, Any] = {
            "target": self.target,
            "predicted": self.predicted,
            "confidence": self.confidence,
        }
        table |= {
            name: entry
            for name, entry in self.details.items()
            if isinstance(entry, tuple) and len(entry) == len(self.target) and name != "curved_operations"
        }
        table["total"] = self.values.reshape(len(self.values), -1).sum(1, dtype=np.float64)
        return pd.DataFrame(table)

    def plot(self, *, percentile: float = 99.0, n: int = 12) -> go.Figure:
        """Inputs and maps side by side; for tokens and features the maps as rows of one matrix.

        Args:
            percentile: Where each map is capped for display.
            n: Examples shown.
        """
        captions = [
            f"class {t}" + (f" (predicted {p})" if p != t else "")
            for t, p in zip(self.target, self.predicted, strict=True)
        ]
        maps = self.display(percentile=percentile)[:n]
        return figure_of_maps(
            maps,
            self.inputs[:n],
            self.layout,
            captions[:n],
            self.provenance.method,
            box_from(self.provenance.params),
        )


def attribute(
    model: nn.Module,
    x: Tensor | npt.NDArray[Any] | Mapping[str, Any],
    method: str = "gradient",
    *,
    target: Target | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - the method's own parameters
) -> Attribution:
    """Attribute a class to the inputs by a registered method.

    The model is left exactly as it was; it may be frozen, compiled, or in training mode.

    Args:
        model: The live model; it returns logits (batch, classes), or one logit per example (class 1 is
            "above 0"), a tuple that begins with them, or an object with ``logits``.
        x: (B, ...) inputs: images of any channel count, feature vectors, token numbers (the embeddings are
            explained), or a mapping of keyword arguments with ``input_ids`` or one floating tensor.
        method: Name out of ``METHODS``.
        target: Class to explain: an index, one per example, or ``"prediction"`` (also None).
        chunk_size: Rows in one forward pass; None: by the size of an input.
        seed: Of the noise of smooth methods.
        progress: Callback, bool or None; see :mod:`core.progress`.
        **options: ``output`` (which part of the model's output holds the logits), ``embedding`` (name of the
            embedding layer), ``normalize`` (how pictures were normalised, so that they are shown as they are:
            (mean, std), a transform or torchvision weights), and the method's parameters, see ``METHODS``.

    Returns:
        Signed values of the shape of the inputs, with what the method reports.

    Raises:
        InputError: Inputs, model, class or parameters that do not fit; a chunk that does not fit into memory
            (the message says which ``chunk_size`` to try).
        Cancelled: The progress callback asked for it.

    References:
        ``docs/methods/saliency.md``.
    """
    start = time.perf_counter()
    entry = METHODS[method]
    asked = opened(options, target, chunk_size, seed, progress)
    settings = check_parameters(entry.parameters, options, method)
    check_int(seed, "seed", "a saliency map", low=0)
    with probing(model, x, **asked) as probe:
        found = entry(probe, **settings)
        logits = probe.logits.float()
        given = host(probe.inputs.given)
        return Attribution(
            provenance=provenance(probe, method, settings, start),
            values=host(found.values.view_as(probe.points)),
            inputs=given,
            layout=probe.inputs.layout,
            target=host(probe.target),
            predicted=host(logits.argmax(1)),
            confidence=host(logits.softmax(1).amax(1)),
            details=found.details,
        )


def provenance(probe: Probe, method: str, settings: Mapping[str, Any], start: float) -> Provenance:
    """Return the provenance of a saliency result.

    The fingerprint is that of the inputs and of the logits that the model gave for them: hashing all weights
    would take longer than a gradient.
    """
    shown = {
        name: value if isinstance(value, str | int | float | bool | None) else "array"
        for name, value in settings.items()
    }
    return Provenance(
        method=method,
        params=shown | {"chunk_size": probe.chunk_size, "box": box_params(probe.box)},
        seed=probe.seed,
        seconds=time.perf_counter() - start,
        fingerprint=array_fingerprint(host(probe.inputs.given), host(probe.logits)),
    )
