"""A live classifier as a function of the perturbation: the loss of each example and its input gradient.

Parameter gradients are never computed, and the model is only called inside
:func:`~sparse_debug_widgets.core.hooks.model_untouched`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple, cast, overload

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.hooks import call_model, model_untouched
from sparse_debug_widgets.core.image_order import ImageOrder
from sparse_debug_widgets.core.outputs import logits_of, residual


class Evaluation(NamedTuple):
    """The outcome of a forward pass.

    Attributes:
        loss: (B,) cross-entropy of the target; the sign of an ascent is not in it.
        logits: (B, C), detached.
    """

    loss: Tensor
    logits: Tensor


@contextmanager
def differentiable(model: nn.Module) -> Iterator[nn.Module]:
    """A model in evaluation mode whose parameters ask for no gradient; all of it restored on exit.

    Gradients with respect to the input can be taken inside, whatever mode the caller is in (``no_grad``,
    ``inference_mode``).
    """
    with torch.inference_mode(mode=False), torch.enable_grad(), model_untouched(model, frozen=True) as bare:
        yield bare


def place_of(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating dtype of a model: those of its first floating parameter (CPU, float32 if none)."""
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


class Objective:
    """Cross-entropy of a target as a function of the perturbation (B, d) of a batch of inputs.

    Args:
        model: In evaluation mode, as :func:`differentiable` gives it.
        inputs: (B, ...) on the model's device.
        target: (B,) class indices, or None: the model's own prediction, read off the first call.
        ascent: Raise the loss instead of lowering it.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensor, target: Tensor | None = None, *, ascent: bool = False
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._order = ImageOrder(model, inputs)
        # Gradients come out with this sign, so that every method minimises.
        self._sign = -1.0 if ascent else 1.0
        self._works_in_place = False
        self._checked = False
        self.target = target
        self.ascent = ascent

    @property
    def batch_size(self) -> int:
        """B."""
        return len(self._inputs)

    @property
    def start(self) -> Tensor:
        """The zero perturbation (B, d)."""
        return torch.zeros_like(self._inputs).reshape(self.batch_size, -1)

    def with_gradient(self, delta: Tensor) -> tuple[Evaluation, Tensor]:
        """One pass, forward and backward, at ``delta`` (B, d).

        Returns:
            The evaluation, and the gradient (B, d) of what is minimised: minus the loss for an ascent.
        """
        leaf, logits = self._order.run(self.batch_size, lambda order: self._recorded(delta, order))
        seen = logits.detach()
        loss, slopes = self._cross_entropy(seen)
        # Where the model does not depend on its input, autograd would raise; the gradient is zero then.
        (gradient,) = (
            torch.autograd.grad(logits, leaf, slopes, allow_unused=True) if logits.requires_grad else (None,)
        )
        if gradient is None:
            gradient = torch.zeros_like(delta)
        return Evaluation(loss, seen), gradient.reshape(self.batch_size, -1)

    def value(self, delta: Tensor) -> Evaluation:
        """One forward pass at ``delta`` (B, d)."""
        with torch.no_grad():
            logits = self._order.run(self.batch_size, lambda order: self._answer(self._points(delta, order)))
            return Evaluation(self._cross_entropy(logits)[0], logits)

    @overload
    def better(self, loss: Tensor, than: Tensor) -> Tensor: ...

    @overload
    def better(self, loss: float, than: float) -> bool: ...

    def better(self, loss: Tensor | float, than: Tensor | float) -> Tensor | bool:
        """Say whether a loss is better than another one, or (B,) whether each is; NaN never is."""
        return loss > than if self.ascent else loss < than

    def reached(self, predictions: Tensor) -> Tensor:
        """Say whether predictions (B,) are what the perturbation is for: the target, or not it (ascent)."""
        target = cast("Tensor", self.target)
        return predictions.ne(target) if self.ascent else predictions.eq(target)

    def _points(self, delta: Tensor, order: torch.memory_format) -> Tensor:
        """The perturbed inputs, a tensor of their own."""
        points = torch.empty_like(self._inputs, memory_format=order)
        return torch.add(self._inputs, delta.view_as(self._inputs), out=points)

    def _recorded(self, delta: Tensor, order: torch.memory_format) -> tuple[Tensor, Tensor]:
        """The perturbed inputs, and logits whose graph leads back to them."""
        leaf = self._points(delta, order).requires_grad_(True)
        if not self._works_in_place:
            try:
                return leaf, self._answer(leaf)
            except RuntimeError as error:
                if "leaf Variable" not in str(error):
                    raise
                # The first layer works in place, which autograd forbids on what is differentiated by.
                self._works_in_place = True
        return leaf, self._answer(leaf.clone())

    def _answer(self, points: Tensor) -> Tensor:
        logits = logits_of(call_model(self._model, points), rows=self.batch_size)
        if not self._checked:
            self._check(logits)
        return logits

    def _check(self, logits: Tensor) -> None:
        """Once: classes fit, logits are finite; the model's own prediction becomes the target."""
        if not bool(torch.isfinite(logits).all()):
            advice = "Check the model's weights and the scale of the inputs."
            reject("the model's output", "a perturbation", "be finite", "NaN or infinite logits", advice)
        if self.target is None:
            self.target = logits.detach().argmax(1)
        elif int(self.target.max()) >= logits.shape[1]:
            must = f"be a class index of at most {logits.shape[1] - 1}"
            reject("target", "the model", must, f"{int(self.target.max())}")
        self._checked = True

    def _cross_entropy(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (B,), and derivative (B, C) of what is minimised."""
        from sparse_debug_widgets.perturbation.kernel import cross_entropy_rows, is_readable

        target = cast("Tensor", self.target)
        if not is_readable(logits):
            return cross_entropy(logits, target, self._sign)
        loss, slopes = logits.new_empty(len(logits)), torch.empty_like(logits)
        cross_entropy_rows(logits.numpy(), target.numpy(), self._sign, loss.numpy(), slopes.numpy())
        return loss, slopes


def cross_entropy(logits: Tensor, target: Tensor, sign: float = 1.0) -> tuple[Tensor, Tensor]:
    """Cross-entropy (B,) of a target (B,), and ``sign`` times its derivative (B, C).

    Without a graph: the derivative in closed form is cheaper than one more stretch of autograd.
    """
    # Half-precision logits would quantise the loss; float64 models keep their precision.
    exact = logits if logits.dtype == torch.float64 else logits.float()
    top, largest = exact.max(1, keepdim=True)
    # The largest power is 1 and stands outside the sum: log1p keeps what log(1 + tiny) would round away.
    # It is taken off and not overwritten, so that the NaN of an infinite logit stays.
    rest = (exact - top).exp_().scatter_add_(1, largest, -torch.ones_like(top)).sum(1, keepdim=True)
    loss = (top - exact.gather(1, target[:, None]) + rest.log1p_()).squeeze(1)
    return loss, residual(logits, target).mul_(sign)
