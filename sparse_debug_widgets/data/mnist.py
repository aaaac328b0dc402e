"""Handwritten digits (MNIST) from packages that ship them; the pictures are not part of this package."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from sparse_debug_widgets.core.checks import InputError, check_choice

SPLITS = {"train": slice(0, 4000), "test": slice(4000, 5000)}
FOLDER_VARIABLE = "SDW_MNIST"


class MnistNet(nn.Module):
    """A small convolutional network for 28 x 28 grey digits: about 70,000 parameters, piecewise linear.

    Args:
        n_classes: rows of the decision layer.
    """

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(48 * 7 * 7, 128),
            nn.ReLU(),
        )
        self.fc = nn.Linear(128, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, n_classes) of pictures (batch, 1, 28, 28) in [0, 1]."""
        logits: Tensor = self.fc(self.body(inputs))
        return logits
