"""First-order methods against Captum and closed cases, limits."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.saliency import METHODS, attribute
from sparse_debug_widgets.saliency.methods.integrated_gradients import nodes
from tests.saliency.models import images, small_cnn

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
X, TARGET = images(2), torch.tensor([1, 3])


def close(ours, theirs, tol=1e-5):
    return np.abs(ours - theirs).max() <= tol * np.abs(theirs).max()


def test_gradient_equals_captum():
    theirs = captum.attr.Saliency(small_cnn()).attribute(X, target=TARGET, abs=False)
    assert close(attribute(small_cnn(), X, target=TARGET).values, theirs.numpy())


def test_gradient_times_input_equals_captum():
    theirs = captum.attr.InputXGradient(small_cnn()).attribute(X, target=TARGET)
    ours = attribute(small_cnn(), X, "gradient_x_input", target=TARGET)
    assert close(ours.values, theirs.detach().numpy())


def test_smoothgrad_equals_captum_on_the_same_samples(monkeypatch):
    n, sigma = 5, 0.2
    noise = torch.stack(
        [torch.randn(X.shape[1:], generator=torch_generator(3, "noise", k)) for k in range(n)]
    )
    # Captum draws copies example by example; ours are shared by the examples.
    drawn = noise.repeat(len(X), 1, 1, 1)
    monkeypatch.setattr(torch, "normal", lambda mean, std, **_: mean + std * drawn)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(small_cnn()))
    theirs = tunnel.attribute(X, nt_type="smoothgrad", nt_samples=n, stdevs=sigma, target=TARGET, abs=False)
    monkeypatch.undo()
    options = {"n_samples": n, "sigma": sigma, "sigma_units": "absolute", "seed": 3}
    assert close(attribute(small_cnn(), X, "smoothgrad", target=TARGET, **options).values, theirs.numpy())


@pytest.mark.parametrize(
    ("rule", "name"), [("gauss_legendre", "gausslegendre"), ("midpoint", "riemann_middle")]
)
def test_integrated_gradients_equal_captum(rule, name):
    baseline = torch.rand(1, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    theirs, delta = captum.attr.IntegratedGradients(small_cnn()).attribute(
        X, baseline.expand_as(X), target=TARGET, n_steps=20, method=name, return_convergence_delta=True
    )
    ours = attribute(
        small_cnn(), X, "integrated_gradients", target=TARGET, n_steps=20, rule=rule, baseline=baseline
    )
    assert close(ours.values, theirs.detach().numpy())
    residual = np.array(ours.details["completeness_residual"])
    assert np.allclose(residual, delta.numpy(), atol=1e-4 * np.abs(ours.values).sum())


@pytest.mark.parametrize("rule", ["gauss_legendre", "midpoint", "trapezoid"])
def test_integration_rules_are_exact_for_lines(rule):
    points, weights = map(np.array, nodes(9, rule))
    assert weights.sum() == pytest.approx(1)
    assert (weights * points).sum() == pytest.approx(0.5)


def test_completeness_residual_falls_with_steps():
    def residual(n):
        found = attribute(small_cnn(), X, "integrated_gradients", n_steps=n).details
        return np.abs(found["completeness_residual"]) / np.abs(found["output_change"])

    assert (residual(300) < 1e-2).all()
    assert residual(300).max() < residual(3).max()


def test_integrated_gradients_of_the_loss_are_complete_too():
    """In the log-probability, which is minus the loss: what speaks for the class is positive."""
    found = attribute(small_cnn(gain=2.0), X, "integrated_gradients", n_steps=300, of="loss", target=TARGET)
    logits = small_cnn(gain=2.0)(torch.cat([X, torch.zeros_like(X)]))
    losses = nn.functional.cross_entropy(logits, TARGET.repeat(2), reduction="none").detach()
    change = (losses[2:] - losses[:2]).numpy()
    assert np.allclose(found.details["output_change"], change, atol=1e-5)
    assert np.abs(found.details["completeness_residual"]).max() < 1e-2 * losses.abs().max().item()


def test_grad_cam_equals_captum():
    model = small_cnn()
    cam = captum.attr.LayerGradCam(model, model[5]).attribute(X, target=TARGET, relu_attributions=True)
    theirs = nn.functional.interpolate(cam, size=(10, 10), mode="bilinear", align_corners=False)
    for layer in (None, "5"):
        ours = attribute(model, X, "gradcam", target=TARGET, layer=layer)
        assert ours.details["layer"] == "5"
        assert close(ours.values.sum(1, keepdims=True), theirs.detach().numpy())


def test_gradient_of_the_loss():
    x = X.clone().requires_grad_(True)
    nn.functional.cross_entropy(small_cnn()(x), TARGET, reduction="sum").backward()
    assert close(attribute(small_cnn(), X, target=TARGET, of="loss").values, -x.grad.numpy())


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("units", ["range", "absolute"])
def test_smoothgrad_without_noise_is_the_gradient(units):
    gradient = attribute(small_cnn(), X).values
    smooth = attribute(small_cnn(), X, "smoothgrad", n_samples=1, sigma=0, sigma_units=units).values
    assert close(smooth, gradient, 1e-6)


@pytest.mark.parametrize("name", ["cafo", "caso"])
def test_smooth_versions_without_noise_are_the_plain_ones(name):
    plain = attribute(small_cnn(), X, name, lambda1=0.1, lambda1_units="relative").values
    options = {"n_samples": 2, "sigma": 0.0, "lambda1": 0.1, "lambda1_units": "relative"}
    assert close(attribute(small_cnn(), X, f"smooth_{name}", **options).values, plain, 1e-5)


def test_everything_is_exact_on_a_linear_model():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(300, 4)), X
    weight = model[1].weight.detach()[TARGET].view(2, 3, 10, 10).numpy()
    for method in ("gradient", "smoothgrad"):
        assert close(attribute(model, x, method, target=TARGET).values, weight)
    for method in ("gradient_x_input", "integrated_gradients"):
        found = attribute(model, x, method, target=TARGET)
        assert close(found.values, weight * x.numpy())
    assert np.abs(found.details["completeness_residual"]).max() < 1e-5


def test_a_dead_model_has_zero_maps():
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 8), nn.ReLU(), nn.Linear(8, 3))
    model[1].bias.data.fill_(-1e6)
    for method in set(METHODS) - {"gradcam"}:
        found = attribute(model, X, method)
        assert np.abs(found.values).max() == 0
        assert found.display().max() == 0
