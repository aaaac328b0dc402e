"""``excitation``: where the excitation of units comes from, for several units of one forward pass."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_choice, check_known, refuse, reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint
from sparse_debug_widgets.core.hooks import model_untouched
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.saliency.display import display_maps, figure_of_maps
from sparse_debug_widgets.saliency.excitation.graph import WHAT, ExcitationGraph, Way, send_down
from sparse_debug_widgets.saliency.excitation.units import (
    Start,
    Units,
    read_units,
    read_weights,
    starts_at_classes,
    starts_at_combinations,
    starts_at_units,
)
from sparse_debug_widgets.saliency.probe.probe import opened, probing
from sparse_debug_widgets.saliency.probe.tensors import host

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_OPTIONS = ("output", "embedding")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Excitation(Result):
    """Mass that units sent down, per example and unit.

    Attributes:
        values: (B, n, ...) mass at each entry of the tensor that it was read at; signed where contrastive.
        activations: (B, n) value of each unit; of a channel the mean over positions.
        units: (n,) what each one is called.
        inputs: (B, ...) what the model was given.
        layout: ``"image"``, ``"features"`` or ``"tokens"``: of ``inputs``.
        layer: Where mass started; empty: the logits.
        to: Where it was read; empty: the inputs.
        contrastive: Whether the dual unit's mass was subtracted.
    """

    kind: ClassVar[str] = "excitation"
    arrays: ClassVar[Mapping[str, str]] = {
        "values": "B n ...v float",
        "activations": "B n float",
        "units": "n names",
        "inputs": "B ...x number",
    }

    values: Array
    activations: Array
    units: tuple[str, ...]
    inputs: Array
    layout: str
    layer: str
    to: str
    contrastive: bool

    @property
    def maps(self) -> Array:
        """(B, n, H, W), (B, n, tokens) or (B, n, units) >= 0: sum over channels, negative sums as 0."""
        axis = {5: 2, 4: 3}.get(self.values.ndim)
        found = self.values if axis is None else self.values.sum(axis=axis)
        return np.asarray(np.maximum(found, 0))

    @property
    def mass(self) -> Array:
        """(B, n) how much of the mass of 1 arrived; contrastive: where it is more than the dual's."""
        maps = self.maps
        return np.asarray(maps.reshape(*maps.shape[:2], -1).sum(axis=2, dtype=np.float64))

    def to_frame(self) -> pd.DataFrame:
        """One row per example and unit: activation and mass."""
        import pandas as pd

        examples, n = self.activations.shape
        return pd.DataFrame(
            {
                "example": np.repeat(np.arange(examples), n),
                "unit": list(self.units) * examples,
                "activation": self.activations.ravel(),
                "mass": self.mass.ravel(),
            }
        )

    def plot(self, *, example: int = 0, percentile: float = 99.0) -> go.Figure:
        """One example's maps beside it.

        Args:
            example: Which one.
            percentile: Where each map is capped for display.

        Raises:
            InputError: No such example.
        """
        if not 0 <= example < len(self.values):
            reject("example", "these maps", f"be in 0 ... {len(self.values) - 1}", example)
        maps = self.maps[example]
        captions = [
            f"{name} ({value:.3g})" for name, value in zip(self.units, self.activations[example], strict=True)
        ]
        inputs = np.repeat(self.inputs[example : example + 1], len(maps), axis=0)
        layout = self.layout if maps.ndim == 3 else "features"
        return figure_of_maps(
            display_maps(maps, "features", percentile=percentile), inputs, layout, captions, "excitation"
        )


