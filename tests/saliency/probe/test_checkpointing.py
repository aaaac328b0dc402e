"""Activation checkpointing: what runs again in the backward pass must be what ran in the forward pass."""

import numpy as np
import pytest
import torch
from torchvision.models import DenseNet

from sparse_debug_widgets import attribute, curvature, excitation, lambda1_sweep
from sparse_debug_widgets.saliency.methods.registry import METHODS
from tests.saliency.models import Checkpointed, Curvy, images, small_cnn

OPTIONS = {"smoothgrad", "smooth_cafo", "smooth_caso"}


def twins(**options):
    return [Checkpointed(small_cnn(**options), memory_saving=saving) for saving in (True, False)]


@pytest.mark.parametrize("classes", [4, 15])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_the_plain_model(method, classes):
    options = {"n_samples": 3} if method in OPTIONS else {}
    ours, plain = (attribute(m, images(2), method, **options) for m in twins(classes=classes))
    assert np.allclose(ours.values, plain.values, atol=1e-5 * np.abs(plain.values).max())


@pytest.mark.parametrize("kind", ["gauss_newton", "exact", "closed_form"])
def test_second_order_too(kind):
    for ask in (
        lambda m: attribute(m, images(2), "caso", hessian=kind, lambda1=0.1, lambda1_units="relative").values,
        lambda m: curvature(m, images(2), hessian=kind, n_eigenpairs=2).eigenvalues,
        lambda m: lambda1_sweep(m, images(2), n_lambdas=4).values,
        lambda m: excitation(m, images(2), units=[1], layer="body.4", contrastive=True).values,
    ):
        ours, plain = (ask(m) for m in twins())
        assert np.allclose(ours, plain, atol=2e-5 * np.abs(plain).max())


@pytest.mark.parametrize("method", ["gradient", "gradcam", "caso", "excitation_backprop"])
def test_a_memory_efficient_densenet(method):
    maps = []
    for saving in (True, False):
        torch.manual_seed(0)
        model = DenseNet(
            growth_rate=4,
            block_config=(2, 2),
            num_init_features=8,
            bn_size=2,
            num_classes=5,
            memory_efficient=saving,
        )
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2)
        maps.append(
            attribute(model, torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), method)
        )
    assert np.allclose(maps[0].values, maps[1].values, atol=1e-5 * np.abs(maps[1].values).max())


@pytest.mark.parametrize("layer", ["body.0", "body.2", "body.5"])
def test_grad_cam_of_a_layer_within_the_block(layer):
    ours, plain = (attribute(m, images(2), "gradcam", layer=layer, positive=False).values for m in twins())
    assert np.allclose(ours, plain, atol=1e-5 * np.abs(plain).max())


def test_a_curved_block():
    from torch.utils.checkpoint import checkpoint

    class Saving(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Curvy()

        def forward(self, x):
            return checkpoint(self.model, x, use_reentrant=False)

    for method in ("gradient", "caso"):
        ours, plain = (attribute(m, images(2), method).values for m in (Saving(), Curvy()))
        assert np.allclose(ours, plain, atol=1e-5 * np.abs(plain).max())
