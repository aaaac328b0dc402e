"""The buffers of a model, kept and put back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

_SMALL = 1 << 16
"""Elements up to which a buffer is copied together with others."""


class BufferSnapshot:
    """Copies of all buffers; what has not changed is not written to, so that versions stay as they were.

    Models have hundreds of small ones (two or three for each batch normalisation): those of one kind are
    copied in one piece, and compared in one piece.

    Args:
        modules: Whose own buffers are kept.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._places = [
            (module, name, buffer)
            for module in modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        kinds: dict[Any, list[torch.Tensor]] = {}
        alone = []
        for buffer in {id(buffer): buffer for _, _, buffer in self._places}.values():
            if type(buffer) is torch.Tensor and buffer.layout == torch.strided and buffer.numel() <= _SMALL:
                kinds.setdefault((buffer.dtype, buffer.device, buffer.ndim == 0), []).append(buffer)
            else:
                alone.append(buffer)
        with torch.no_grad():
            self._pieces = [
                (kind, _in_one_piece(kind))
                for (_, device, _), kind in kinds.items()
                # Nothing is in a tensor without data.
                if device.type != "meta"
            ]
            self._alone = [(buffer, buffer.clone()) for buffer in alone if not buffer.is_meta]

    def restore(self) -> None:
        """Put back what has changed, and the buffers themselves where they were replaced."""
        with torch.no_grad():
            for buffers, piece in self._pieces:
                if not _same(_in_one_piece(buffers), piece):
                    sizes = [buffer.numel() for buffer in buffers]
                    for buffer, copy in zip(buffers, torch.split(piece, sizes), strict=True):
                        _put_back(buffer, copy.view(buffer.shape))
            for buffer, copy in self._alone:
                _put_back(buffer, copy)
        for module, name, buffer in self._places:
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer


def _in_one_piece(buffers: list[torch.Tensor]) -> torch.Tensor:
    """The entries of tensors of one kind, one after the other."""
    if buffers[0].ndim == 0:
        return torch.stack(buffers)
    return torch.cat([buffer if buffer.ndim == 1 else buffer.reshape(-1) for buffer in buffers])


def _put_back(buffer: torch.Tensor, copy: torch.Tensor) -> None:
    if not _same(buffer, copy):
        buffer.copy_(copy)


def _same(buffer: torch.Tensor, copy: torch.Tensor) -> bool:
    if buffer.layout != torch.strided:
        buffer, copy = buffer.to_dense(), copy.to_dense()
    if torch.equal(buffer, copy):
        return True
    if not buffer.is_floating_point():
        return False
    # NaN equals NaN here: the statistics of a model that is broken already must not look changed.
    return bool(((buffer == copy) | (buffer.isnan() & copy.isnan())).all())
