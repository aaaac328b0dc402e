"""The result of fitting an explanation network to one class: its numbers, and the network again from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils import vector_to_parameters

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.arithmetic import plain_arithmetic
from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.interpret.xfeatures.srae.methods import METHODS
from sparse_debug_widgets.interpret.xfeatures.srae.network import ExplanationNetwork

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClassExplanation(Result):
    """An explanation network as numbers: n x-features of a layer whose weighted sum mimics a class score.

    Attributes:
        class_index: The class that is explained.
        layer: The layer that is read.
        reads_input: Whether its input is read (of the decision layer), else its output.
        head: Layer whose output are the scores; "" for the model's answer.
        method: See ``METHODS``.
        widths: (p, ..., n) of the encoder.
        convolutional: Whether the layer gives maps.
        signed: Whether the layer has negative activations.
        parameters: All weights of the network, flat.
        scale: Root mean square of the activations, by which they are divided.
        weights: (n,) v_i, in logits.
        bias: Of the read-out, in logits.
        contributions: (n,) mean of v_i E_i over the positives of the training rows.
        alive: (n,) bool, x-features that are active on some training row.
        rebuilt: (p,) share of each feature's variance that the decoder explains on the training rows; NaN
            for constant features, and where nothing was to be rebuilt.
        history: (epochs, 4) whole loss, faithfulness, reconstruction, pull-away of the last try.
        tries: Per try beta, eta, second largest contribution over the largest, whether that was accepted.
        fidelity: F_reg, F_cls and R2 with "_train" and "_test".
    """

    kind: ClassVar[str] = "class_explanation"
    arrays: ClassVar[Mapping[str, str]] = {
        "parameters": "m float finite",
        "weights": "n float finite",
        "contributions": "n float",
        "alive": "n bool",
        "rebuilt": "p float",
        "history": "epochs 4 float",
    }

    class_index: int
    layer: str
    reads_input: bool
    head: str
    method: str
    widths: tuple[int, ...]
    convolutional: bool
    signed: bool
    parameters: Array
    scale: float
    weights: Array
    bias: float
    contributions: Array
    alive: Array
    rebuilt: Array
    history: Array
    tries: tuple[dict[str, float], ...]
    fidelity: Mapping[str, float]

    @plain_arithmetic()
    def network(self) -> ExplanationNetwork:
        """The network, in evaluation mode; it takes raw activations and answers x-features and scores."""
        network = ExplanationNetwork(
            self.widths,
            convolutional=self.convolutional,
            rectified=not METHODS[self.method].selects,
            signed=self.signed,
            mirrored=not METHODS[self.method].selects,
        )
        with torch.no_grad():
            vector_to_parameters(torch.from_numpy(self.parameters.copy()), network.parameters())
            network.scale.fill_(self.scale)
        return network.requires_grad_(False).eval()

    @plain_arithmetic()
    def explain(self, activations: Array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """X-features (N, n) and scores (N,) of raw activations (N, p) or (N, p, h, w).

        Raises:
            InputError: Activations of another layer.
        """
        p = self.widths[0]
        if activations.ndim != (4 if self.convolutional else 2) or activations.shape[1] != p:
            must = f"have shape (N, {p}{', h, w' if self.convolutional else ''})"
            reject("activations", "this explanation network", must, f"shape {activations.shape}")
        network = self.network()
        with torch.no_grad():
            chunks = torch.split(torch.from_numpy(np.array(activations, np.float32)), 1000)
            values = torch.cat([network(chunk)[0] for chunk in chunks]).numpy()
        return values, values.astype(np.float64) @ self.weights + self.bias

    def to_frame(self) -> pd.DataFrame:
        """One row per x-feature: weight, mean contribution among positives, whether it is ever active."""
        import pandas as pd

        return pd.DataFrame(
            {"weight": self.weights, "contribution": self.contributions, "alive": self.alive},
            index=pd.Index([f"H{i + 1}" for i in range(len(self.weights))], name="x_feature"),
        )

    def plot(self) -> go.Figure:
        """Mean contribution of each x-feature among the positives."""
        names = [f"H{i + 1}" for i in range(len(self.weights))]
        title = f"{self.method} of class {self.class_index}, F_cls {self.fidelity['F_cls_test']:.1%}"
        return figures.bars(names, self.contributions, title=title, x_title="mean contribution (logits)")
