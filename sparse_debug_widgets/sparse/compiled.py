"""Loops compiled with numba: ahead of the first call, beside the slower import of torch, cached on disk.

Every loop has explicit signatures, so that no call ever compiles. Compiling takes a second or two for each,
once per machine; it happens on one thread that starts when the first of these modules is imported. A call
waits for its own loop only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True}
_jobs: list[tuple[Callable[..., Any], tuple[str, ...], Future[Callable[..., Any]]]] = []
_lock = threading.Lock()
_worker: threading.Thread | None = None


def compiled(function: Callable[..., Any], *signatures: str) -> Callable[[], Callable[..., Any]]:
    """Have a loop compiled in the background.

    Args:
        function: A function in numba's subset of Python.
        signatures: Types that it is compiled for.

    Returns:
        A function that returns the machine code, once it is there.
    """
    global _worker  # noqa: PLW0603 - one compiler thread per process
    future: Future[Callable[..., Any]] = Future()
    with _lock:
        _jobs.append((function, signatures, future))
        if _worker is None:
            # Not a daemon: a compiler that is torn down with the interpreter can crash it.
            _worker = threading.Thread(target=_work, name="compile loops")
            _worker.start()
    return future.result


def _work() -> None:
    global _worker  # noqa: PLW0603
    while True:
        with _lock:
            if not _jobs:
                _worker = None
                return
            function, signatures, future = _jobs.pop(0)
        try:
            future.set_result(_compile(function, signatures))
        except BaseException as problem:  # raised where the loop is called
            future.set_exception(problem)


def _compile(function: Callable[..., Any], signatures: tuple[str, ...]) -> Callable[..., Any]:
    import numba

    try:
        made: Callable[..., Any] = numba.njit(list(signatures), cache=True, **_OPTIONS)(function)
    except Exception:  # a cache that cannot be written or read must never stop a fit
        made = numba.njit(list(signatures), **_OPTIONS)(function)
    return made
