"""The `parts` demo: bugs whose class lies in which parts they have, and where each part is, is known.

Every bug has a body, the same for all, and four parts of three variants each: crown, wing, tail, feet. The
ten classes are combinations of variants: any two of the first nine share exactly one part, so that no part
tells a class by itself, and each variant occurs in several classes. The tenth differs from one of them in its
wing alone. Three bugs in ten lack one part. A faithful explanation of a class has to name its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.core.checks import check_choice, check_int
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.data.demo import Demo, demo_from_weights
from sparse_debug_widgets.data.drawing import SIZE, FloatArray, box, ellipse, polygon
from sparse_debug_widgets.data.models import PartsNet
from sparse_debug_widgets.data.painted import PaintedDataset
from sparse_debug_widgets.data.painting import add_grain, paint_part, part_masks, surroundings
from sparse_debug_widgets.data.scenes import Scenes, sample_scenes
from sparse_debug_widgets.data.toys import Part
from sparse_debug_widgets.data.truth import ExampleTruth

SEED = 0
SIZES = {"train": 3000, "test": 1000}
P_MISSING = 0.3
_CLOSER = 1.35
DESCRIPTION = "bugs whose class is a combination of parts; place and outline of every part are known"

BODY = Part("body", (ellipse(0, 0, 0.34, 0.4),), 0)
VARIANTS: dict[str, tuple[Part, Part, Part]] = {
    "tail": (
        Part("tail", (polygon((0.28, -0.06), (0.98, -0.42), (0.28, 0.1)),
                      polygon((0.28, -0.1), (0.98, 0.42), (0.28, 0.06))), 1),
        Part("tail", (box(0.52, 0, 0.26, 0.05), ellipse(0.8, 0, 0.2, 0.24)), 1),
        Part("tail", (box(0.6, 0, 0.34, 0.06), box(0.56, 0, 0.05, 0.26), box(0.8, 0, 0.05, 0.26)), 1),
    ),
    "wing": (
        Part("wing", (ellipse(-0.6, 0, 0.38, 0.16),), 2),
        Part("wing", (polygon((-0.26, 0.0), (-0.98, -0.4), (-0.98, 0.4)),), 2),
        Part("wing", (box(-0.6, -0.2, 0.36, 0.08), box(-0.6, 0.2, 0.36, 0.08)), 2),
    ),
    "feet": (
        Part("feet", (box(-0.18, 0.64, 0.06, 0.3), box(0.18, 0.64, 0.06, 0.3)), 2),
        Part("feet", (box(0, 0.58, 0.5, 0.17),), 2),
        Part("feet", (ellipse(-0.42, 0.66, 0.15, 0.15), ellipse(0, 0.72, 0.15, 0.15),
                      ellipse(0.42, 0.66, 0.15, 0.15)), 2),
    ),
    "crown": (
        Part("crown", (polygon((-0.26, -0.34), (0, -0.98), (0.26, -0.34)),), 1),
        Part("crown", (box(-0.2, -0.58, 0.04, 0.26), box(0.2, -0.58, 0.04, 0.26),
                       ellipse(-0.2, -0.86, 0.11, 0.11), ellipse(0.2, -0.86, 0.11, 0.11)), 1),
        Part("crown", (box(0, -0.46, 0.46, 0.1), box(-0.38, -0.7, 0.08, 0.2), box(0, -0.7, 0.08, 0.2),
                       box(0.38, -0.7, 0.08, 0.2)), 1),
    ),
}  # fmt: skip
"""Slot -> its three variants; slots are painted in this order, then the body."""

SLOTS = tuple(VARIANTS)
PART_NAMES = (*SLOTS, BODY.name)
COMBINATIONS = np.array(
    [(a, b, (a + b) % 3, (a + 2 * b) % 3) for a in range(3) for b in range(3)] + [(0, 0, 1, 2)], np.int64
)
"""(classes, slots) which variant; an orthogonal array, and one class more, a near twin of one in it."""
CLASS_NAMES = tuple(f"bug {''.join('abc'[v] for v in row)}" for row in COMBINATIONS)


class PartsDataset(PaintedDataset):
    """One split of the bugs; item i is (float32 (3, 64, 64) in [0, 1], class index).

    Args:
        split: "train" or "test".
        n: how many pictures.
        seed: of everything that is random.

    Raises:
        InputError: an unknown split, or n or seed out of range.
    """

    def __init__(self, split: str, n: int | None = None, seed: int = SEED) -> None:
        self.split = check_choice(split, SIZES, "split", "the parts pictures")
        n = check_int(SIZES[split] if n is None else n, "n", "the parts pictures", low=1)
        rng = generator(seed, "parts labels", split)
        self.labels = rng.permutation(np.arange(n, dtype=np.int64) % len(CLASS_NAMES))
        self.variants = COMBINATIONS[self.labels]
        lacking = np.flatnonzero(rng.random(n) < P_MISSING)
        self.variants[lacking, rng.integers(0, len(SLOTS), len(lacking))] = -1
        self.scenes = _closer(sample_scenes(self.labels, np.zeros(n, bool), seed, f"parts {split}"))
        self._forget()

    def __repr__(self) -> str:
        return f"PartsDataset({self.split!r}, n={len(self)})"

    def parts(self, index: int) -> tuple[Part, ...]:
        """The parts that one bug has, back to front."""
        found = zip(SLOTS, self.variants[self.position(index)], strict=True)
        return (*(VARIANTS[slot][variant] for slot, variant in found if variant >= 0), BODY)

    def truth(self, index: int) -> ExampleTruth:
        """Return the truth about one picture; no picture has a mark."""
        i = self.position(index)
        masks = part_masks(self.scenes, i, self.parts(i))
        return ExampleTruth(
            label=int(self.labels[i]),
            tagged=False,
            tag_mask=np.zeros((SIZE, SIZE), bool),
            object_mask=np.logical_or.reduce(list(masks.values())),
            part_masks=masks,
        )

    def _paint(self, members: NDArray[np.int64]) -> NDArray[np.uint8]:
        canvas = surroundings(self.scenes, members)
        coordinates = self.scenes.pose.of(members).coordinates()
        for column, slot in enumerate(SLOTS):
            for variant, part in enumerate(VARIANTS[slot]):
                self._lay(canvas, members, self.variants[members, column] == variant, part, coordinates)
        self._lay(canvas, members, np.ones(len(members), bool), BODY, coordinates)
        add_grain(canvas, self.scenes, members)
        return (canvas * 255 + 0.5).astype(np.uint8)

    def _lay(
        self,
        canvas: FloatArray,
        members: NDArray[np.int64],
        wearing: NDArray[np.bool_],
        part: Part,
        coordinates: tuple[FloatArray, FloatArray],
    ) -> None:
        """One part on those pictures that have it."""
        if wearing.any():
            painted = canvas[wearing]
            u, v = coordinates
            paint_part(painted, self.scenes, members[wearing], part, (u[wearing], v[wearing]))
            canvas[wearing] = painted


def _closer(scenes: Scenes) -> Scenes:
    """Larger objects with less noise than toys have: the parts are what is looked at."""
    middle, pose = np.float32(SIZE / 2), scenes.pose
    scale = np.float32(_CLOSER) * pose.scale
    room, before = (np.clip(middle - 0.95 * one, 1, None)[:, None] for one in (scale, pose.scale))
    centre = middle + (pose.centre - middle) / before * room
    moved = replace(pose, centre=centre.astype(np.float32), scale=scale)
    return replace(scenes, pose=moved, noise=np.float32(0.5) * scenes.noise)


@dataclass(frozen=True)
class PartsTruth:
    """The truth about each picture: its parts, and where they are.

    Attributes:
        part_names: of all parts, in the order of ``masks`` and ``points``.
        combinations: (classes, 4) variant of each slot.
        splits: split -> its data set.
    """

    part_names: tuple[str, ...]
    combinations: NDArray[np.int64]
    splits: Mapping[str, PartsDataset]

    def example(self, index: int, split: str = "test") -> ExampleTruth:
        """Return the truth about one picture of a split."""
        return self._split(split).truth(index)

    def masks(self, rows: NDArray[np.int64], split: str = "test") -> NDArray[np.bool_]:
        """(m, parts, 64, 64) visible pixels of each part of some pictures; all False where it is missing."""
        found = np.zeros((len(rows), len(self.part_names), SIZE, SIZE), bool)
        for k, row in enumerate(rows):
            for name, mask in self._split(split).truth(int(row)).part_masks.items():
                found[k, self.part_names.index(name)] = mask
        return found

    def points(self, rows: NDArray[np.int64], split: str = "test") -> NDArray[np.float64]:
        """(m, parts, 2) row and column of the middle of each part; NaN where it is missing or hidden."""
        found = np.full((len(rows), len(self.part_names), 2), np.nan)
        for k, row in enumerate(rows):
            for name, centre in self._split(split).truth(int(row)).part_centres.items():
                found[k, self.part_names.index(name)] = centre
        return found

    def _split(self, split: str) -> PartsDataset:
        return self.splits[check_choice(split, self.splits, "split", "the parts pictures")]


def load() -> Demo:
    """The demo, with its trained model."""
    splits = {split: PartsDataset(split) for split in SIZES}
    return demo_from_weights(
        "parts",
        DESCRIPTION,
        lambda: PartsNet(len(CLASS_NAMES)),
        train=splits["train"],
        test=splits["test"],
        clean_test=None,
        class_names=CLASS_NAMES,
        truth=PartsTruth(PART_NAMES, COMBINATIONS.copy(), splits),
    )
