"""Programs that were made of a model: every public function says in one sentence what to pass instead."""

import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError

X, Y = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4

CALLS = {
    "attribute": lambda m: sdw.attribute(m, X[:1]),
    "lambda1_sweep": lambda m: sdw.lambda1_sweep(m, X[:1], n_lambdas=3),
    "curvature": lambda m: sdw.curvature(m, X[:1]),
    "curvature_agreement": lambda m: sdw.curvature_agreement(m, X[:1]),
    "excitation": lambda m: sdw.excitation(m, X[:1], units=[0]),
    "extract_features": lambda m: sdw.extract_features(m, (X, Y)),
    "perturb": lambda m: sdw.perturb(m, X[:1], eps=1.0),
    "error_counterfactuals": lambda m: sdw.error_counterfactuals(m, (X, Y), eps=1.0),
    "probe_concept": lambda m: sdw.probe_concept(m, 0, shape=(3, 8, 8), eps=1.0),
    "robust_accuracy": lambda m: sdw.robust_accuracy(m, (X, Y), eps=0.1),
    "adversarial_training": lambda m: sdw.adversarial_training(m, (X, Y), eps=0.1, epochs=1),
    "x_features": lambda m: sdw.x_features(m, (X, Y), 0, n=2),
    "saliency_panel": lambda m: sdw.saliency_panel(m, (X, Y)),
    "perturb_panel": lambda m: sdw.perturb_panel(m, (X, Y)),
    "x_features_panel": lambda m: sdw.x_features_panel(m, (X, Y)),
    "fit_panel": lambda m: sdw.fit_panel(m, (X, Y)),
}


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4)).eval()
    return torch.export.export(net, (X,)).module()


@pytest.mark.parametrize("name", CALLS)
def test_a_program_is_refused_at_once_with_what_to_do(name, program):
    with pytest.raises(InputError, match=r"This model is a program of torch\.export: .* made from"):
        CALLS[name](program)
