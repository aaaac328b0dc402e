"""Put a layer into a live model and take it out again, without ever clobbering somebody else's change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from torch import nn

from sparse_debug_widgets.core.checks import InputError, refuse
from sparse_debug_widgets.core.hooks import find_module, modules_of, unwrap
from sparse_debug_widgets.core.occupied import occupied, replacing

Slot = tuple[nn.Module, str]


class InstalledLayer:
    """A layer that sits in a live model; also a context manager that restores the old one.

    Attributes:
        name: Name of the layer in the model.
        module: The module that was put in.
        original: The module that was there before.
    """

    def __init__(self, name: str, slots: list[Slot], module: nn.Module, original: nn.Module) -> None:
        self.name = name
        self.module = module
        self.original = original
        self._slots = slots
        self._restored = False

    @property
    def active(self) -> bool:
        """True if the module is in the model now."""
        return not self._restored and all(
            parent._modules.get(key) is self.module for parent, key in self._slots
        )

    def restore(self) -> None:
        """Put the old layer back; calling it again does nothing.

        Raises:
            InputError: Somebody replaced the layer meanwhile. Nothing is changed then.
        """
        with occupied([self.module, *(parent for parent, _ in self._slots)]):
            if self._restored:
                return
            if not self.active:
                current = self._slots[0][0]._modules.get(self._slots[0][1])
                msg = (
                    f"Layer {self.name!r} cannot be restored: a {type(current).__name__} has taken its place "
                    "meanwhile. Take that one out first."
                )
                raise InputError(msg)
            for parent, key in self._slots:
                setattr(parent, key, self.original)
            self._restored = True

    def __enter__(self) -> InstalledLayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        state = "installed" if self.active else "restored" if self._restored else "replaced by another layer"
        return f"InstalledLayer({self.name!r}, {state})"


@contextmanager
def replacing_layer(model: nn.Module, name: str) -> Iterator[None]:
    """Keep other threads from replacing a layer for the length of a ``with`` block; they wait.

    Args:
        model: The live model.
        name: Name of the layer.

    Raises:
        InputError: No such layer.
    """
    bare = _holder(model, name)
    with replacing(parent for parent, _ in _slots(bare, find_module(bare, name))):
        yield


def install_layer(
    model: nn.Module, name: str, replacement_for: Callable[[nn.Module], nn.Module]
) -> InstalledLayer:
    """Replace a layer of a live model everywhere it is registered, as soon as no other thread is in it.

    Args:
        model: The live model; wrappers (``torch.compile``, data parallel) are looked through.
        name: Name of the layer.
        replacement_for: Makes the new layer from the old one, or raises an InputError.

    Returns:
        The handle that restores the model.

    Raises:
        InputError: No such layer, or one that the replacement does not fit.
    """
    bare = _holder(model, name)
    with replacing_layer(bare, name), occupied(modules_of(bare)):
        original = find_module(bare, name)
        slots = _slots(bare, original)
        module = replacement_for(original)
        for parent, key in slots:
            setattr(parent, key, module)
    return InstalledLayer(name, slots, module, original)


def _holder(model: nn.Module, name: str) -> nn.Module:
    """The bare model, if it can hold another layer of this name."""
    bare = unwrap(model)
    if not name and isinstance(bare, nn.Linear):
        raise InputError(
            "This model is a single nn.Linear: no module holds it, so that nothing can be put in its place. "
            'Wrap it, model = nn.Sequential(model), and pass layer="0"; or call the decision layer itself, '
            "which takes the same inputs."
        )
    if not name:
        refuse(
            "Which layer is to be replaced? Pass layer=, such as the name that find_decision_layer returns."
        )
    return bare


def _slots(bare: nn.Module, layer: nn.Module) -> list[Slot]:
    return [
        (parent, key) for parent in bare.modules() for key, child in parent._modules.items() if child is layer
    ]
