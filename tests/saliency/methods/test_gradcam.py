"""Grad-CAM finds the last maps by itself, and records nothing before it has to."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sparse_debug_widgets.saliency import attribute


class Block(nn.Module):
    """Ends with functions: no layer inside it returns what the block returns."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return functional.relu(x + self.b(self.a(x)))


class Net(nn.Module):
    """One ReLU for all places, registered last, where it also runs first."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.blocks = nn.Sequential(*(Block() for _ in range(blocks)))
        self.fc = nn.Linear(4, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.fc(self.relu(self.blocks(self.relu(self.stem(x))).mean((2, 3))))


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_last_maps_are_those_of_the_last_block_and_the_first_layers_are_not_recorded(blocks) -> None:
    torch.manual_seed(0)
    model, x = Net(blocks), torch.rand(2, 3, 15, 15)
    recorded = {}
    for name in ("stem", "blocks.0.a", f"blocks.{blocks - 1}"):
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda _, __, y, name=name: recorded.__setitem__(name, y.requires_grad))
    found = attribute(model, x, "gradcam", target=1, positive=False)
    assert recorded[f"blocks.{blocks - 1}"] or blocks == 1
    if blocks == 3:
        assert recorded == {"stem": False, "blocks.0.a": False, "blocks.2": True}
    assert found.details["layer"] == "blocks"
    named = attribute(model, x, "gradcam", target=1, positive=False, layer="blocks")
    torch.testing.assert_close(torch.tensor(found.values), torch.tensor(named.values))
    maps = model.blocks(torch.relu(model.stem(x))).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.fc(torch.relu(maps.mean((2, 3))))[:, 1].sum(), maps)
    cam = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).detach()
    cam = functional.interpolate(cam, size=(15, 15), mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.tensor(found.values).sum(1, keepdim=True), cam)


def test_without_convolutions_the_last_layers_are_looked_at() -> None:
    model = nn.Sequential(
        *(nn.Identity() for _ in range(8)),
        nn.Unfold(1),
        nn.Unflatten(2, (6, 6)),
        nn.Flatten(),
        nn.Linear(108, 2),
    )
    found = attribute(model, torch.rand(1, 3, 6, 6), "gradcam", target=0)
    assert found.details["layer"] == "9"


def test_maps_that_only_early_layers_have_are_found() -> None:
    model = nn.Sequential(
        nn.AvgPool2d(2), nn.Flatten(), nn.Unflatten(1, (27, 1, 1)), *(nn.Conv2d(27, 27, 1) for _ in range(3)),
        nn.Flatten(), nn.Linear(27, 2),
    )  # fmt: skip
    found = attribute(model, torch.rand(1, 3, 6, 6), "gradcam", target=0)
    assert found.details["layer"] == "0"
