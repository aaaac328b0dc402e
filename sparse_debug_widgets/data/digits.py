"""The `digits` demo: scikit-learn's 1,797 real handwritten digits, 8 x 8 grey, which come with the package."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.data.demo import Demo, demo_from_weights
from sparse_debug_widgets.data.models import DigitsNet

DESCRIPTION = "scikit-learn's 1,797 real handwritten digits, 8 x 8 pixels, and a small convolutional network"
CLASS_NAMES = tuple(str(digit) for digit in range(10))
N_TRAIN = 1400
SEED = 0


class DigitsDataset(Dataset[tuple[Tensor, int]]):
    """One split of the digits; item i is (float32 (1, 8, 8) in [0, 1], digit).

    Args:
        split: "train" (1,400) or "test" (397); the division is random, with a fixed seed.
    """

    def __init__(self, split: str) -> None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        order = generator(SEED, "digits split").permutation(len(digits.target))
        chosen = np.sort(order[:N_TRAIN] if split == "train" else order[N_TRAIN:])
        self.split = split
        self.images = torch.from_numpy((digits.images[chosen] / 16).astype(np.float32)[:, None])
        self.labels = digits.target[chosen].astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])

    def __repr__(self) -> str:
        return f"DigitsDataset({self.split!r}, n={len(self)})"


def load() -> Demo:
    """The demo, with its trained model; nothing is planted in it."""
    return demo_from_weights(
        "digits",
        DESCRIPTION,
        DigitsNet(len(CLASS_NAMES)),
        train=DigitsDataset("train"),
        test=DigitsDataset("test"),
        clean_test=None,
        class_names=CLASS_NAMES,
        truth=None,
    )
