"""Hashes of models and data, so that nothing stale is ever reused.

A fingerprint is a SHA-256 in hexadecimal over names, dtypes, shapes and bytes. It does not depend on the
device, on the batch size, or on the process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.batching import Inputs, batches
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.mapped import release

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_CHUNK_BYTES = 1 << 24


def combine(*parts: str) -> str:
    """One fingerprint from several texts or fingerprints; their order matters.

    >>> combine("a", "b") == combine("a", "b") != combine("b", "a")
    True
    """
    sha = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        # The length keeps ("ab", "c") apart from ("a", "bc").
        sha.update(len(encoded).to_bytes(8, "little") + encoded)
    return sha.hexdigest()


def model_fingerprint(model: nn.Module) -> str:
    """Hash of everything that decides what a model computes in evaluation mode, as far as can be seen.

    Names, dtypes, shapes and bytes of all parameters and buffers (also those that a state dict leaves out),
    and the printed structure, so that another activation function is another model. Training flags, devices
    and gradients do not count.

    Args:
        model: The module; wrappers (``torch.compile``, data parallel) are looked through.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: A parameter has no data (meta device, lazy module before its first call).
    """
    bare = unwrap(model)
    sha = hashlib.sha256(_ADDRESS.sub("", f"{type(bare).__qualname__}\0{bare!r}").encode())
    for kind, named in (
        ("parameter", bare.named_parameters(remove_duplicate=False)),
        ("buffer", bare.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in named:
            if tensor.is_meta or nn.parameter.is_lazy(tensor):
                msg = (
                    f"The model's {kind} {name!r} holds no data yet. Run the model once, or load its weights."
                )
                raise InputError(msg)
            sha.update(f"\0{kind}\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            sha.update(_tensor_bytes(tensor).data)
    return sha.hexdigest()


def _tensor_bytes(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    host = tensor.detach()
    if host.layout != torch.strided:
        host = host.to_dense()
    # A copy of one element for scalars: only tensors with a dimension can be viewed as bytes.
    flat = host.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


def array_fingerprint(*arrays: npt.NDArray[Any]) -> str:
    """Hash of arrays: dtypes, shapes and bytes in C order; memory maps are read in chunks."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"\0{array.dtype.str}\0{array.shape}\0".encode())
        if array.size == 0:
            continue
        rows = max(1, _CHUNK_BYTES // max(1, array.nbytes // max(1, len(array)))) if array.ndim else 1
        for chunk in _chunks(array, rows):
            sha.update(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def _chunks(array: npt.NDArray[Any], rows: int) -> Iterable[npt.NDArray[Any]]:
    if array.ndim == 0:
        yield array.reshape(1)
        return
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
        release(array)


class DataHasher:
    """Hash of a stream of batches that does not depend on the batch size.

    >>> whole, halves = DataHasher(), DataHasher()
    >>> whole.update(torch.arange(4.0), None)
    >>> for half in torch.arange(4.0).split(2): halves.update(half, None)
    >>> whole.hexdigest() == halves.hexdigest()
    True
    """

    def __init__(self) -> None:
        self._streams: dict[str, tuple[Any, str]] = {}
        self._rows = 0

    def update(self, inputs: Inputs, labels: torch.Tensor | None) -> None:
        """Add one batch.

        Args:
            inputs: Tensor (B, ...) or a mapping of such tensors.
            labels: Tensor (B, ...) or None.
        """
        named = dict(inputs) if isinstance(inputs, Mapping) else {"": inputs}
        if labels is not None:
            named["\0labels"] = labels
        for name, tensor in named.items():
            form = f"{tensor.dtype}{tuple(tensor.shape[1:])}"
            sha, last = self._streams.get(name) or (hashlib.sha256(), "")
            if form != last:
                # The shape of one example; said again only where it changes (texts of other lengths).
                sha.update(f"\0{form}\0".encode())
            sha.update(_tensor_bytes(tensor).data)
            self._streams[name] = (sha, form)
        self._rows += len(next(iter(named.values())))

    def hexdigest(self) -> str:
        """The fingerprint of what has been added so far."""
        parts = [f"{name}\0{sha.hexdigest()}" for name, (sha, _) in sorted(self._streams.items())]
        return combine(str(self._rows), *parts)


def data_fingerprint(data: object, *, batch_size: int = 256) -> str:
    """Hash of a data set: one pass over it, without a model.

    Args:
        data: Whatever :func:`~sparse_debug_widgets.core.batching.batches` takes.
        batch_size: Examples read at a time; the fingerprint does not depend on it.

    Returns:
        64 hexadecimal digits.
    """
    hasher = DataHasher()
    for batch in batches(data, batch_size):
        hasher.update(batch.inputs, batch.labels)
    return hasher.hexdigest()
