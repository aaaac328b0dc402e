"""A decision layer whose weight is computed when it is asked for stays as it is, in training mode too."""

import torch
from torch import nn
from torch.nn.utils import parametrizations

import sparse_debug_widgets as sdw


def test_a_spectral_norm_head_in_training_mode_is_left_alone() -> None:
    torch.manual_seed(0)
    head = parametrizations.spectral_norm(nn.Linear(8, 3))
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), head).train()
    x, y = torch.randn(60, 6), torch.arange(60) % 3
    before = {name: value.clone() for name, value in model.state_dict().items()}
    features = sdw.extract_features(model, (x, y))
    path = sdw.elastic_net_path(features, n_lambdas=4, eps=0.1)
    with path.decision_layer(3).installed(model):
        model(x[:2])
    sdw.find_decision_layer(model)
    sdw.panel(path, model, data=(x, y)).close()
    sdw.attribute(model, x[:2])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    # The dense layer of the path is the one that the model uses in evaluation mode.
    expected = model.eval()[2].weight.detach().double().numpy()
    assert abs(features.dense_weight - expected).max() < 1e-6
