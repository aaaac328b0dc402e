"""The robust sibling of the `digits` demo: the same data and network, trained against perturbations."""

from __future__ import annotations

from sparse_debug_widgets.data.demo import Demo, demo_from_weights
from sparse_debug_widgets.data.digits import CLASS_NAMES, DigitsDataset
from sparse_debug_widgets.data.models import DigitsNet

DIGITS_DESCRIPTION = "the digits, and their network trained against l2 perturbations of radius 1"


def load_digits() -> Demo:
    """The demo with the adversarially trained network."""
    return demo_from_weights(
        "digits-robust",
        DIGITS_DESCRIPTION,
        lambda: DigitsNet(len(CLASS_NAMES)),
        train=DigitsDataset("train"),
        test=DigitsDataset("test"),
        clean_test=None,
        class_names=CLASS_NAMES,
        truth=None,
    )
