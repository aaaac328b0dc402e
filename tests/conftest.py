"""Set-up shared by all tests. One thread: two threads that spin on busy cores are ten times slower."""

import os

from hypothesis import settings

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# No test asserts an absolute time, and a busy machine is no failure.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

pytest_plugins = ["tests.chromium", "tests.measured"]
