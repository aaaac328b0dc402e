"""Loops compiled with numba: ahead of the first call, beside the slower import of torch, cached on disk.

Every loop has explicit signatures, so that no call ever compiles. Compiling takes a second or so for each,
once per machine; it happens on one thread that starts when the first of these modules is imported. A call
waits for its own loop only, and loops that torch can stand in for are not waited for at all: :func:`ready`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numba.core.event import Listener

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True}
_PAUSE = 20.0
"""Seconds between two compilations, once a fit has begun without them: it should not have to share."""

Loop = Callable[..., Any]
Job = tuple[Loop, tuple[str, ...], Future[Loop], bool]

_jobs: list[Job] = []
_lock = threading.Lock()
_worker: threading.Thread | None = None
_no_hurry = threading.Event()
_awaited = threading.Event()
_settled = threading.Event()
"""Set once it is known whether every loop comes from the disk's cache, or one must be compiled."""


def compiled(function: Loop, *signatures: str, first: bool = False) -> Callable[[], Loop]:
    """Have a loop compiled in the background.

    Args:
        function: A function in numba's subset of Python.
        signatures: Types that it is compiled for.
        first: Whether it goes before the others, because nothing can stand in for it.

    Returns:
        A function that returns the machine code, once it is there.
    """
    global _worker  # noqa: PLW0603 - one compiler thread per process
    future: Future[Loop] = Future()
    with _lock:
        _jobs.insert(0 if first else len(_jobs), (function, signatures, future, first))
        if _worker is None:
            # Not a daemon: a compiler that is torn down with the interpreter can crash it.
            _worker = threading.Thread(target=_work, name="compile loops")
            _settled.clear()
            _worker.start()

    @cache
    def wait() -> Loop:
        if not first and not future.done():
            _awaited.set()
        return future.result()

    return wait


@cache
def ready() -> bool:
    """Say whether this process uses the loops that torch's own operations can stand in for.

    Decided once, by the first who asks, and not by a clock: loops on the disk are waited for, however busy
    the machine; a process that would have to wait for a compiler (the first one on a machine) does without
    them to its end. So equal calls give equal bits.
    """
    with _lock:
        worker = _worker
    if worker is None:
        return True
    _settled.wait()
    if worker.is_alive() and _worker is worker:
        _no_hurry.set()
        return False
    return True


def finish() -> None:
    """Wait until every loop is there, compiled if need be; before any :func:`ready`, all of them are used."""
    with _lock:
        worker = _worker
    _awaited.set()
    if worker is not None:
        worker.join()


def _work() -> None:
    global _worker  # noqa: PLW0603
    while True:
        _rest()
        with _lock:
            if not _jobs or not threading.main_thread().is_alive():
                _worker = None
                _settled.set()
                return
            function, signatures, future, _ = _jobs.pop(0)
        try:
            future.set_result(_compile(function, signatures))
        except BaseException as problem:  # raised where the loop is called
            future.set_exception(problem)


def _rest() -> None:
    """Leave the processor to a fit, unless somebody waits, there is nothing to do, or the program ends."""
    for _ in range(int(_PAUSE / 0.2)):
        with _lock:
            urgent = not _jobs or _jobs[0][-1]
        if urgent or not _no_hurry.is_set() or _awaited.is_set() or not threading.main_thread().is_alive():
            return
        threading.main_thread().join(0.2)


def _compile(function: Loop, signatures: tuple[str, ...]) -> Loop:
    import numba
    from numba.core import event

    with event.install_listener("numba:compile", _listener()):
        try:
            made: Loop = numba.njit(list(signatures), cache=True, **_OPTIONS)(function)
        except Exception:  # a cache that cannot be written or read must never stop a fit
            made = numba.njit(list(signatures), **_OPTIONS)(function)
    return made


def _listener() -> Listener:
    """Notices that this thread compiles something, which it does where the disk's cache has nothing."""
    from numba.core import event

    mine = threading.get_ident()

    class Noticing(event.Listener):
        def on_start(self, _: object) -> None:
            if threading.get_ident() == mine:
                _settled.set()

        def on_end(self, _: object) -> None:
            pass

    return Noticing()
