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
from sparse_debug_widgets.core.targets import Target
from sparse_debug_widgets.saliency.attribution import provenance
from sparse_debug_widgets.saliency.curvature.hessian import (
    Hessian,
    HessianKind,
    LowRank,
    Quadratic,
    hessian_at,
)
from sparse_debug_widgets.saliency.curvature.krylov import Beside, Tridiagonal, lanczos
from sparse_debug_widgets.saliency.display import display_maps, figure_of_maps
from sparse_debug_widgets.saliency.probe.probe import Probe, noise, probing
from sparse_debug_widgets.saliency.probe.tensors import host, unit

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
        frobenius: (B,) norm of the Hessian; without the closed form, exact on the directions that Lanczos
            found and estimated on the rest.
        frobenius_error: (B,) half of its 95 % interval (0: exact; None: a file of an older version).
        rank_one_error: (B,) ||H - best rank one||_F / ||H||_F.
        rank_one_interval: (B, 2) its 95 % interval, from that of the norm.
        gradient_rank_one_error: (B,) ||H - g g^T / (1 - p)||_F / ||H||_F, the paper's approximation (proof of
            Theorem 4), p the probability of the target; meant for the predicted class.
        gradient_rank_one_interval: (B, 2) its 95 % interval.
        gradient_norm: (B,) ||g||_2 of the cross-entropy.
        probability: (B,) of the target class.
        target: (B,) the class whose loss it is.
        inputs: (B, ...) what was looked at.
        layout: ``"image"``, ``"features"`` or ``"tokens"``.
        hessian: How it was computed: "closed_form", "gauss_newton" or "exact".
        curved_operations: Operations of the network that are not piecewise linear.
    """

    kind: ClassVar[str] = "curvature"
    arrays: ClassVar[Mapping[str, str]] = {
        "eigenvalues": "B k float",
        "eigenvalue_errors": "B k float",
        "eigenvectors": "B k ...v float",
        "alignment": "B k float",
        "frobenius": "B float",
        "frobenius_error": "? B float",
        "rank_one_error": "B float",
        "rank_one_interval": "? B 2 float",
        "gradient_rank_one_error": "B float",
        "gradient_rank_one_interval": "? B 2 float",
        "gradient_norm": "B float",
        "probability": "B float",
        "target": "B index",
        "inputs": "B ...x number",
    }

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
    frobenius_error: Array | None = None
    rank_one_interval: Array | None = None
    gradient_rank_one_interval: Array | None = None

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
        if self.frobenius_error is not None:
            table["frobenius_error"] = self.frobenius_error
        return pd.DataFrame(table)

    def plot(self, example: int = 0) -> go.Figure:
        """The leading eigenvectors of one example, with eigenvalue and alignment.

        Args:
            example: Position of the example.
        """
        vectors = self.eigenvectors[example]
        maps = display_maps(vectors, self.layout)
        captions = [
            f"{value:.3g}, cosine {cosine:.2f}"
            for value, cosine in zip(self.eigenvalues[example], self.alignment[example], strict=True)
        ]
        inputs = np.repeat(self.inputs[example : example + 1], len(vectors), axis=0)
        title, box = "Eigenvectors of the input Hessian", box_from(self.provenance.params)
        return figure_of_maps(maps, inputs, self.layout, captions, title, box)


def curvature(  # noqa: PLR0913 - everything has a default
    model: nn.Module,
    x: Tensor | Array | Mapping[str, Any],
    *,
    target: Target | None = None,
    n_eigenpairs: int = 5,
    hessian: HessianKind = "auto",
    n_probes: int = 10,
    chunk_size: int | None = None,
    seed: int = 0,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - output, embedding
) -> Curvature:
    """Leading eigenpairs of the input Hessian of the loss, and how close it is to rank one (Fig. 5 to 7).

    Exact for piecewise-linear networks of up to 64 classes (closed form); otherwise by Lanczos with bounds
    on the errors of the eigenvalues, and by ``n_probes`` random vectors (Hutchinson) for the part of the
    Hessian's norm that Lanczos has not seen, with its 95 % interval.

    Args:
        model: The live model.
        x: As in :func:`attribute`.
        target: Class whose cross-entropy it is: an index, one per example, or ``"prediction"``.
        n_eigenpairs: How many, k.
        hessian: How products with it are made; "auto" chooses by classes and operations.
        n_probes: Random vectors for the norm, where it is not exact.
        chunk_size: Rows in one forward pass.
        seed: Of the random part of Lanczos' first direction, and of the random vectors.
        progress: Callback, bool or None.
        **options: ``output`` and ``embedding`` as in :func:`attribute`.

    Raises:
        InputError: As in :func:`attribute`.

    References:
        Singla and others, "Understanding Impacts of High-Order Loss Approximations and Features in Deep
        Learning Interpretation", ICML 2019; ``docs/methods/saliency.md``.
    """
    start = time.perf_counter()
    check_int(n_eigenpairs, "n_eigenpairs", "the input Hessian", high=50)
    check_int(n_probes, "n_probes", "the input Hessian", low=2, high=1000)
    check_choice(hessian, ("auto", "closed_form", "gauss_newton", "exact"), "hessian", "curvature")
    with probing(model, x, target, chunk_size=chunk_size, seed=seed, progress=progress, **options) as probe:
        probe.begin(0, "curvature")
        quadratic = hessian_at(probe, kind=hessian, few_classes=_SWEEP_CLASSES)
        if isinstance(quadratic.hessian, LowRank):
            values, errors, vectors, square = _exact_eigenpairs(quadratic.hessian, n_eigenpairs)
            unsure = torch.zeros_like(square)
        else:
            g = quadratic.gradient
            first = unit(g) + unit(noise(probe, 0).flatten().to(g).expand_as(g))
            values, errors, vectors, found = _lanczos_eigenpairs(quadratic, first, n_eigenpairs)
            square, unsure = _square_of_norm(probe, quadratic.hessian, found, n_probes)
        g = quadratic.gradient.double()
        p = probe.logits.double().softmax(1).gather(1, probe.target[:, None])[:, 0]
        tiny = torch.finfo(torch.float64).tiny
        cosine = torch.einsum("bkd,bd->bk", vectors.double(), g).abs() / g.norm(
            dim=1, keepdim=True
        ).clamp_min(tiny)
        bent = (quadratic.hessian(quadratic.gradient).double() * g).sum(1)
        # The estimate, and the ends of its interval; nothing is smaller than what was found.
        known = (values.double() ** 2).sum(1)
        squares = torch.stack([square, (square - unsure).maximum(known), square + unsure])
        rest = (1 - values[:, 0].double() ** 2 / squares.clamp_min(tiny)).clamp_min(0).sqrt()
        by_gradient = _gradient_error(squares, g, bent, 1 - p)
        norms = squares.sqrt()
        return Curvature(
            provenance=provenance(
                probe,
                "curvature",
                {"n_eigenpairs": n_eigenpairs, "hessian": hessian, "n_probes": n_probes},
                start,
            ),
            eigenvalues=host(values.double()),
            eigenvalue_errors=host(errors.double()),
            eigenvectors=host(vectors.float().view(probe.batch, -1, *probe.points.shape[1:])),
            alignment=host(cosine),
            frobenius=host(norms[0]),
            frobenius_error=host((norms[2] - norms[1]) / 2),
            rank_one_error=host(rest[0]),
            rank_one_interval=host(rest[1:].T),
            gradient_rank_one_error=host(by_gradient[0]),
            gradient_rank_one_interval=host(by_gradient[1:].sort(0).values.T),
            gradient_norm=host(g.norm(dim=1)),
            probability=host(p),
            target=host(probe.target),
            inputs=host(probe.inputs.given),
            layout=probe.inputs.layout,
            hessian=quadratic.kind,
            curved_operations=quadratic.curved,
        )


def _exact_eigenpairs(hessian: LowRank, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values (B, k), errors, vectors (B, k, d) and the square of the norm (B,) from the Gram matrix F F^T."""
    factor = hessian.factor.double()
    gram = factor @ factor.transpose(1, 2)
    values, small = torch.linalg.eigh(gram)
    values, small = values.flip(1).clamp_min(0), small.flip(2)
    k = min(n, max(1, values.shape[1] - 1))
    vectors = small[:, :, :k].transpose(1, 2) @ factor
    vectors = unit(vectors)
    return values[:, :k], torch.zeros_like(values[:, :k]), vectors, (values**2).sum(1)


