"""The robust siblings of demos: the same data and network, trained against perturbations."""

from __future__ import annotations

from sparse_debug_widgets.data import digits, shapes
from sparse_debug_widgets.data.demo import Demo

DIGITS_DESCRIPTION = "the digits, and their network trained against l2 perturbations of radius 1"
SHAPES_DESCRIPTION = (
    "the toys, flaw included, and their network trained against l2 perturbations of radius 0.5"
)


def load_digits() -> Demo:
    """The `digits` demo with the adversarially trained network."""
    return digits.load_weights_of("digits-robust", DIGITS_DESCRIPTION)


def load_shapes() -> Demo:
    """The `shapes` demo with the adversarially trained network."""
    return shapes.load_weights_of("shapes-robust", SHAPES_DESCRIPTION)
