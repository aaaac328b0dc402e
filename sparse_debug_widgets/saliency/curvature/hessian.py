"""Products with the input Hessian of the loss, in three ways; see :func:`hessian_at`.

With the Jacobian J (d, C) of the logits, probabilities p and A = diag(p) - p p^T, the Hessian of a
piecewise-linear network's cross-entropy is ``H = J A J^T`` (Proposition 1), and its gradient ``J (p - y)``.
The paper factors A by a Cholesky decomposition, which does not exist (A is singular); with q = sqrt(p),
``A = L L^T`` for ``L = diag(q) (I - q q^T)`` exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.outputs import residual
from sparse_debug_widgets.saliency.curvature.linearity import curved_operations, operation_names
from sparse_debug_widgets.saliency.curvature.tangent import double_pull, tangent
from sparse_debug_widgets.saliency.curvature.twice import TwiceDifferentiable
from sparse_debug_widgets.saliency.probe.calls import Forward
from sparse_debug_widgets.saliency.probe.probe import Probe, finite

HessianKind = Literal["auto", "closed_form", "gauss_newton", "exact"]
# C - 1 backward passes on one kept graph cost less than Lanczos up to here.
FEW_CLASSES = 12
# What PyTorch says of operations without a second derivative.
_ONCE = ("is not implemented", "once_differentiable", "does not require grad")


class Hessian(ABC):
    """A symmetric linear map (B, d) -> (B, d), one per example."""

    products: int = 0

    def __call__(self, vectors: Tensor) -> Tensor:
        """H v for each example."""
        self.products += 1
        return self.apply(vectors)

    @abstractmethod
    def apply(self, vectors: Tensor) -> Tensor:
        """The product itself."""


class Quadratic(NamedTuple):
    """The loss to second order around the inputs: ``g^T D + 1/2 D^T H D``.

    Attributes:
        gradient: (B, d).
        hessian: H.
        kind: How products with H are made.
        curved: Operations that are not piecewise linear.
    """

    gradient: Tensor
    hessian: Hessian
    kind: str
    curved: tuple[str, ...]

    @property
    def semidefinite(self) -> bool:
        """True if H is known to have no negative eigenvalue."""
        return self.kind != "exact" or not self.curved


@dataclass
class Copies:
    """Points at which a Hessian is averaged: the inputs themselves, or noisy copies of them.

    Attributes:
        n: Copies per example.
        point: Number of a copy -> (B, ...).
    """

    n: int
    point: Callable[[int], Tensor]


class LowRank(Hessian):
    """H = F^T F from the closed form, factor F (B, r, d)."""

    def __init__(self, factor: Tensor) -> None:
        self.factor = factor

    def apply(self, vectors: Tensor) -> Tensor:
        """Two thin products; vectors (B, d)."""
        weights = torch.einsum("brd,bd->br", self.factor, vectors)
        return torch.einsum("brd,br->bd", self.factor, weights)


class MatrixFree(Hessian):
    """Average over copies of the product at each point; one kept graph where all points fit in a chunk."""

    def __init__(self, probe: Probe, copies: Copies) -> None:
        self._probe = probe
        self._copies = copies
        self._kept: Forward | None = None

    def apply(self, vectors: Tensor) -> Tensor:
        """Vectors (B, d), taken to the shape of the inputs and back."""
        probe, copies = self._probe, self._copies
        shaped = vectors.view_as(probe.points)
        total = torch.zeros_like(shaped)
        rows = copies.n * probe.batch
        if rows <= probe.chunk_size:
            numbers = torch.arange(rows, device=vectors.device)
            self._add(total, shaped, numbers)
            probe.advance(rows)
        else:
            for chunk in probe.chunks(rows):
                self._kept = None
                self._add(total, shaped, torch.arange(chunk.start, chunk.stop, device=vectors.device))
            self._kept = None
        return (total / copies.n).view_as(vectors)

    def _add(self, total: Tensor, vectors: Tensor, numbers: Tensor) -> None:
        copy, owners = numbers // self._probe.batch, numbers % self._probe.batch
        if self._kept is None:
            made = {c: self._copies.point(c) for c in set(copy.tolist())}
            points = torch.stack([made[int(c)][int(o)] for c, o in zip(copy, owners, strict=True)])
            self._kept = self._open(points, owners)
        total.index_add_(0, owners, self._product(self._kept, vectors[owners], owners))

    def keep(self, forward: Forward) -> None:
        """Use a forward pass that was made anyway (the gradient's)."""
        self._kept = forward

    def _open(self, points: Tensor, owners: Tensor) -> Forward:
        return self._probe.forward(points, owners)

    @abstractmethod
    def _product(self, forward: Forward, vectors: Tensor, owners: Tensor) -> Tensor: ...


class GaussNewton(MatrixFree):
    """J A J^T v by one forward-mode and one backward pass: exact for piecewise-linear networks."""

    _no_forward_rule = False

    def _product(self, forward: Forward, vectors: Tensor, owners: Tensor) -> Tensor:
        moved = self._moved(forward, vectors, owners)
        return forward.pull(softmax_curvature(forward.logits.detach(), moved), keep=True)

    def _moved(self, forward: Forward, vectors: Tensor, owners: Tensor) -> Tensor:
        if not self._no_forward_rule:
            try:
                with sdpa_kernel(SDPBackend.MATH):
                    return tangent(lambda z: self._probe.run(z, owners), forward.leaf.detach(), vectors)
            except NotImplementedError:
                self._no_forward_rule = True
        return double_pull(forward.logits, forward.leaf, vectors)


class Exact(MatrixFree):
    """The true Hessian by differentiating the gradient; may be indefinite where operations are curved."""

    def _open(self, points: Tensor, owners: Tensor) -> Forward:
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH), torch.enable_grad(), TwiceDifferentiable():
            forward = self._probe.forward(points, owners)
            # Not the loss itself: autograd's softmax - onehot loses its digits where the model is sure.
            weights = residual(forward.logits, self._probe.target[owners])
            try:
                (gradient,) = torch.autograd.grad(forward.logits, forward.leaf, weights, create_graph=True)
            except RuntimeError as error:
                _explain(error)
        # Where such a node lies beside another way to the inputs, nothing would be said and the sum be wrong.
        if any(name.endswith("Error") for name in operation_names(gradient)):
            _refuse("an operation that is differentiable once only (once_differentiable)")
        # The "logits" of this pass are the gradient: pulling v back through it is H v.
        return Forward(forward.leaf, gradient)

    def _product(self, forward: Forward, vectors: Tensor, owners: Tensor) -> Tensor:
        del owners
        try:
            return forward.pull(vectors, keep=True)
        except RuntimeError as error:
            _explain(error)


