"""The small networks of the demos: convolutions, global average pooling, one decision layer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; halves the picture when the stride is 2.

    Args:
        channels_in: of the input.
        channels_out: of the output.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, channels_in, H, W) -> (batch, channels_out, H / stride, W / stride)."""
        hidden = self.relu1(self.bn1(self.conv1(inputs)))
        out: Tensor = self.relu2(self.bn2(self.conv2(hidden)) + self.shortcut(inputs))
        return out


class ShapesNet(nn.Module):
    """A small residual network for 64 x 64 colour pictures: about 170,000 parameters, piecewise linear.

    Args:
        n_classes: rows of the decision layer.
        n_features: deep features, after global average pooling.
    """

    def __init__(self, n_classes: int, n_features: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(16, 16, 1), ResidualBlock(16, 48, 2), ResidualBlock(48, 96, 2)
        )
        self.expand = nn.Sequential(
            nn.Conv2d(96, n_features, 1, bias=False), nn.BatchNorm2d(n_features), nn.ReLU()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(n_features, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, n_classes) of pictures (batch, 3, H, W) in [0, 1]."""
        logits: Tensor = self.fc(self.features(inputs))
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """Deep features (batch, n_features), what the decision layer sees."""
        features: Tensor = self.flatten(self.pool(self.expand(self.blocks(self.stem(inputs * 2 - 1)))))
        return features


class DigitsNet(nn.Module):
    """A small convolutional network for 8 x 8 grey digits.

    Args:
        n_classes: rows of the decision layer.
        n_features: deep features: the channels of the last convolution, averaged over the four quarters.
    """

    def __init__(self, n_classes: int = 10, n_features: int = 224) -> None:
        super().__init__()
        channels = n_features // 4
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(48, channels, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
        )
        self.fc = nn.Linear(4 * channels, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, n_classes) of pictures (batch, 1, 8, 8) in [0, 1]."""
        logits: Tensor = self.fc(self.body(inputs))
        return logits


class PartsNet(nn.Module):
    """A plain convolutional network for the 64 x 64 bugs, with a hidden layer before the decision layer.

    Args:
        n_classes: rows of the decision layer.
        n_features: deep features: rectified units of the hidden layer.
    """

    def __init__(self, n_classes: int = 10, n_features: int = 128) -> None:
        super().__init__()
        widths, modules = (3, 16, 32, 64, 96), []
        for before, after in pairwise(widths):
            modules += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            modules += [nn.MaxPool2d(2)] if after < widths[-1] else []
        self.body = nn.Sequential(*modules, nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(widths[-1], n_features), nn.ReLU())
        self.fc = nn.Linear(n_features, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, n_classes) of pictures (batch, 3, 64, 64) in [0, 1]."""
        logits: Tensor = self.fc(self.features(inputs))
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """Deep features (batch, n_features), what the decision layer sees."""
        features: Tensor = self.hidden(self.body(inputs))
        return features


def n_parameters(model: nn.Module) -> int:
    """Count the parameters of the model, buffers left out."""
    return sum(parameter.numel() for parameter in model.parameters())


def logits_of(model: nn.Module, inputs: Tensor, batch_size: int = 250) -> Tensor:
    """Logits of many pictures, without gradients; the caller has put the model into evaluation mode."""
    with torch.no_grad():
        return torch.cat([model(chunk) for chunk in torch.split(inputs, batch_size)])