def excitation(  # noqa: PLR0913 - the front of excitation backprop; everything has a default
    model: nn.Module,
    x: Tensor | Array | Mapping[str, Any],
    *,
    units: Units | None = None,
    layer: str | None = None,
    inputs: bool = False,
    head: nn.Module | None = None,
    weights: Tensor | Array | None = None,
    to: str | None = None,
    contrastive: bool = False,
    skip: Literal["split", "ignore"] = "split",
    chunk_size: int | None = None,
    seed: int = 0,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - output, embedding
) -> Excitation:
    """Excitation backprop: where the excitation of units comes from (Zhang et al., 2016, Sec. 3).

    A mass of 1 moves from a unit down to what excited it. One forward pass and one graph serve all units of
    an example. The model is left exactly as it was.

    Args:
        model: The live model.
        x: (B, ...) inputs, as for ``attribute``; pixels best in [0, 1], since pixels of 0 excite nothing.
        units: Numbers of units along the first axis of the tensor that mass starts in: in (B, units) units,
            in (B, channels, height, width) channels, whose mass starts in proportion to the activations; a
            tuple (channel, row, column) in a list is one position. None: the predicted class.
        layer: Name of the layer in whose output the units are; None: the logits.
        inputs: Take the first input of that layer instead.
        head: A module that is attached to that tensor, such as an explanation network; units count in its
            output.
        weights: (k, units) instead of ``units``: k linear combinations of units, each with a map.
        to: Name of the earlier layer in whose output mass is read; None: the inputs of the model.
        contrastive: Subtract the mass of the dual unit, the one with the negated weights of the last linear
            layer (c-MWP, Sec. 3.3).
        skip: ``"split"`` mass at residual additions in proportion to what is positive, or ``"ignore"`` the
            shortcut where one summand was computed from the other.
        chunk_size: Rows in one forward pass; None: by the size of an input.
        seed: Of models that draw random numbers.
        progress: Callback, bool or None.
        **options: ``output``, ``embedding`` as for ``attribute``.

    Returns:
        Masses, with what arrived in all. A unit that is dead (0 after a rectifier) sends none.

    Raises:
        InputError: Inputs, layers or units that do not fit; an operation without a rule (it is named, with
            how to register one); contrastive without a layer that has weights.
        Cancelled: The progress callback asked for it.

    References:
        Zhang and others, "Top-down Neural Attention by Excitation Backprop", ECCV 2016;
        ``docs/methods/excitation.md``.
    """
    start = time.perf_counter()
    chosen, combinations = read_units(units), read_weights(weights)
    way = Way(layer, inputs, head, to, skip)
    _check_start(way, chosen, combinations)
    asked = opened(options, None, chunk_size, seed, progress)
    check_known(options, _OPTIONS, WHAT)
    with probing(model, x, **asked) as probe, _frozen(head):

        def starts(graph: ExcitationGraph, rows: slice) -> list[Start]:
            if combinations is not None:
                return starts_at_combinations(graph.start, combinations, contrastive=contrastive)
            if chosen is not None:
                return starts_at_units(graph.start, chosen, contrastive=contrastive)
            return starts_at_classes(graph.start, probe.resolve(graph.start, rows), contrastive=contrastive)

        values, activations = send_down(probe, way, starts)
        names = ("prediction",) if chosen is None else tuple(map(str, chosen))
        if combinations is not None:
            names = tuple(f"combination {k}" for k in range(len(combinations)))
        settings = {
            "layer": layer,
            "inputs": inputs,
            "to": to,
            "contrastive": contrastive,
            "skip": skip,
        }
        fingerprint = array_fingerprint(host(probe.inputs.given), host(activations))
        return Excitation(
            provenance=Provenance(
                method="excitation",
                params=settings | {"units": names, "chunk_size": probe.chunk_size},
                seed=probe.seed,
                seconds=time.perf_counter() - start,
                fingerprint=fingerprint,
            ),
            values=host(values),
            activations=host(activations),
            units=names,
            inputs=host(probe.inputs.given),
            layout=probe.inputs.layout,
            layer=layer or "",
            to=to or "",
            contrastive=contrastive,
        )


def _check_start(way: Way, chosen: object, combinations: object) -> None:
    """Refuse starts that say too much or too little."""
    check_choice(way.skip, ("split", "ignore"), "skip", WHAT)
    if chosen is not None and combinations is not None:
        refuse("units= and weights= both say where to start: leave one of them out.")
    if chosen is None and combinations is None and (way.layer is not None or way.head is not None):
        what = "head" if way.head is not None else f"layer {way.layer!r}"
        reject("units", what, "be given", "None", "Name the numbers of its units.")
    if way.inputs and way.layer is None:
        reject("inputs=True", WHAT, "come with the name of a layer", "layer=None")
    if way.head is not None and not isinstance(way.head, nn.Module):
        reject("head", WHAT, "be a module", type(way.head).__name__)


@contextmanager
def _frozen(head: nn.Module | None) -> Iterator[None]:
    """The attached module in evaluation mode and without gradients of its own; left as it was."""
    if head is None:
        yield
        return
    with model_untouched(head) as bare:
        for parameter in bare.parameters():
            parameter.requires_grad_(False)
        yield
