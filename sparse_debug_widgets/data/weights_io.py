"""The shipped weights: float16 safetensors with the card's numbers in the header, and the card beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
_NUMBERS = "numbers"


def save_weights(model: nn.Module, path: Path, numbers: Mapping[str, float]) -> None:
    """Write a model's weights as float16 (whole numbers as they are), with some numbers about it.

    Args:
        model: whose state is saved.
        path: of the safetensors file.
        numbers: what was measured; read back by `load_weights`.
    """
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, path, metadata={_NUMBERS: json.dumps(dict(numbers), sort_keys=True)})
    path.chmod(0o644)  # safetensors writes for the owner only, which a wheel would carry on


def load_weights(model: nn.Module, name: str, directory: Path = WEIGHTS) -> tuple[dict[str, float], str]:
    """Fill a model with shipped weights, as float32.

    Args:
        model: of the architecture that was saved.
        name: of the demo; NAME.safetensors and NAME.md are read.
        directory: where they lie.

    Returns:
        The numbers saved with the weights, and the text of the model card.
    """
    with safe_open(directory / f"{name}.safetensors", framework="pt") as file:
        numbers: dict[str, float] = json.loads(file.metadata()[_NUMBERS])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    # copies into the model's own float32 parameters; strict, so a stale file is an error
    with torch.no_grad():
        model.load_state_dict(tensors, strict=True)
    return numbers, (directory / f"{name}.md").read_text(encoding="utf-8")
