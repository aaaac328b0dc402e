"""With and without compiled loops: who does without them, and what such a process computes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from sparse_debug_widgets.sparse.problem import softmax_loops
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.rows import row_products
from sparse_debug_widgets.sparse.rows.blocks import Copies, Places
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from tests.sparse.problems import make, problem, standardise

PROCESS = """
from sparse_debug_widgets.sparse.rows import compiled
from sparse_debug_widgets.sparse.rows import row_products
print(compiled.ready())
compiled.finish()
print(compiled.ready())
"""


@pytest.fixture
def without_loops(monkeypatch):
    for module in (row_products, softmax_loops):
        monkeypatch.setattr(module, "ready", lambda: False)


def test_the_first_process_on_a_machine_does_without_and_the_next_waits_for_the_disk(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", PROCESS], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    # Once decided, it stays so, whatever has been compiled since.
    assert said == [["False", "False"], ["True", "True"]]


@pytest.mark.usefixtures("without_loops")
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_without_loops_goes_on_bit_by_bit(batched, dtype):
    """With few features all are soon at work, in the order in which they came, not in that of the matrix."""
    X, y = make(9, 300, 40, 6)
    task = problem(standardise(X).astype(dtype), y)
    grid = task.lambda_max * np.geomspace(1.0, 1e-2, 12)
    settings = RunSettings(1e-3, 500)
    whole, resumed = (WorkingSet(batched=batched).begin(task, settings, []) for _ in range(2))
    for k, value in enumerate(grid):
        if k == 6:
            columns = whole.state()["columns"]
            assert len(columns) == 41
            assert (np.diff(columns) < 0).any()
            resumed.restore({name: array.copy() for name, array in whole.state().items()})
        expected = whole.solve(k, float(value), lambda: None)
        judged = certify(task, expected.weights, expected.intercept, expected.lambda_)
        assert judged.gap <= 1e-3
        if k >= 6:
            found = resumed.solve(k, float(value), lambda: None)
            assert torch.equal(found.weights, expected.weights)


@pytest.mark.parametrize("kind", [Copies.of, Places])
@pytest.mark.parametrize("loops", [True, False])
def test_blocks_keep_the_order_of_their_rows(kind, loops, request):
    if not loops:
        request.getfixturevalue("without_loops")
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(7, 20, generator=generator)
    weights, residuals = (torch.randn(3, width, generator=generator) for width in (7, 20))
    for rows in (torch.arange(7), torch.tensor([3, 0, 6, 1, 5, 2, 4])):
        block = kind(values, rows)
        torch.testing.assert_close(block.predict(weights), weights @ values[rows])
        torch.testing.assert_close(block.gradient(residuals).float(), residuals @ values[rows].T)
        grown = kind(values, rows[:4]).grown(rows[4:])
        torch.testing.assert_close(grown.predict(weights), weights @ values[rows])
