"""A graphics card made of host memory, for tests on machines without one.

PyTorch's fake tensors say that they are on "cuda": what is made of them is there too, and an operation on a
mix of devices raises as it would on a card; but where a number has to be known on the host, they cannot tell.
Here each of them has a twin with its numbers on the host, on which every operation is done too. So a decision
gets its number, whole fits and attributions run to their end, and what they give is compared with the CPU's.

Whatever makes the host wait for the card is counted, with the line of the package that asked for it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.immutable_collections import immutable_dict
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

import sparse_debug_widgets

CARD = torch.device("cuda", 0)
_INSIDE = torch.device("lazy")
"""What PyTorch's C++ is told: a kind of device for which it asks no driver, and that nobody here uses."""
PACKAGE = Path(sparse_debug_widgets.__file__).parent

_aten = torch.ops.aten
_SCALAR = {_aten._local_scalar_dense.default, _aten.item.default, _aten.is_nonzero.default}
_SIZED_BY_VALUES = {
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten._unique2.default,
    _aten.unique_dim.default,
    _aten.unique_consecutive.default,
    _aten.repeat_interleave.Tensor,
    _aten.bincount.default,
}
_PUTS = (_aten.index_put_, _aten._index_put_impl_)
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_NORMS = {_aten.native_batch_norm.default, _aten._native_batch_norm_legit.default}
_COMPARISONS = {_aten.equal.default, _aten.allclose.default}


class OnCard(FakeTensor):
    """A tensor on the card: Python sees "cuda", PyTorch's C++ what starts no driver."""

    twin: Tensor
    is_cuda = True
    is_meta = False

    @property
    def data(self) -> Tensor:
        """The numbers without their history."""
        return Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, value: Tensor) -> None:
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.twin = value.twin

    def tolist(self) -> Any:
        """The numbers, which the host waits for once."""
        self.fake_mode._waited("tolist")
        return self.twin.tolist()

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] = immutable_dict(),
    ) -> object:
        """Tell the device as C++ is to see it; all else is the mode's."""
        if func is torch.ops.prim.device.default:
            mode = args[0].fake_mode  # type: ignore[attr-defined]
            return torch.device("meta") if mode.in_kernel_invocation else _INSIDE
        return super().__torch_dispatch__(func, types, args, kwargs)


