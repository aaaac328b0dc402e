"""Set-up shared by all tests. One thread: two threads that spin on busy cores are ten times slower."""

import os

import pytest
from hypothesis import settings

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# No test asserts an absolute time, and a busy machine is no failure.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

pytest_plugins = ["tests.chromium", "tests.measured"]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the loops compiled, once, before workers begin: on a new machine a process would do without them.

    What a process without them does has tests of its own.
    """
    import sparse_debug_widgets.sparse.solvers.working_set  # noqa: F401 - asks for all of them
    from sparse_debug_widgets.sparse.rows import compiled

    compiled.finish()
    assert compiled.ready()
