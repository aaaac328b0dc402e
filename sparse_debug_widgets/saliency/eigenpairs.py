"""The input Hessian to look at: leading eigenpairs, alignment with the gradient, error of rank one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_choice, check_int
from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.saliency.attribution import provenance
from sparse_debug_widgets.saliency.calls import Target
from sparse_debug_widgets.saliency.display import display_maps, figure_of_maps
from sparse_debug_widgets.saliency.hessian import HessianKind, LowRank, Quadratic, hessian_at
from sparse_debug_widgets.saliency.krylov import lanczos
from sparse_debug_widgets.saliency.probe import noise, probing
from sparse_debug_widgets.saliency.tensors import host, unit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_SWEEP_CLASSES = 64


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Curvature(Result):
    """Second-order structure of the loss around each input.

    Attributes:
        eigenvalues: (B, k) of the input Hessian, largest magnitude first.
        eigenvalue_errors: (B, k) bounds on their errors (0: exact).
        eigenvectors: (B, k, ...) of unit length, the shape of the inputs.
        alignment: (B, k) |cosine| between eigenvector and gradient.
        frobenius: (B,) norm of the Hessian; without the closed form, from the eigenvalues that were found.
        rank_one_error: (B,) ||H - best rank one||_F / ||H||_F.
        gradient_rank_one_error: (B,) ||H - g g^T / (1 - p)||_F / ||H||_F, the paper's approximation (proof of
            Theorem 4), p the probability of the target; meant for the predicted class.
        gradient_norm: (B,) ||g||_2 of the cross-entropy.
        probability: (B,) of the target class.
        target: (B,) the class whose loss it is.
        inputs: (B, ...) what was looked at.
        layout: ``"image"``, ``"features"`` or ``"tokens"``.
        hessian: How it was computed: "closed_form", "gauss_newton" or "exact".
        curved_operations: Operations of the network that are not piecewise linear.
    """

    kind: ClassVar[str] = "curvature"

    eigenvalues: Array
    eigenvalue_errors: Array
    eigenvectors: Array
    alignment: Array
    frobenius: Array
    rank_one_error: Array
    gradient_rank_one_error: Array
    gradient_norm: Array
    probability: Array
    target: Array
    inputs: Array
    layout: str
    hessian: str
    curved_operations: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per example."""
        import pandas as pd

        table: dict[str, Array] = {"target": self.target, "probability": self.probability}
        for k in range(self.eigenvalues.shape[1]):
            table[f"eigenvalue_{k}"] = self.eigenvalues[:, k]
        table |= {
            "alignment": self.alignment[:, 0],
            "rank_one_error": self.rank_one_error,
            "gradient_rank_one_error": self.gradient_rank_one_error,
            "frobenius": self.frobenius,
            "gradient_norm": self.gradient_norm,
        }
        return pd.DataFrame(table)

    def plot(self, example: int = 0) -> go.Figure:
        """The leading eigenvectors of one example, with eigenvalue and alignment."""
        vectors = self.eigenvectors[example]
        maps = display_maps(vectors, self.layout)
        captions = [
            f"{value:.3g}, cosine {cosine:.2f}"
            for value, cosine in zip(self.eigenvalues[example], self.alignment[example], strict=True)
        ]
        inputs = np.repeat(self.inputs[example : example + 1], len(vectors), axis=0)
        title, box = "Eigenvectors of the input Hessian", box_from(self.provenance.params)
        return figure_of_maps(maps, inputs, self.layout, captions, title, box)


