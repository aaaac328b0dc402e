"""One thread at a time in a model: another one that wants it waits.

A function that puts a live model into another mode, and takes its gradients away for a while, must not find
it in the middle of another function's doing so: each would give back what the other had made of it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn

_parts: dict[int, list[frozenset[int]]] = {}
"""Thread -> the parts (modules, parameters) that its calls hold, one set for each call."""
_freed = threading.Condition(threading.Lock())


@contextmanager
def occupied(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Hold modules and their parameters for this thread; wait while another thread holds one of them.

    A thread may hold what it holds already: functions call each other. Models that share nothing do not wait
    for each other; one that shares a layer or a parameter with another does.

    Args:
        modules: All modules of a model; each counts with its own parameters only.
    """
    held = list(modules)
    own = [id(p) for module in held for p in module._parameters.values() if p is not None]
    with _held(frozenset([*map(id, held), *own])):
        yield


@contextmanager
def replacing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Keep other threads from replacing what is in these modules; they may run them meanwhile.

    Who is at work in one of the modules does not wait: the thread that replaces may be waiting for it.

    Args:
        modules: The modules whose children are to be replaced, and put back.
    """
    held = list(modules)
    with _freed:
        mine = _parts.get(threading.get_ident(), [])
        at_work = any(id(module) in parts for module in held for parts in mine)
    # Addresses are positive: these are other things to hold than the modules themselves.
    with _held(frozenset(-id(module) for module in held), patient=not at_work):
        yield


@contextmanager
def _held(wanted: frozenset[int], *, patient: bool = True) -> Iterator[None]:
    thread = threading.get_ident()
    entered = False
    try:
        with _freed:
            # The main thread can be interrupted while it waits.
            _freed.wait_for(lambda: not patient or _free_for(thread, wanted))
            _parts.setdefault(thread, []).append(wanted)
            entered = True
        yield
    finally:
        if entered:
            with _freed:
                _parts[thread].remove(wanted)
                if not _parts[thread]:
                    del _parts[thread]
                _freed.notify_all()


def _free_for(thread: int, wanted: frozenset[int]) -> bool:
    others = (sets for number, sets in _parts.items() if number != thread)
    return all(held.isdisjoint(wanted) for sets in others for held in sets)


def _after_fork() -> None:
    """Only the thread that forked goes on in a child: what other threads hold is held by nobody there."""
    global _freed  # noqa: PLW0603 - a lock that was taken while the process was forked is never released
    _freed = threading.Condition(threading.Lock())
    mine = _parts.get(threading.get_ident())
    _parts.clear()
    if mine is not None:
        _parts[threading.get_ident()] = mine


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
