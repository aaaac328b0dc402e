"""The contract that a live model, and the random generators, are as they were before a call.

Use:
    with untouched(model):
        extract_features(model, data)
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)
CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")


@dataclass
class Snapshot:
    """Everything that a call must not change."""

    modules: dict[str, tuple[int, bool, tuple[str, ...], tuple[tuple[int, ...], ...]]]
    parameters: dict[
        str, tuple[nn.Parameter, torch.Tensor, bool, int, torch.Tensor | None, torch.Tensor | None]
    ]
    buffers: dict[str, tuple[torch.Tensor, torch.Tensor]]
    surroundings: dict[str, Any]


def surroundings() -> dict[str, Any]:
    """Global state of the process that computing could disturb."""
    state = {
        "torch RNG": torch.get_rng_state().numpy().tobytes(),
        "NumPy RNG": str(np.random.get_state()),  # noqa: NPY002 - the global generator is what is checked
        "Python RNG": random.getstate(),
        "gradient mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_initialized():
        state["CUDA RNG"] = [s.numpy().tobytes() for s in torch.cuda.get_rng_state_all()]
    return state | {f"cuDNN {name}": getattr(torch.backends.cudnn, name) for name in CUDNN}


def snapshot(model: nn.Module) -> Snapshot:
    """Take note of a model: structure, flags, hooks, parameters and buffers bitwise, gradients."""
    return Snapshot(
        modules={
            name: (
                id(module),
                module.training,
                tuple(vars(module)),
                tuple(tuple(getattr(module, hooks)) for hooks in HOOKS),
            )
            for name, module in model.named_modules(remove_duplicate=False)
        },
        parameters={
            name: (p, p.detach().clone(), p.requires_grad, p._version, p.grad, _copy(p.grad))
            for name, p in model.named_parameters(remove_duplicate=False)
        },
        buffers={name: (b, b.clone()) for name, b in model.named_buffers(remove_duplicate=False)},
        surroundings=surroundings(),
    )


def _copy(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.clone()


def _bitwise(a: torch.Tensor, b: torch.Tensor) -> bool:
    as_bytes = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*as_bytes)


def assert_untouched(model: nn.Module, before: Snapshot) -> None:
    """The model and its surroundings are as they were; the message names what is not."""
    now = snapshot(model)
    changed = [name for name in before.surroundings if before.surroundings[name] != now.surroundings[name]]
    assert not changed, f"surroundings changed: {changed}"
    assert list(now.modules) == list(before.modules), "the submodules changed"
    for what, part in (("identity", 0), ("training flag", 1), ("attributes", 2), ("hooks", 3)):
        names = [name for name in before.modules if before.modules[name][part] != now.modules[name][part]]
        assert not names, f"{what} changed in {names}"
    assert list(now.parameters) == list(before.parameters), "the parameters changed"
    for name, (parameter, copy, requires_grad, version, grad, grad_copy) in before.parameters.items():
        current = now.parameters[name][0]
        assert current is parameter, f"parameter {name} was replaced"
        assert _bitwise(current, copy), f"parameter {name} changed"
        assert current._version == version, f"parameter {name} was written to"
        assert current.requires_grad == requires_grad, f"requires_grad of {name} changed"
        assert current.grad is grad, f"the gradient of {name} was replaced"
        assert grad is None or _bitwise(grad, grad_copy), f"the gradient of {name} changed"
    assert list(now.buffers) == list(before.buffers), "the buffers changed"
    for name, (buffer, copy) in before.buffers.items():
        assert now.buffers[name][0] is buffer, f"buffer {name} was replaced"
        assert _bitwise(buffer, copy), f"buffer {name} changed"


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Check the contract around a block, also when the block raises."""
    before = snapshot(model)
    try:
        yield
    finally:
        assert_untouched(model, before)


def disturb(model: nn.Module) -> nn.Module:
    """Give a model the state that careless code would lose: mixed flags, gradients, frozen parts, a hook."""
    for k, module in enumerate(model.modules()):
        module.training = k % 2 == 0
    for k, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(k % 3 != 0)
        parameter.grad = torch.full_like(parameter, float(k)) if k % 2 else None
    model.register_forward_hook(lambda *_: None)
    return model