def curvature(
    model: nn.Module,
    x: Tensor | Array | Mapping[str, Any],
    *,
    target: Target | None = None,
    n_eigenpairs: int = 5,
    hessian: HessianKind = "auto",
    chunk_size: int | None = None,
    seed: int = 0,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - output, embedding
) -> Curvature:
    """Leading eigenpairs of the input Hessian of the loss, and how close it is to rank one (Fig. 5 to 7).

    Exact for piecewise-linear networks of up to 64 classes (closed form); otherwise by Lanczos with bounds
    on the errors of the eigenvalues.

    Args:
        model: The live model.
        x: As in :func:`attribute`.
        target: Class whose cross-entropy it is: an index, one per example, or ``"prediction"``.
        n_eigenpairs: How many, k.
        hessian: How products with it are made; "auto" chooses by classes and operations.
        chunk_size: Rows in one forward pass.
        seed: Of the random part of Lanczos' first direction.
        progress: Callback, bool or None.
        **options: ``output`` and ``embedding`` as in :func:`attribute`.

    Raises:
        InputError: As in :func:`attribute`.
    """
    start = time.perf_counter()
    check_int(n_eigenpairs, "n_eigenpairs", "the input Hessian", high=50)
    check_choice(hessian, ("auto", "closed_form", "gauss_newton", "exact"), "hessian", "curvature")
    with probing(model, x, target, chunk_size=chunk_size, seed=seed, progress=progress, **options) as probe:
        probe.begin(0, "curvature")
        quadratic = hessian_at(probe, kind=hessian, few_classes=_SWEEP_CLASSES)
        if isinstance(quadratic.hessian, LowRank):
            values, errors, vectors, frobenius = _exact_eigenpairs(quadratic.hessian, n_eigenpairs)
        else:
            g = quadratic.gradient
            first = unit(g) + unit(noise(probe, 0).flatten().to(g).expand_as(g))
            values, errors, vectors, frobenius = _lanczos_eigenpairs(quadratic, first, n_eigenpairs)
        g = quadratic.gradient.double()
        p = probe.logits.double().softmax(1).gather(1, probe.target[:, None])[:, 0]
        tiny = torch.finfo(torch.float64).tiny
        cosine = torch.einsum("bkd,bd->bk", vectors.double(), g).abs() / g.norm(
            dim=1, keepdim=True
        ).clamp_min(tiny)
        safe = frobenius.clamp_min(tiny)
        rest = (frobenius**2 - values[:, 0].double() ** 2).clamp_min(0).sqrt()
        return Curvature(
            provenance=provenance(
                probe, "curvature", {"n_eigenpairs": n_eigenpairs, "hessian": hessian}, start
            ),
            eigenvalues=host(values.double()),
            eigenvalue_errors=host(errors.double()),
            eigenvectors=host(vectors.float().view(probe.batch, -1, *probe.points.shape[1:])),
            alignment=host(cosine),
            frobenius=host(frobenius),
            rank_one_error=host(rest / safe),
            gradient_rank_one_error=host(_gradient_error(quadratic, g, 1 - p, frobenius) / safe),
            gradient_norm=host(g.norm(dim=1)),
            probability=host(p),
            target=host(probe.target),
            inputs=host(probe.inputs.given),
            layout=probe.inputs.layout,
            hessian=quadratic.kind,
            curved_operations=quadratic.curved,
        )


def _exact_eigenpairs(hessian: LowRank, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values (B, k), errors, vectors (B, k, d) and Frobenius norm (B,) from the small Gram matrix F F^T."""
    factor = hessian.factor.double()
    gram = factor @ factor.transpose(1, 2)
    values, small = torch.linalg.eigh(gram)
    values, small = values.flip(1).clamp_min(0), small.flip(2)
    k = min(n, max(1, values.shape[1] - 1))
    vectors = small[:, :, :k].transpose(1, 2) @ factor
    vectors = unit(vectors)
    return values[:, :k], torch.zeros_like(values[:, :k]), vectors, values.norm(dim=1)


def _lanczos_eigenpairs(quadratic: Quadratic, start: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same from 3 k + 10 products."""
    *_, state = lanczos(quadratic.hessian, start, 3 * n + 10)
    values, small, residuals = state.eigen()
    order = np.argsort(-np.abs(values), axis=1)[:, : min(n, values.shape[1])]
    chosen = torch.from_numpy(np.take_along_axis(small, order[:, None, :], axis=2)).to(start)
    vectors = unit(torch.einsum("mbd,bmk->bkd", torch.stack(state.basis), chosen))
    taken = (torch.from_numpy(np.take_along_axis(part, order, axis=1)) for part in (values, residuals))
    top, errors = (part.to(start.device) for part in taken)
    return top, errors, vectors, torch.from_numpy(np.linalg.norm(values, axis=1)).to(start.device)


def _gradient_error(quadratic: Quadratic, g: Tensor, left: Tensor, frobenius: Tensor) -> Tensor:
    """||H - g g^T / left||_F (B,), from ||H||_F and g^T H g."""
    bent = (quadratic.hessian(quadratic.gradient).double() * g).sum(1)
    size = (g * g).sum(1)
    scale = 1 / left.clamp_min(torch.finfo(torch.float64).tiny)
    return (frobenius**2 - 2 * scale * bent + (scale * size) ** 2).clamp_min(0).sqrt()
