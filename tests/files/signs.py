"""Maps whose sign was that of the loss before version 0.1 had one convention.

The files in ``loss_signs/`` were written by this module (``python -m tests.files.signs``) with the code of
then, and are of schema 1; the same calls give today's maps, which the files are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import sparse_debug_widgets as sdw

FOLDER = Path(__file__).parent / "loss_signs"


def network() -> nn.Module:
    """Two layers without any rounding in their weights."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            count = torch.arange(parameter.numel()) * 7919 % 101
            parameter.copy_((count.float() / 128 - 0.375).reshape(parameter.shape))
    return model


def _map(method: str, **options: Any) -> Callable[[], Any]:
    pictures = (torch.arange(72) * 7919 % 97).float().reshape(2, 1, 6, 6) / 128
    return lambda: sdw.attribute(network(), pictures, method, target=1, **options)


def _sweep() -> Any:
    pictures = (torch.arange(36) * 7919 % 97).float().reshape(1, 1, 6, 6) / 128
    return sdw.lambda1_sweep(network(), pictures, "cafo", target=1, n_lambdas=4)


MAPS: dict[str, Callable[[], Any]] = {
    "cafo": _map("cafo"),
    "caso": _map("caso"),
    "smooth_cafo": _map("smooth_cafo", n_samples=8),
    "smooth_caso": _map("smooth_caso", n_samples=8),
    "gradient": _map("gradient"),
    "gradient_loss": _map("gradient", of="loss"),
    "smoothgrad_loss": _map("smoothgrad", of="loss", n_samples=8),
    "integrated_loss": _map("integrated_gradients", of="loss", n_steps=8),
    "gradcam_loss": _map("gradcam", of="loss", positive=False),
    "sweep": _sweep,
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in MAPS.items():
        make().save(FOLDER / f"{name}.safetensors")
