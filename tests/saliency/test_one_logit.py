"""A binary classifier with one logit is explained as the same classifier with two outputs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets import attribute, excitation, lambda1_sweep
from sparse_debug_widgets.saliency.methods.registry import METHODS
from tests.saliency.models import Wrapped, images, small_cnn


def with_two_outputs(model, factor):
    """Its last layer with the rows -w and w, times a factor."""
    twin = copy.deepcopy(model)
    last = twin[-1]
    twin[-1] = nn.Linear(last.in_features, 2)
    twin[-1].weight.data = factor * torch.cat([-last.weight.data, last.weight.data])
    twin[-1].bias.data = factor * torch.cat([-last.bias.data, last.bias.data])
    return twin.eval()


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_two_outputs(method, squeezed):
    lone, x = small_cnn(classes=1, gain=5.0), images(3)
    # The score of a class is -z or z; its probability is the softmax of half of that.
    twin = with_two_outputs(lone, 0.5 if "caso" in method or "cafo" in method else 1.0)
    shown = Wrapped(lone, lambda z: z[:, 0]) if squeezed else lone
    options = {"n_samples": 3} if method.startswith("smooth") else {}
    for target in (0, 1, None):
        one, two = (attribute(model, x, method, target=target, **options) for model in (shown, twin))
        scale = np.abs(two.values).max()
        assert np.allclose(one.values, two.values, atol=1e-5 * scale)
        assert np.array_equal(one.predicted, two.predicted)
        assert np.array_equal(one.target, two.target)
    with torch.no_grad():
        z = lone(x)[:, 0]
    assert one.predicted.tolist() == (z > 0).long().tolist()
    assert np.allclose(one.confidence, torch.sigmoid(z.abs()), atol=1e-6) or "c" not in method


def test_one_image_of_a_model_that_squeezes_its_batch():
    lone, x = small_cnn(classes=1, gain=5.0), images(3)
    alone = Wrapped(lone, torch.squeeze)
    assert np.allclose(attribute(alone, x[:1]).values, attribute(lone, x).values[:1], atol=1e-6)


def test_the_panel_s_sweep_and_units_of_the_logits():
    lone, x = small_cnn(classes=1, gain=5.0), images(2)
    half, whole = with_two_outputs(lone, 0.5), with_two_outputs(lone, 1.0)
    one, two = (lambda1_sweep(model, x, n_lambdas=5, target=0) for model in (lone, half))
    assert np.allclose(one.values, two.values, atol=1e-5 * np.abs(two.values).max())
    for contrastive in (False, True):
        ours, theirs = (
            excitation(model, x, units=[0, 1], contrastive=contrastive) for model in (lone, whole)
        )
        assert np.allclose(ours.values, theirs.values, atol=1e-6)
        assert np.allclose(ours.activations, theirs.activations, atol=1e-5)
