"""Set-up shared by all tests. One thread: two threads that spin on busy cores are ten times slower."""

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

pytest_plugins = ["tests.chromium"]
