"""The lasso as an explanation network: n of the layer's own features, chosen by the path solver."""

from __future__ import annotations

import numpy as np
import torch

from sparse_debug_widgets.core.checks import InputError, refuse
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.interpret.xfeatures.srae.network import ExplanationNetwork, first_layer
from sparse_debug_widgets.interpret.xfeatures.srae.rows import Chosen
from sparse_debug_widgets.sparse.features.standardize import moments
from sparse_debug_widgets.sparse.path.exact_count import path_with_count

_EPS = 1e-2


def select_features(chosen: Chosen, n: int, seed: int, report: ProgressCallback) -> ExplanationNetwork:
    """A network whose encoder picks n features; maps are averaged over their positions first.

    Args:
        chosen: Rows to learn from, with their weights.
        n: How many features.
        seed: Of the path.
        report: Progress callback of the path; may raise Cancelled.

    Returns:
        Network in raw units and logits, without a decoder, the weightiest feature first.

    Raises:
        InputError: Two features enter at once, or the layer has fewer that vary.
    """
    values = chosen.activations
    pooled = values.mean((2, 3)) if values.ndim == 4 else values
    varies = moments(pooled, np.ones(len(pooled), bool))[2]
    try:
        path, index = path_with_count(
            pooled[:, varies],
            chosen.targets,
            n_features=n,
            class_index=0,
            family="gaussian",
            alpha=1.0,
            eps=_EPS,
            validation=0.0,
            sample_weight=chosen.weights,
            seed=seed,
            progress=report,
        )
    except InputError as error:
        refuse(
            f"The lasso finds no {n} features of the {int(varies.sum())} that vary at this layer. {error} "
            "Ask for another number, or leave out method='lasso'."
        )
    # Of all points with n features the one that shrinks them least.
    index = max(index, *np.flatnonzero(path.n_nonzero[:, 0] == n).tolist())
    layer = path.decision_layer(index)
    weight = np.zeros(pooled.shape[1])
    weight[varies] = layer.weight.detach()[0].double().numpy()
    picked = np.flatnonzero(weight)
    picked = picked[
        np.argsort(-np.abs(weight[picked] * pooled[chosen.positive].mean(0)[picked]), kind="stable")
    ]
    network = ExplanationNetwork(
        (pooled.shape[1], n), convolutional=values.ndim == 4, rectified=False, mirrored=False
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for unit, feature in enumerate(picked):
            first_layer(network.encoder).weight[unit, feature] = 1.0
        network.readout.weight[0] = torch.from_numpy(weight[picked]).float()
        network.readout.bias[0] = layer.bias.detach()[0].float()
    return network
