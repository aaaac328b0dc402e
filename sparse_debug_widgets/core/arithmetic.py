"""PyTorch arithmetic as this package expects it, whatever the caller of a function has switched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def plain_arithmetic(*, gradients: bool = False) -> Iterator[None]:
    """Compute in the precision of the tensors themselves: no autocast, no inference mode.

    A notebook may call a function under ``torch.autocast`` or ``torch.inference_mode``. Products of networks
    of our own would come out in half precision there, and their parameters could not be written. What was
    switched comes back on exit. Works as a decorator too.

    Args:
        gradients: Whether operations inside are recorded for a backward pass.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        stack.enter_context(no_autocast())
        yield


@contextmanager
def no_autocast() -> Iterator[None]:
    """Switch autocast off on every device there is."""
    with ExitStack() as stack:
        for device_type in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
            stack.enter_context(torch.autocast(device_type, enabled=False))
        yield
