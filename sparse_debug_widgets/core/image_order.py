"""In which order the pixels of images lie in memory when a model runs on them.

On the CPU most convolutional networks are quicker where the channels of a pixel lie side by side
("channels last"). Measured with one thread and one image of 224 px, forward and input backward, against the
ordinary order: SqueezeNet 0.73, MobileNetV2 0.85, EfficientNet-Lite0 0.88, DenseNet-121 0.87, RegNetX-400MF
0.89, EfficientNet-B0 0.94, but ResNet-18 1.33 and ResNet-50 1.13. Those two have convolutions of more than a
million weights, and bringing weights into order costs the same however few rows there are: with 6 to 10 rows
ResNet-50, too, is at 0.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.hooks import modules_of

T = TypeVar("T")
_WEIGHTS_A_ROW = 1 << 20


class ImageOrder:
    """Chooses the order for one model, and falls back where the model does not take it.

    The choice depends on the model's structure and on the number of rows only: with the same seed the numbers
    are the same.

    Args:
        model: The live model.
        points: (B, ...) what it is asked about.
    """

    def __init__(self, model: nn.Module, points: Tensor) -> None:
        self._possible = points.ndim == 4 and points.device.type == "cpu"
        self._rows = 1
        if self._possible:
            kernels = (p for module in modules_of(model) for p in module._parameters.values())
            largest = max((p.numel() for p in kernels if p is not None and p.ndim == 4), default=0)
            self._rows = -(-largest // _WEIGHTS_A_ROW)

    def run(self, rows: int, call: Callable[[torch.memory_format], T]) -> T:
        """Run ``call`` with its ``rows`` images in the wanted order.

        It may be called twice: models that use ``.view()`` want the ordinary order.
        """
        if not self._possible or rows < self._rows:
            return call(torch.contiguous_format)
        try:
            return call(torch.channels_last)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            self._possible = False
            return call(torch.contiguous_format)
