"""Integrated Gradients, with the residual of its completeness."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sparse_debug_widgets.core.checks import check_real, reject
from sparse_debug_widgets.core.params import Range
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps
from sparse_debug_widgets.saliency.probe.calls import WHAT, Of, toward_class
from sparse_debug_widgets.saliency.probe.probe import Probe

Rule = Literal["gauss_legendre", "midpoint", "trapezoid"]


def integrated_gradients(
    probe: Probe,
    *,
    n_steps: Annotated[int, Range(2, 500)] = 50,
    rule: Rule = "gauss_legendre",
    baseline: float | np.ndarray | Tensor = 0.0,
    of: Of = "logit",
) -> FoundMaps:
    """Gradients integrated from a baseline to the input, times their difference (Sundararajan et al., 2017).

    Completeness says that the values sum to the difference of the output between input and baseline; the
    details hold by how much they miss it (``completeness_residual``) and the difference itself
    (``output_change``), per example.

    Args:
        probe: The live model and its inputs.
        n_steps: Points on the way.
        rule: How the integral becomes a sum.
        baseline: Input that holds no information: a number, or an array that broadcasts against the inputs.
        of: ``"logit"`` of the target class, or ``"loss"``, its cross-entropy; of the loss the map shows what
            lowers it, so that positive values speak for the class either way.
    """
    start = _baseline(probe, baseline)
    probe.begin((n_steps + 2) * probe.batch, "Integrated Gradients")
    change = _output(probe, probe.logits, of)
    with torch.no_grad():
        ends = [probe.run(start[rows], probe.owners[rows]) for rows in probe.chunks(probe.batch)]
    change = change - _output(probe, torch.cat(ends), of)
    steps, weights = nodes(n_steps, rule)
    difference = probe.points - start
    mean = probe.sum_gradients(n_steps, lambda k: start + steps[k] * difference, weights, of)
    values = toward_class(of) * mean * difference
    residual = values.flatten(1).double().sum(1) - change
    details = {"completeness_residual": tuple(residual.tolist()), "output_change": tuple(change.tolist())}
    return FoundMaps(values, details)


def nodes(n: int, rule: Rule) -> tuple[list[float], list[float]]:
    """Points in [0, 1] and weights that sum to 1.

    >>> nodes(2, "midpoint")
    ([0.25, 0.75], [0.5, 0.5])
    """
    if rule == "gauss_legendre":
        points, weights = np.polynomial.legendre.leggauss(n)
        return ((1 + points) / 2).tolist(), (weights / 2).tolist()
    if rule == "midpoint":
        return ((np.arange(n) + 0.5) / n).tolist(), [1 / n] * n
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, n).tolist(), weights.tolist()


def _baseline(probe: Probe, baseline: object) -> Tensor:
    if isinstance(baseline, np.ndarray | Tensor):
        array = torch.tensor(baseline) if isinstance(baseline, np.ndarray) else baseline.detach()
        value = array.to(probe.points)
    else:
        value = probe.points.new_tensor(check_real(baseline, "baseline", WHAT))
    try:
        expanded = value.expand_as(probe.points)
    except RuntimeError:
        must = f"be a number or broadcast against inputs of shape {tuple(probe.points.shape)}"
        reject("baseline", WHAT, must, f"shape {tuple(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        reject("baseline", WHAT, "have finite entries only", "NaN or infinity")
    return expanded


def _output(probe: Probe, logits: Tensor, of: Of) -> Tensor:
    """(B,) in float64: the target's score, or its log-probability, which is minus its loss."""
    if of == "loss":
        return -functional.cross_entropy(logits.double(), probe.target, reduction="none")
    return probe.score(logits.double()).gather(1, probe.target[:, None])[:, 0]