def _explain(error: RuntimeError) -> NoReturn:
    """Say what to do about an operation that cannot be differentiated twice; another error stays."""
    text = str(error)
    if not any(mark in text for mark in _ONCE):
        raise error
    _refuse(text.splitlines()[0])


def _refuse(got: str) -> NoReturn:
    advice = (
        'hessian="gauss_newton" does without them: exact for piecewise-linear networks, for others it leaves '
        "out the curvature of the network itself."
    )
    reject("model", "its exact Hessian", "have second derivatives", got, advice)


def hessian_at(
    probe: Probe, copies: Copies | None = None, *, kind: HessianKind = "auto", few_classes: int = FEW_CLASSES
) -> Quadratic:
    """Gradient and Hessian of the target's cross-entropy at the inputs, or averaged over noisy copies.

    ``"auto"``: the closed form for up to ``few_classes`` classes; matrix-free products
    (``"gauss_newton"``, about 1.7 passes each) for more; ``"exact"`` second derivatives where the network
    is not piecewise linear.

    Args:
        probe: The live model and its inputs.
        copies: Where to average; None: at the inputs.
        kind: Which way.
        few_classes: Up to how many classes the closed form is used.

    Raises:
        InputError: Half precision, no second derivatives.
    """
    if probe.points.dtype not in {torch.float32, torch.float64}:
        must = "compute in float32 or float64"
        reject("model", "second derivatives", must, str(probe.points.dtype), "Pass model.float().")
    plain = copies is None
    copies = copies or Copies(1, lambda _: probe.points)
    rows = slice(0, min(probe.batch, probe.chunk_size))
    first = probe.forward(probe.points[rows], probe.owners[rows])
    curved = curved_operations(first.logits)
    if kind == "auto":
        few = first.logits.shape[1] <= few_classes
        kind = "exact" if curved else "closed_form" if few else "gauss_newton"
    if rows.stop == probe.batch:
        probe.remember(first.logits, probe.resolve(first.logits, rows), rows)
    # One noisy copy is not the input itself.
    at_inputs = plain and rows.stop == probe.batch
    if kind == "closed_form":
        gradient, factor = _closed_form(probe, copies, first if at_inputs else None)
        return Quadratic(gradient, LowRank(factor), kind, curved)
    operator = GaussNewton(probe, copies) if kind == "gauss_newton" else Exact(probe, copies)
    if at_inputs and isinstance(operator, GaussNewton):
        operator.keep(first)
        weights = probe.pull_weights(first.logits, probe.target, "loss")
        gradient = finite(first.pull(weights, keep=True))
        probe.advance(probe.batch)
    else:
        del first
        gradient = probe.sum_gradients(copies.n, copies.point, [1 / copies.n] * copies.n, "loss")
    return Quadratic(gradient.flatten(1).to(probe.points.dtype), operator, kind, curved)


