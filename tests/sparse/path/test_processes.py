"""Rows shared out over two processes, started by torchrun: the path of one process that has all the rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.rows.processes import Processes, offsets
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from tests.sparse.path.shared_fit import CASES, problem
from tests.sparse.problems import make

GENERAL = WorkingSet(compact=False, exact=False)
"""What shared and streamed rows are solved by: the same steps, so that rounding is the only difference."""

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.filterwarnings(
    "ignore::sparse_debug_widgets.sparse.features.deep_features.DeadFeaturesWarning"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes have left what they found."""
    place = tmp_path_factory.mktemp("shared")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = ["-m", "tests.sparse.path.shared_fit", str(place)]
    steady = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launch, *program],
        cwd=ROOT,
        env=os.environ | steady,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return place


@pytest.fixture(scope="module")
def told(folder):
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_find_the_path_of_one(folder, case):
    X, y, weights, options = problem(case)
    options.pop("memory_budget", None)
    whole = elastic_net_path(X, y, sample_weight=weights, solver=GENERAL, **options)
    paths = [RegularizationPath.load(folder / f"{case}-{rank}.safetensors") for rank in (0, 1)]
    for name in ("weight_data", "weight_indices", "weight_indptr", "intercepts", "objectives", "accuracies"):
        # Every process has the same path, to the last bit.
        np.testing.assert_array_equal(getattr(paths[0], name), getattr(paths[1], name))
    path = paths[0]
    assert path.certified.all()
    assert path.class_names == whole.class_names
    np.testing.assert_array_equal(path.alive, whole.alive)
    np.testing.assert_allclose(path.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(path.scale, whole.scale, rtol=1e-12)
    np.testing.assert_allclose(path.lambdas, whole.lambdas, rtol=1e-9)
    np.testing.assert_allclose(path.objectives, whole.objectives, rtol=1e-8)
    np.testing.assert_allclose(path.losses, whole.losses, rtol=1e-5)
    np.testing.assert_allclose(path.accuracies, whole.accuracies, atol=1e-6)
    np.testing.assert_allclose(path.intercepts, whole.intercepts, atol=1e-6)
    # Steps are float32 for rough tolerances: sums in another order differ in the seventh digit, and weights
    # of features that are alike by some times that. The objective does not see it.
    atol = 1e-9 if options.get("tol", 1e-3) < 1e-5 else 3e-5
    for k in range(path.n_lambdas):
        np.testing.assert_allclose(path.weights_at(k), whole.weights_at(k), atol=atol)
    assert path.provenance.params["processes"] == 2


def test_what_is_bad_in_one_process_is_refused_in_all(told):
    expected = {
        "NaN in one": "finite",
        "one class": "at least two",
        "columns": "as many columns in every process",
        "saga": "solver='saga'",
        "weights in one": "in every process or in none",
        "negative weights in one": "at least 0",
        "no rows in one": "training rows in every process",
        "settings": "alpha is not compatible with a fit shared over processes: it must be the same",
        "budget": "at least",
    }
    for name, message in expected.items():
        for rank in (0, 1):
            assert message in told[rank][name], (name, rank, told[rank][name])
    assert told[0]["NaN in one"].startswith("process 1: ")
    assert told[1]["NaN in one"].startswith("features is not compatible")


def test_a_cancel_in_one_process_ends_the_fit_in_all(told):
    assert [part["cancelled"] for part in told] == [[3, True], [3, True]]


def test_a_shared_fit_goes_on_from_what_every_process_has(told):
    for part in told:
        before, after, gap, objectives = part["resumed"]
        assert (before, after) == (5, 8)
        assert gap <= 1e-3
        assert objectives == told[0]["resumed"][3]


def test_features_made_in_each_process(told):
    X, y, _, options = problem("multinomial")
    options.pop("validation")
    order = np.argsort(np.arange(len(X)) % 2, kind="stable")
    splits = (np.arange(len(X)) % 5 == 0).astype(int)
    features = DeepFeatures.from_arrays(X[order], y[order], splits=splits[order])
    whole = elastic_net_path(features, solver=GENERAL, **options)
    assert told[0]["features"] == told[1]["features"]
    np.testing.assert_allclose(told[0]["features"], whole.objectives, rtol=1e-6)


def test_a_group_must_exist():
    X, y = make(0)
    for group in (True, "everybody"):
        with pytest.raises(InputError, match="process_group is not compatible with this process"):
            elastic_net_path(X, y, process_group=group)


def test_one_process_alone_exchanges_nothing():
    alone = Processes()
    assert (alone.size, alone.rank) == (1, 0)
    assert alone.gather("x") == ["x"]
    assert alone.sum_array([1, 2]).tolist() == [1.0, 2.0]
    assert alone.together(lambda: 5) == 5
    alone.all_equal(1, "anything")
    assert [offsets([3, 4, 2], rank) for rank in range(3)] == [slice(0, 3), slice(3, 7), slice(7, 9)]
