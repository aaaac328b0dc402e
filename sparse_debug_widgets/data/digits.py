"""The `digits` demo: scikit-learn's 1,797 real handwritten digits, 8 x 8 grey, which come with it."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sparse_debug_widgets.core.checks import check_choice
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

    Raises:
        InputError: an unknown split.
    """

    def __init__(self, split: str) -> None:
        self.split = check_choice(split, ("train", "test"), "split", "the digits")
        rows = _digits()
        order = generator(SEED, "digits split").permutation(len(rows))
        chosen = rows[np.sort(order[:N_TRAIN] if split == "train" else order[N_TRAIN:])]
        self.images = torch.from_numpy((chosen[:, :64] / 16).astype(np.float32).reshape(-1, 1, 8, 8))
        self.labels: NDArray[np.int64] = chosen[:, 64].astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not -len(self) <= index < len(self):
            # IndexError ends iteration over a map-style data set
            message = f"index {index} is not compatible with {self!r}: it must be below {len(self)}."
            raise IndexError(message)
        return self.images[index].clone(), int(self.labels[index])

    def __repr__(self) -> str:
        return f"DigitsDataset({self.split!r}, n={len(self)})"


def _digits() -> NDArray[np.float64]:
    """(1797, 65): 64 pixels in 0..16, and the digit."""
    spec = find_spec("sklearn")
    # its own reader would first import all of scikit-learn, which takes longer than everything else here
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as file:
                return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def load() -> Demo:
    """The demo, with its trained model; nothing is planted in it."""
    return load_weights_of("digits", DESCRIPTION)


def load_weights_of(name: str, description: str) -> Demo:
    """The data and the network with the weights of that name.

    Args:
        name: Of the demo and its weights.
        description: In one sentence.
    """
    return demo_from_weights(
        name,
        description,
        lambda: DigitsNet(len(CLASS_NAMES)),
        train=DigitsDataset("train"),
        test=DigitsDataset("test"),
        clean_test=None,
        class_names=CLASS_NAMES,
        truth=None,
    )
