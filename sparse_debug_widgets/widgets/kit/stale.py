"""Is the live model still the one a result was computed from? Looked at after every cell.

Tensor version counters and addresses are looked at first: microseconds. They miss writes through ``p.data``,
so the bytes are hashed too whenever the counters moved, and otherwise as often as that costs a twentieth of
the time.
"""

from __future__ import annotations

import hashlib
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

PARAMETERS = "the model's parameters have changed"
MODE_TRAIN = "the model has been put into training mode"
MODE_EVAL = "the model has been put into evaluation mode"
LAYER = "the model's decision layer has been replaced"
DATA = "the data have changed"
_SHARE = 20.0
_DEPTH = 4


class Watch:
    """The model and the data that a result depends on.

    Args:
        model: The live model, or None.
        data: Its data, or None.
        fingerprint: Fingerprint of the model that the result was computed from; empty if unknown. Then what
            the model is now counts as what it was.
        layer: Name of the decision layer, which panels swap; its original is watched wherever it is.
        original: Gives that original.
        swapped: Tells whether a panel has swapped it.
    """

    def __init__(
        self,
        model: torch.nn.Module | None,
        data: object = None,
        *,
        fingerprint: str = "",
        layer: str = "",
        original: Callable[[], Any] | None = None,
        swapped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._model = model
        self._layer = layer
        self._original = original
        self._swapped = swapped
        self._model_watch = _Bytes(lambda: dict(self._model_tensors()))
        self._data_watch = _Bytes(lambda: dict(_arrays(data)))
        self._modes = self._flags()
        self._born_stale = False
        if model is not None and fingerprint and not swapped():
            from sparse_debug_widgets.core.fingerprint import model_fingerprint

            self._born_stale = model_fingerprint(model) != fingerprint

    def reasons(self) -> tuple[str, ...]:
        """List what has changed, as clauses for people; empty while nothing has."""
        found = []
        if self._born_stale or self._model_watch.changed():
            found.append(PARAMETERS)
        if self._replaced():
            found.append(LAYER)
        flags = self._flags()
        if flags != self._modes and self._model is not None:
            found.append(MODE_TRAIN if self._model.training else MODE_EVAL)
        if self._data_watch.changed():
            found.append(DATA)
        return tuple(found)

    def _replaced(self) -> bool:
        if self._model is None or self._original is None or self._swapped():
            return False
        try:
            return self._model.get_submodule(self._layer) is not self._original()
        except AttributeError:
            return True

    def _flags(self) -> tuple[bool, ...]:
        """Training flags of all modules but the decision layer, which has none that matter."""
        if self._model is None:
            return ()
        inside = f"{self._layer}."
        named = self._model.named_modules()
        return tuple(m.training for n, m in named if n != self._layer and not n.startswith(inside))

    def _model_tensors(self) -> Iterator[tuple[str, Any]]:
        if self._model is None:
            return
        inside = f"{self._layer}." if self._original is not None else "\0"
        for name, tensor in [*self._model.named_parameters(), *self._model.named_buffers()]:
            if not name.startswith(inside):
                yield name, tensor
        if self._original is not None:
            for name, tensor in self._original().state_dict(keep_vars=True).items():
                yield inside + name, tensor


class Watches(Watch):
    """The models that a result depends on; a reason says which of them, if it is not the first."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = tuple(watches)

    def reasons(self) -> tuple[str, ...]:
        """List what has changed."""
        told = [(k, reason) for k, watch in enumerate(self._watches) for reason in watch.reasons()]
        return tuple(f"{reason} (model {k + 1})" if k else reason for k, reason in told)


class _Bytes:
    """Tensors and arrays that should stay as they are."""

    def __init__(self, find: Callable[[], Mapping[str, Any]]) -> None:
        self._find = find
        self._cost = self._last = 0.0
        self._differs = False
        self._marks = self._take_marks()
        self._digest = self._take_digest()

    def changed(self) -> bool:
        """Say whether the bytes differ from what they were; a change that was taken back is none."""
        marks = self._take_marks()
        if marks != self._marks or time.perf_counter() - self._last >= _SHARE * self._cost:
            self._marks = marks
            self._differs = self._take_digest() != self._digest
        return self._differs

    def _take_marks(self) -> tuple[Any, ...]:
        return tuple((name, *_mark(array)) for name, array in self._find().items())

    def _take_digest(self) -> str:
        began = time.perf_counter()
        sha = hashlib.blake2b(digest_size=16)
        for name, array in self._find().items():
            sha.update(f"{name}\0{array.dtype}\0{tuple(array.shape)}\0".encode())
            sha.update(_bytes(array).data)
        self._last = time.perf_counter()
        self._cost = self._last - began
        return sha.hexdigest()


def _mark(array: Any) -> tuple[Any, ...]:  # noqa: ANN401 (a tensor or an array)
    """Return a mark that moves when somebody writes into a tensor; arrays only tell where they are."""
    if isinstance(array, np.ndarray):
        return id(array), array.ctypes.data, array.shape
    return array.data_ptr(), array._version, tuple(array.shape), str(array.dtype)


def _bytes(array: Any) -> npt.NDArray[np.uint8]:  # noqa: ANN401 (a tensor or an array)
    if not isinstance(array, np.ndarray):
        import torch

        flat = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return np.asarray(flat.numpy())
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _arrays(data: object, name: str = "data", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Tensors and arrays that data consist of, as far as they lie open: not what is read from files."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        if data.layout == torch.strided:  # others are refused where they are read
            yield name, data
    elif isinstance(data, np.ndarray):
        if data.dtype.kind in "biufc":
            yield name, data
    elif depth < _DEPTH and isinstance(data, list | tuple) and len(data) <= 16:
        for i, item in enumerate(data):
            yield from _arrays(item, f"{name}[{i}]", depth + 1)
    elif depth < _DEPTH and torch is not None and isinstance(data, _containers(torch)):
        for key, item in vars(data).items():
            yield from _arrays(item, f"{name}.{key}", depth + 1)


def _containers(torch: Any) -> tuple[type, ...]:  # noqa: ANN401 (the module)
    return torch.utils.data.Dataset, torch.utils.data.DataLoader


_panels: weakref.WeakSet[Any] = weakref.WeakSet()
_listening: set[int] = set()


def watch_after_cells(panel: Any) -> None:  # noqa: ANN401 (a Panel)
    """Let a panel look after every cell (``panel.check_stale()``), where this is IPython."""
    _panels.add(panel)
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and id(shell) not in _listening:
        _listening.add(id(shell))
        shell.events.register("post_run_cell", _after_cell)


def _after_cell(*_: object) -> None:
    for panel in list(_panels):
        if not panel.closed:
            panel.check_stale()
