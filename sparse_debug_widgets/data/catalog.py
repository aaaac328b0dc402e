"""The registry of demos. To add one: write its file, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.data import digits, efficientnet, mnist, movies, parts, robust, shapes, tickets
from sparse_debug_widgets.data.demo import Demo


@dataclass(frozen=True)
class DemoEntry:
    """A demo in the catalogue: its loader, and one sentence about it."""

    load: Callable[[], Demo]
    description: str


DEMOS: Registry[DemoEntry] = Registry(
    "demo",
    {
        "shapes": DemoEntry(shapes.load, shapes.DESCRIPTION),
        "parts": DemoEntry(parts.load, parts.DESCRIPTION),
        "shapes-robust": DemoEntry(robust.load_shapes, robust.SHAPES_DESCRIPTION),
        "tickets": DemoEntry(tickets.load, tickets.DESCRIPTION),
        "digits": DemoEntry(digits.load, digits.DESCRIPTION),
        "digits-robust": DemoEntry(robust.load_digits, robust.DIGITS_DESCRIPTION),
        "mnist": DemoEntry(mnist.load, mnist.DESCRIPTION),
        "mnist-robust": DemoEntry(mnist.load_robust, mnist.ROBUST_DESCRIPTION),
        "minilm-movies": DemoEntry(movies.load, movies.DESCRIPTION),
        "efficientnet-lite0": DemoEntry(efficientnet.load, efficientnet.DESCRIPTION),
    },
)


class DemoNames(tuple[str, ...]):
    """The names of the demos; shown as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        width = max((len(name) for name in self), default=0)
        return "\n".join(f"{name:<{width}}  {DEMOS[name].description}" for name in self)


def list_demos() -> DemoNames:
    """The demos that `load_demo` knows.

    Returns:
        A tuple of names whose repr is a table with a sentence on each.
    """
    return DemoNames(DEMOS)


def load_demo(name: str) -> Demo:
    """A trained model with its data, and what is known about both.

    Nothing is downloaded or trained, and no global random generator is touched.

    Args:
        name: one of `list_demos()`.

    Returns:
        The demo; each call gives a model and data sets of its own.

    Raises:
        UnknownNameError: no demo has this name; the message suggests the nearest.
        MissingExtraError: the demo needs an optional extra that is not installed; the message says which.
    """
    return DEMOS[name].load()
