"""The loss and its derivative: compiled, in PyTorch, and by autograd; the order of pixels changes nothing."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sparse_debug_widgets.perturbation import perturb
from sparse_debug_widgets.perturbation.classifier import Objective, cross_entropy, differentiable
from tests.perturbation.models import N_CLASSES, linear, network, pictures


@pytest.mark.parametrize("ascent", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_compiled_loss_is_the_one_of_pytorch(dtype: torch.dtype, ascent: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((7, 5), generator=generator, dtype=dtype) * 20
    # Far beyond what exp can hold.
    logits[0, 3], logits[1, 0] = 1e4, -1e4
    target = torch.tensor([3, 0, 1, 2, 3, 4, 0])
    leaf = logits.clone().requires_grad_()
    losses = functional.cross_entropy(leaf, target, reduction="none")
    (slopes,) = torch.autograd.grad(losses.sum(), leaf)
    sign = -1.0 if ascent else 1.0
    compiled = Objective(nn.Identity(), logits, target, ascent=ascent)._cross_entropy(logits)
    for loss, slope in (compiled, cross_entropy(logits, target, sign)):
        assert loss.dtype == slope.dtype == dtype
        torch.testing.assert_close(loss, losses.detach())
        torch.testing.assert_close(slope, sign * slopes)


def test_broken_logits_give_a_broken_loss_and_no_better_one() -> None:
    logits = torch.tensor([[float("nan"), 0.0], [0.0, float("inf")]])
    objective = Objective(nn.Identity(), logits, torch.tensor([1, 0]))
    loss, _ = objective._cross_entropy(logits)
    assert loss[0].isnan()
    assert not objective.better(loss, torch.tensor([1e9, 1e9])).any()
    assert not objective.better(float("nan"), 1.0)


@pytest.mark.parametrize("ascent", [False, True])
@pytest.mark.parametrize("n_classes", [2, 5, 40])
def test_a_nearly_sure_model_keeps_the_digits_of_loss_and_derivative(n_classes: int, ascent: bool) -> None:
    """p - 1 has none left in float32; the sum of the other probabilities has all."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((60, n_classes), generator=generator)
    target = torch.arange(60) % n_classes
    logits[torch.arange(60), target] += torch.linspace(0, 80, 60)
    exact = logits.double()
    p = exact.softmax(1)
    others = p.scatter(1, target[:, None], 0.0)
    truth = (-1.0 if ascent else 1.0) * others.scatter(1, target[:, None], -others.sum(1, keepdim=True))
    gaps = (exact - exact.gather(1, target[:, None])).scatter(1, target[:, None], -torch.inf)
    sign = -1.0 if ascent else 1.0
    compiled = Objective(nn.Identity(), logits, target, ascent=ascent)._cross_entropy(logits)
    for loss, slopes in (compiled, cross_entropy(logits, target, sign)):
        torch.testing.assert_close(slopes, truth.float(), rtol=3e-5, atol=1e-37)
        torch.testing.assert_close(loss, gaps.logsumexp(1).exp().log1p().float(), rtol=3e-5, atol=1e-37)
        torch.testing.assert_close(slopes.double().sum(1), torch.zeros(60).double(), rtol=0, atol=1e-6)


def test_the_first_gap_of_a_sure_model_is_the_one_in_double_precision() -> None:
    model = linear()
    x = pictures()
    with torch.no_grad():
        model[1].weight.mul_(30)
    found = perturb(deepcopy(model).float(), x, eps=0.5, steps=1)
    assert (found.confidence_before > 1 - 1e-6).any()
    exact = perturb(model, x, eps=0.5, steps=1)
    np.testing.assert_allclose(found.gaps[:, 0], exact.gaps[:, 0], rtol=1e-3)
    np.testing.assert_allclose(found.losses, exact.losses, rtol=1e-3)


def test_half_precision_has_its_loss_in_single() -> None:
    logits = torch.tensor([[3.0, 1.0]], dtype=torch.bfloat16)
    loss, slopes = Objective(nn.Identity(), logits, torch.tensor([0]))._cross_entropy(logits)
    assert loss.dtype == torch.float32
    assert slopes.dtype == torch.bfloat16
    torch.testing.assert_close(loss, functional.cross_entropy(logits.float(), torch.tensor([0]))[None])


@pytest.mark.parametrize("kind", ["ordinary", "in place", "by view"])
def test_gradients_are_those_of_autograd_whatever_the_model_wants(kind: str) -> None:
    class ByView(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    body = {
        "ordinary": network(),
        "in place": nn.Sequential(nn.ReLU(inplace=True), network()),
        "by view": nn.Sequential(ByView(), nn.Linear(108, N_CLASSES).double()),
    }[kind]
    x, target = pictures(), torch.tensor([0, 1, 2])
    delta = 0.1 * torch.ones(3, 108, dtype=x.dtype)
    with differentiable(body) as model:
        objective = Objective(model, x, target)
        for _ in range(2):
            evaluation, gradient = objective.with_gradient(delta)
            leaf = (x + 0.1).requires_grad_()
            losses = functional.cross_entropy(model(leaf.clone()), target, reduction="none")
            (expected,) = torch.autograd.grad(losses.sum(), leaf)
            torch.testing.assert_close(evaluation.loss, losses.detach())
            torch.testing.assert_close(gradient, expected.reshape(3, -1))
            assert gradient.is_contiguous()
        torch.testing.assert_close(objective.value(delta).loss, losses.detach())


def test_a_sure_model_keeps_the_digits_of_its_slopes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((4, 6), generator=generator)
    target = torch.arange(4)
    logits[torch.arange(4), target] += torch.tensor([8.0, 12.0, 16.0, 30.0])
    exact = cross_entropy(logits.double(), target)[1]
    compiled = Objective(nn.Identity(), logits, target)._cross_entropy(logits)
    for _, slopes in (compiled, cross_entropy(logits, target)):
        assert ((slopes.double() - exact).norm(dim=1) / exact.norm(dim=1)).max() < 1e-5


def test_one_logit_is_two_classes() -> None:
    z = torch.tensor([[-1.0], [3.0]])
    for answer in (z, z[:, 0]):
        evaluation, gradient = Objective(Answers(answer), z, torch.tensor([1, 1])).with_gradient(z * 0)
        torch.testing.assert_close(evaluation.loss, functional.softplus(-z[:, 0]))
        torch.testing.assert_close(gradient, z.sigmoid() - 1)


class Answers(nn.Module):
    """Its inputs, in the shape of an answer."""

    def __init__(self, like: torch.Tensor) -> None:
        super().__init__()
        self.shape = like.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(self.shape)