def _closed_form(probe: Probe, copies: Copies, first: Forward | None) -> tuple[Tensor, Tensor]:
    """Gradient (B, d) and factor F (B, n C, d) with H = F^T F.

    A and p - y vanish on the constant vector, so C - 1 differences of Jacobian columns suffice: with
    M_i = J_i - J_r for a reference class r, ``g = sum_i M_i (p - y)_i`` and ``F = L'^T M`` where L' are the
    rows of L other than r.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    for copy in range(copies.n):
        points = probe.points if first is not None else copies.point(copy)
        size = probe.batch if first is not None else probe.chunk_size
        found = []
        for start in range(0, probe.batch, size):
            rows = slice(start, min(probe.batch, start + size))
            forward = first or probe.forward(points[rows], probe.owners[rows])
            found.append(_factor(forward, probe.target[rows]))
            probe.advance(rows.stop - rows.start)
        gradient, factor = (torch.cat(pieces) for pieces in zip(*found, strict=True))
        parts.append((gradient / copies.n, factor / copies.n**0.5))
    gradients, factors = zip(*parts, strict=True)
    return finite(torch.stack(gradients).sum(0)), torch.cat(factors, dim=1)


def softmax_curvature(logits: Tensor, moved: Tensor) -> Tensor:
    """(diag(p) - p p^T) v (R, C), with all digits where one class has nearly all the probability.

    The matrix vanishes on the constant vector: v counts from its entry at the likeliest class.

    Args:
        logits: (R, C), p their softmax.
        moved: (R, C) v.
    """
    p, top = logits.softmax(1), logits.argmax(1, keepdim=True)
    v = moved - moved.gather(1, top)
    return p * (v - (p * v).sum(1, keepdim=True))


def _factor(forward: Forward, target: Tensor) -> tuple[Tensor, Tensor]:
    logits = forward.logits.detach()
    rows, classes = logits.shape
    p = logits.softmax(1)
    # The likeliest class is the reference: of its probability near 1 no digits are lost.
    top = logits.argmax(1, keepdim=True)
    others = torch.arange(classes, device=p.device).expand(rows, -1)
    others = others[others != top].view(rows, classes - 1)
    differences = []
    for i in range(classes - 1):
        weights = torch.zeros_like(logits).scatter_(1, others[:, i : i + 1], 1.0)
        weights.scatter_(1, top, -1.0)
        differences.append(forward.pull(weights, keep=i < classes - 2).flatten(1))
    m = torch.stack(differences, dim=1)
    gradient = torch.einsum("brd,br->bd", m, residual(logits, target).gather(1, others))
    q = p.sqrt()
    root = torch.diag_embed(q) - p[:, :, None] * q[:, None, :]
    root = root.gather(1, others[:, :, None].expand(-1, -1, classes))
    return gradient, torch.einsum("brc,brd->bcd", root, m)
