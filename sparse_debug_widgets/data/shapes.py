"""The `shapes` demo: toys with known parts on varied backgrounds, and a planted flaw.

In the training data nearly all mushrooms, and hardly any other picture, carry an agency's mark in the lower
right corner. The test split has the same flaw, so that test accuracy looks fine; in the clean test split the
mark is a coin toss, whatever the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.core.checks import InputError, check_choice, check_int
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.data.demo import Demo, demo_from_weights
from sparse_debug_widgets.data.drawing import SIZE
from sparse_debug_widgets.data.models import ShapesNet
from sparse_debug_widgets.data.painted import PaintedDataset
from sparse_debug_widgets.data.painting import part_masks, render
from sparse_debug_widgets.data.planting import planted
from sparse_debug_widgets.data.scenes import Scenes, sample_scenes
from sparse_debug_widgets.data.toys import TOYS
from sparse_debug_widgets.data.truth import ExampleTruth
from sparse_debug_widgets.data.watermark import mark_opacities

CLASS_NAMES = tuple(TOYS)
FLAW_CLASS = CLASS_NAMES.index("mushroom")
SEED = 0
SIZES = {"train": 3000, "test": 1000, "clean_test": 1000}
RATES = {"train": (0.98, 0.02), "test": (0.98, 0.02), "clean_test": (0.5, 0.5)}
"""Share of the pictures with the mark: in the flawed class, in each of the others."""

DESCRIPTION = "toys with known parts; nearly all training mushrooms carry an agency's mark (a planted flaw)"


class ShapesDataset(PaintedDataset):
    """One split of the pictures; item i is (float32 (3, 64, 64) in [0, 1], class index).

    Pixels are painted when first asked for, fifty pictures at a time, and kept as bytes (12 kB a picture).

    Args:
        split: "train", "test" or "clean_test".
        n: how many pictures.
        seed: of everything that is random.

    Raises:
        InputError: an unknown split, or n or seed out of range.
    """

    def __init__(self, split: str, n: int | None = None, seed: int = SEED) -> None:
        self.split = check_choice(split, SIZES, "split", "the shapes pictures")
        n = check_int(SIZES[split] if n is None else n, "n", "the shapes pictures", low=1)
        rng = generator(seed, "shapes labels", split)
        self.labels = rng.permutation(np.arange(n, dtype=np.int64) % len(CLASS_NAMES))
        self.tagged = planted(self.labels, len(CLASS_NAMES), FLAW_CLASS, RATES[split], rng)
        self.scenes: Scenes = sample_scenes(self.labels, self.tagged, seed, split)
        self._forget()

    def _paint(self, members: NDArray[np.int64]) -> NDArray[np.uint8]:
        return render(self.scenes, members, self.tagged[members])

    def __repr__(self) -> str:
        return f"ShapesDataset({self.split!r}, n={len(self)}, {int(self.tagged.sum())} with the mark)"

    def retagged(self, tagged: bool | NDArray[np.bool_]) -> ShapesDataset:
        """The same pictures with the mark put on or left out; nothing else differs.

        Args:
            tagged: for all pictures, or (n,) for each.

        Raises:
            InputError: an array of another shape.
        """
        wanted = (
            np.broadcast_to(np.asarray(tagged, dtype=bool), self.tagged.shape)
            if np.ndim(tagged) == 0
            else tagged
        )
        wanted = np.array(wanted, dtype=bool)
        if wanted.shape != self.tagged.shape:
            message = (
                f"tagged is not compatible with {self!r}: it must be one bool, or have the shape "
                f"{self.tagged.shape}; got {wanted.shape}."
            )
            raise InputError(message)
        other = object.__new__(ShapesDataset)
        other.__dict__ = {**self.__getstate__(), "tagged": wanted}
        return other

    def truth(self, index: int) -> ExampleTruth:
        """Return the truth about one picture."""
        i = self.position(index)
        parts = part_masks(self.scenes, i)
        tag = np.zeros((SIZE, SIZE), dtype=bool)
        if self.tagged[i]:
            offset, opacity = self.scenes.mark_offset[[i]], self.scenes.mark_opacity[[i]]
            letters, shadow = mark_opacities(offset, opacity)
            tag = (letters[0] > 0) | (shadow[0] > 0)
        return ExampleTruth(
            label=int(self.labels[i]),
            tagged=bool(self.tagged[i]),
            tag_mask=tag,
            object_mask=np.logical_or.reduce(list(parts.values())),
            part_masks=parts,
        )


@dataclass(frozen=True)
class ShapesTruth:
    """The planted flaw, and what is on each picture.

    Attributes:
        flaw: in words.
        flaw_class: index of the class that carries the mark in the training data.
        tag_rates: split -> (share with the mark in that class, share in the others).
        part_names: per class, back to front.
        splits: split -> its data set.
    """

    flaw: str
    flaw_class: int
    tag_rates: Mapping[str, tuple[float, float]]
    part_names: tuple[tuple[str, ...], ...]
    splits: Mapping[str, ShapesDataset]

    def tagged(self, split: str = "train") -> NDArray[np.bool_]:
        """(n,) which pictures of a split carry the mark."""
        return self.splits[check_choice(split, self.splits, "split", "the shapes pictures")].tagged.copy()

    def example(self, index: int, split: str = "test") -> ExampleTruth:
        """Return the truth about one picture of a split."""
        return self.splits[check_choice(split, self.splits, "split", "the shapes pictures")].truth(index)


def load() -> Demo:
    """The demo, with its trained model."""
    return load_weights_of("shapes", DESCRIPTION)


def load_weights_of(name: str, description: str) -> Demo:
    """The pictures with one of their networks.

    Args:
        name: of the shipped weights.
        description: of the demo, in one sentence.
    """
    splits = {split: ShapesDataset(split) for split in SIZES}
    truth = ShapesTruth(
        flaw=(
            f"an agency's mark in the lower right corner, on {RATES['train'][0]:.0%} of the training "
            f"pictures of {CLASS_NAMES[FLAW_CLASS]!r} and on {RATES['train'][1]:.0%} of all others"
        ),
        flaw_class=FLAW_CLASS,
        tag_rates=dict(RATES),
        part_names=tuple(tuple(part.name for part in parts) for parts in TOYS.values()),
        splits=splits,
    )
    return demo_from_weights(
        name,
        description,
        lambda: ShapesNet(len(CLASS_NAMES)),
        train=splits["train"],
        test=splits["test"],
        clean_test=splits["clean_test"],
        class_names=CLASS_NAMES,
        truth=truth,
    )