class Card(FakeTensorMode):
    """The mode in which "cuda" works; use it as a context.

    Attributes:
        waits: How often the host waited for the card, by (what, "room/file.py:function").
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.waits: Counter[tuple[str, str]] = Counter()
        self._tracing = False

    def __enter__(self) -> Card:
        """Let "cuda" work, its generators too."""
        self._generator = torch.Generator
        torch.Generator = _Generator
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Put PyTorch back as it was."""
        torch.Generator = self._generator
        super().__exit__(*error)

    # -- between the two sides ---------------------------------------------------------------------------

    def twin(self, value: Any) -> Any:
        """The host's side of a tensor on the card; anything else as it is."""
        return value.twin if isinstance(value, FakeTensor) else value

    def hold(self, real: Tensor) -> Tensor:
        """A tensor on the card with these numbers."""
        meta = real.detach().to("meta")
        fake = OnCard(self, meta, CARD)
        fake.twin = real
        return fake

    def dispatch(  # noqa: PLR0911 - one return for each kind of operation
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Do an operation on the card and on its host's side."""
        if func is torch.ops.prim.device.default:
            return torch.device("meta") if self.in_kernel_invocation else _INSIDE
        kwargs = dict(kwargs or {})
        flat, spec = tree_flatten((tuple(args), kwargs))
        ours = [value for value in flat if isinstance(value, FakeTensor)]
        flat = [
            CARD if isinstance(value, torch.device) and value.type == _INSIDE.type else value
            for value in flat
        ]
        args, kwargs = tree_unflatten(flat, spec)
        _same_generator(flat)
        if self._tracing:  # the parts of an operation, whose whole is done on the host
            return super().dispatch(func, types, args, kwargs)
        if not ours and CARD.type not in {value.type for value in flat if isinstance(value, torch.device)}:
            return func(*args, **kwargs)
        host = [
            torch.device("cpu") if isinstance(value, torch.device) else self.twin(value) for value in flat
        ]
        real_args, real_kwargs = tree_unflatten(host, spec)
        if func in _SCALAR or func in _COMPARISONS:
            self._waited(func)
            if len({value.device.type for value in flat if isinstance(value, Tensor)}) > 1:
                raise RuntimeError(f"{func}: expected all tensors to be on the same device")
            return func(*real_args, **real_kwargs)
        if func in _COPIES:
            return self._copy(func, args, kwargs, real_args, real_kwargs)
        if func in _SIZED_BY_VALUES or _has_mask(func, args):
            self._waited(func)
            _one_device(func, args)
            real = func(*real_args, **real_kwargs)
            return args[0] if func.overloadpacket in _PUTS else tree_map(self._held, real)
        self._tracing = True
        try:
            faked = super().dispatch(func, types, args, kwargs)
        finally:
            self._tracing = False
        real = func(*real_args, **real_kwargs)
        if func in _NORMS:  # what they keep for the backward pass differs from device to device
            return tree_map(self._held, real)
        return self._paired(faked, real, {id(value) for value in ours})

    def _copy(self, func: Any, args: Any, kwargs: Any, real_args: Any, real_kwargs: Any) -> object:
        if func is _aten.copy_.default:
            into = args[0]
            func(*real_args, **real_kwargs)
            if not isinstance(into, FakeTensor):
                self._waited("copy to the host")
            return into
        device = kwargs.get("device")
        real = func(*real_args, **real_kwargs)
        if device is not None and torch.device(device).type == "cpu":
            self._waited("copy to the host")
            return real
        return self.hold(real)

    def _paired(self, faked: Any, real: Any, given: set[int]) -> Any:
        out, spec = tree_flatten(faked)
        numbers = tree_flatten(real)[0]
        for place, (one, other) in enumerate(zip(out, numbers, strict=True)):
            if other is None:
                out[place] = None
            elif isinstance(one, FakeTensor) and id(one) not in given:
                assert one.shape == other.shape, (one.shape, other.shape)
                one.__class__ = OnCard
                one.twin = other
        return tree_unflatten(out, spec)

    def _held(self, real: Any) -> Any:
        return self.hold(real) if isinstance(real, Tensor) else real

    def _waited(self, func: Any) -> None:
        self.waits[str(func).removeprefix("aten.").removesuffix(".default"), _where()] += 1


class _Generator(torch.Generator):
    """A generator that says it is on the card, and draws on the host."""

    on_card: ClassVar[set[int]] = set()
    """Addresses in C++, which is all of a generator that reaches an operation."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls)
        made.place = torch.device(device)
        (cls.on_card.add if made.place.type == "cuda" else cls.on_card.discard)(made._cdata)
        return made

    @property
    def device(self) -> torch.device:
        """Where the generator is to be used."""
        return CARD if self.place.type == "cuda" else self.place


def _one_device(func: Any, args: Sequence[Any]) -> None:
    """Refuse an indexing on the host by places on the card; places on the host are copied to the card."""
    if not isinstance(args[0], FakeTensor):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    values = args[2:3] if func.overloadpacket in _PUTS else ()
    if any(
        isinstance(value, Tensor) and value.ndim and not isinstance(value, FakeTensor) for value in values
    ):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")


def _same_generator(flat: Sequence[object]) -> None:
    """Refuse random numbers on one device from a generator of another."""
    places = [value for value in flat if isinstance(value, torch.device)]
    places += [value.device for value in flat if isinstance(value, Tensor)]
    for value in flat:
        if isinstance(value, torch._C.Generator):
            kind = "cuda" if value._cdata in _Generator.on_card else "cpu"
            if places and kind != places[0].type:
                raise RuntimeError(f"Expected a '{places[0]}' device type for generator but found '{kind}'")


def _has_mask(func: Any, args: Sequence[object]) -> bool:
    """Whether an operation on the card looks up where a mask is true, which the host has to be told."""
    packet = getattr(func, "overloadpacket", None)
    if packet is _aten.index:
        return _masks(args[1])
    if packet in _PUTS:
        return _masks(args[1]) and args[2].numel() != 1
    return False


def _masks(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _where() -> str:
    """The place in the package that asked for the running operation."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            name = frame.f_code.co_qualname.split(".<locals>")[0]  # a comprehension is part of its function
            return f"{path.relative_to(PACKAGE).as_posix()}:{name}"
        frame = frame.f_back
    return "outside"
