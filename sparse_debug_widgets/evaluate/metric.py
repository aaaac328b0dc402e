"""One number that judges explanations, with its direction and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import check_finite, reject

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A number, which direction of it is better, and where it came from.

    Attributes:
        name: As in the thesis: ``"F_reg"``, ``"F_cls"``, ``"O1"``, ``"O2"``, ``"locality"``.
        value: NaN where it is not defined; a note says why.
        better: ``"lower"`` or ``"higher"``.
        best: The value of a perfect explanation.
        details: Parts of the number, by name.
        notes: What was left out or is degenerate; empty where all is well.
    """

    name: str
    value: float
    better: Literal["lower", "higher"]
    best: float
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __float__(self) -> float:
        """The number."""
        return self.value

    def __str__(self) -> str:
        """Name, number, direction and notes in a line."""
        text = f"{self.name} = {self.value:.4g} ({self.better} is better, {self.best:g} is best)"
        return "; ".join([text, *self.notes])

    def better_than(self, other: Metric) -> bool:
        """Say whether this is the better number of the two; NaN is better than nothing.

        >>> Metric("F_cls", 0.9, "higher", 1).better_than(Metric("F_cls", 0.8, "higher", 1))
        True
        """
        if (self.name, self.better) != (other.name, other.better):
            reject(self.name, other.name, "be the same metric", other.name)
        return self.value > other.value if self.better == "higher" else self.value < other.value


def read_vector(values: object, what: str, with_what: str) -> npt.NDArray[np.float64]:
    """Numbers (M,) as float64, at least one.

    Raises:
        InputError: Another shape, none, or not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iufb" or array.ndim != 1 or not len(array):
        reject(what, with_what, "be one number for each image", f"{array.dtype} of shape {array.shape}")
    check_finite(array, what, with_what)
    return array.astype(np.float64)


def read_maps(maps: object, with_what: str) -> npt.NDArray[np.float64]:
    """Heat maps (M, n, H, W) as float64; (M, H, W) is one map an image.

    Raises:
        InputError: Another shape, negative or not finite.
    """
    array = np.asarray(maps)
    must = "be maps (images, x-features, height, width), or (images, height, width)"
    if array.dtype.kind not in "iuf" or array.ndim not in {3, 4} or not array.size:
        reject("maps", with_what, must, f"{array.dtype} of shape {array.shape}")
    check_finite(array, "maps", with_what)
    if array.min() < 0:
        advice = "Of contrastive maps take the positive part (.maps of an Excitation)."
        reject("maps", with_what, "be at least 0", f"{array.min():g}", advice)
    array = array[:, None] if array.ndim == 3 else array
    return array.astype(np.float64)


def probabilities(maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """S = C / sum C for each map (thesis, Sec. 3.3.2); a map of zeros stays one."""
    total = maps.sum(axis=(2, 3), keepdims=True)
    return maps / np.where(total > 0, total, 1)