def _lanczos_eigenpairs(
    quadratic: Quadratic, start: Tensor, n: int
) -> tuple[Tensor, Tensor, Tensor, Tridiagonal]:
    """Values, errors and vectors from 3 k + 10 products, and the space that they are from."""
    *_, state = lanczos(quadratic.hessian, start, 3 * n + 10)
    values, small, residuals = state.eigen()
    order = np.argsort(-np.abs(values), axis=1)[:, : min(n, values.shape[1])]
    chosen = torch.from_numpy(np.take_along_axis(small, order[:, None, :], axis=2)).to(start)
    vectors = unit(torch.einsum("mbd,bmk->bkd", torch.stack(state.basis), chosen))
    taken = (torch.from_numpy(np.take_along_axis(part, order, axis=1)) for part in (values, residuals))
    top, errors = (part.to(start.device) for part in taken)
    return top, errors, vectors, state


def _square_of_norm(
    probe: Probe, hessian: Hessian, space: Tridiagonal, n_probes: int
) -> tuple[Tensor, Tensor]:
    """||H||_F^2 (B,), and half of its 95 % interval.

    With Q the basis and P what is orthogonal to it,
    ``||H||^2 = ||Q^T H Q||^2 + 2 ||P H Q||^2 + ||P H P||^2``. The first two are known: T, and the length of
    what the last product left outside. The third is the mean of ``||P H P v||^2`` over vectors v of random
    signs.
    """
    inside = (space.matrix**2).sum((1, 2)) + 2 * space.next_norm**2
    known = torch.from_numpy(inside).to(probe.points.device)
    beside = Beside(hessian, space.basis)
    from scipy.special import stdtrit

    found = []
    for k in range(n_probes):
        signs = torch.sign(noise(probe, k + 1)).flatten().to(space.basis[0])
        found.append((beside(beside.outside(signs.expand_as(space.basis[0]))).double() ** 2).sum(1))
    samples = torch.stack(found)
    bar = float(stdtrit(n_probes - 1, 0.975)) / n_probes**0.5
    return known + samples.mean(0), bar * samples.std(0)


def _gradient_error(squares: Tensor, g: Tensor, bent: Tensor, left: Tensor) -> Tensor:
    """||H - g g^T / left||_F / ||H||_F (3, B), from ||H||_F^2 (3, B) and g^T H g (B,)."""
    size = (g * g).sum(1)
    tiny = torch.finfo(torch.float64).tiny
    scale = 1 / left.clamp_min(tiny)
    missed = (squares - 2 * scale * bent + (scale * size) ** 2).clamp_min(0)
    return (missed / squares.clamp_min(tiny)).sqrt()
