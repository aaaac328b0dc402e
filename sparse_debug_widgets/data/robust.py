"""The robust siblings of demos: the same data and network, trained against perturbations."""

from __future__ import annotations

from sparse_debug_widgets.data import digits
from sparse_debug_widgets.data.demo import Demo

DIGITS_DESCRIPTION = "the digits, and their network trained against l2 perturbations of radius 1"


def load_digits() -> Demo:
    """The `digits` demo with the adversarially trained network."""
    return digits.load_weights_of("digits-robust", DIGITS_DESCRIPTION)
