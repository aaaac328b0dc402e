"""image_order: the quicker order where it pays, the ordinary one where a model insists."""

import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.image_order import ImageOrder


def order_of(model: nn.Module, points: torch.Tensor, rows: int) -> torch.memory_format:
    return ImageOrder(model, points).run(rows, lambda order: order)


@pytest.mark.parametrize(
    ("model", "rows", "quicker"),
    [
        (nn.Conv2d(3, 8, 3), 1, True),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(512, 512, 3)), 2, False),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(512, 512, 3)), 3, True),
        # Weights that are no kernels do not count.
        (nn.Linear(2048, 2048), 1, True),
    ],
)
def test_the_order_depends_on_the_largest_kernel_and_on_the_rows(model, rows, quicker) -> None:
    images = torch.zeros(1, 3, 5, 5)
    assert order_of(model, images, rows) == (torch.channels_last if quicker else torch.contiguous_format)
    assert order_of(model, torch.zeros(1, 3), rows) == torch.contiguous_format


def test_models_that_want_the_ordinary_order_get_it_from_then_on() -> None:
    asked = []

    def flat(order: torch.memory_format) -> torch.Size:
        asked.append(order)
        return torch.zeros(2, 3, 4, 4).contiguous(memory_format=order).view(2, -1).shape

    order = ImageOrder(nn.Identity(), torch.zeros(2, 3, 4, 4))
    assert order.run(2, flat) == order.run(2, flat) == (2, 48)
    assert asked == [torch.channels_last, torch.contiguous_format, torch.contiguous_format]


def test_other_errors_of_a_model_go_through() -> None:
    def fail(_: torch.memory_format) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        ImageOrder(nn.Identity(), torch.zeros(2, 3, 4, 4)).run(2, fail)
