"""Small models and data for this room's tests."""

import numpy as np
import torch
from torch import Tensor, nn

import sparse_debug_widgets as sdw


class Pictures(nn.Module):
    """Convolution, pooling to quarters, decision layer; answers in the form asked for."""

    def __init__(self, channels: int = 3, features: int = 6, answer: str = "tensor") -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv = nn.Conv2d(channels, features, 3, padding=1)
            self.fc = nn.Linear(features, 3)
        self.answer = answer

    def forward(self, inputs: Tensor):
        logits = self.fc(self.conv(inputs).relu().mean((2, 3)))
        return {"tensor": logits, "tuple": (logits, inputs), "dict": {"logits": logits}}[self.answer]


def pictures(n: int = 40, channels: int = 3, size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.random((n, channels, size, size)).astype(np.float32))
    return x, torch.arange(n) % 3


def features_of(model: nn.Module, data: tuple[Tensor, Tensor]) -> sdw.DeepFeatures:
    return sdw.extract_features(model, data, validation=0)
