"""Real photographs that scikit-learn and scikit-image carry in their wheels, and random views of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from sparse_debug_widgets.core.checks import check_choice
from sparse_debug_widgets.core.seeding import generator

VIEW_SIZE = 256


@dataclass(frozen=True)
class Photograph:
    """A photograph, and what is on it as ImageNet would say it.

    Attributes:
        name: for people.
        package: that carries it.
        path: inside that package.
        imagenet_index: of the ImageNet class that fits best, judged by eye.
    """

    name: str
    package: str
    path: str
    imagenet_index: int

    def open(self) -> Image.Image:
        """The picture, in RGB.

        Raises:
            FileNotFoundError: the installed package does not carry it.
        """
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            message = (
                f"the photograph {self.path} is not compatible with this environment: it must have the "
                f"package {self.package}; got none. Install it."
            )
            raise FileNotFoundError(message)
        with Image.open(Path(spec.origin).parent / self.path) as picture:
            return picture.convert("RGB")


PHOTOGRAPHS = (
    Photograph("camera", "skimage", "data/camera.png", 872),
    Photograph("chelsea", "skimage", "data/chelsea.png", 282),
    Photograph("coffee", "skimage", "data/coffee.png", 967),
    Photograph("motorcycle", "skimage", "data/motorcycle_left.png", 665),
    Photograph("rocket", "skimage", "data/rocket.jpg", 657),
    Photograph("china", "sklearn", "datasets/images/china.jpg", 698),
    Photograph("flower", "sklearn", "datasets/images/flower.jpg", 985),
)
"""Tripod, tiger cat, espresso, moped (ImageNet has no motorcycle), missile (nor a rocket), palace, daisy."""


class PhotographViews(Dataset[tuple[Tensor, int]]):
    """Random views of the photographs; item i is (float32 (3, 256, 256) in [0, 1], its class).

    A view is a crop of 40 to 100 % of the shorter side, perhaps mirrored, a little brighter or darker. The
    parameters are drawn at once, the pixels when asked for.

    Args:
        split: "train" or "test": other views of the same photographs.
        views: per photograph.
        seed: of the views.
    """

    def __init__(self, split: str, views: int, seed: int = 0) -> None:
        self.split = check_choice(split, ("train", "test"), "split", "the photographs")
        n = views * len(PHOTOGRAPHS)
        rng = generator(seed, "photographs", split)
        self.labels: NDArray[np.int64] = rng.permutation(np.arange(n, dtype=np.int64) % len(PHOTOGRAPHS))
        self._side = rng.uniform(0.4, 1.0, n)
        self._place = rng.uniform(0, 1, (n, 2))
        self._mirrored = rng.random(n) < 0.5
        self._light = rng.uniform(0.8, 1.2, n)

    @cached_property
    def _pictures(self) -> list[Image.Image]:
        return [photograph.open() for photograph in PHOTOGRAPHS]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not -len(self) <= index < len(self):
            message = f"index {index} is not compatible with {self!r}: it must be below {len(self)}."
            raise IndexError(message)
        i = int(index) % len(self)
        picture = self._pictures[self.labels[i]]
        view = picture.resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC, box=self.box(i))
        pixels = np.asarray(view, dtype=np.float32).transpose(2, 0, 1) * np.float32(self._light[i] / 255)
        if self._mirrored[i]:
            pixels = pixels[:, :, ::-1]
        return torch.from_numpy(np.ascontiguousarray(np.minimum(pixels, 1))), int(self.labels[i])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_pictures"}

    def __repr__(self) -> str:
        return f"PhotographViews({self.split!r}, n={len(self)})"

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of a view in its photograph, in pixels."""
        width, height = self._pictures[self.labels[index]].size
        side = float(self._side[index]) * min(width, height)
        top, left = self._place[index] * (height - side, width - side)
        return float(left), float(top), float(left) + side, float(top) + side
