"""Interrupted path fits: resumed bit by bit, refused for other data, whole files at any moment."""

import warnings

import numpy as np
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import DeadFeaturesWarning, DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.path.checkpoint import CheckpointWarning, solved_in
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet

SOLVERS = ("saga", "working_set")
K = 12
ARRAYS = (
    "lambdas", "weight_data", "weight_indices", "weight_indptr", "intercepts", "duality_gaps", "objectives",
    "losses", "accuracies", "iterations",
)  # fmt: skip


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(3)
    labels = np.arange(420) % 4
    centres = rng.normal(size=(4, 60)) * (rng.random((4, 60)) < 0.2)
    values = (centres[labels] + rng.normal(size=(420, 60))).clip(0).astype(np.float32)
    return DeepFeatures.from_arrays(values, labels)


def fit(features, **options):
    return elastic_net_path(features, **({"n_lambdas": K, "eps": 0.05} | options))


@pytest.fixture(scope="module", params=SOLVERS)
def whole(request, features):
    return request.param, fit(features, solver=request.param)


def assert_same(one, two):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def stop_at(call):
    count = 0

    def progress(_):
        nonlocal count
        count += 1
        if count == call:
            raise Cancelled

    return progress


def test_a_fit_interrupted_again_and_again_ends_as_if_it_never_was(tmp_path, features, whole):
    solver, expected = whole
    rng, path, rounds = np.random.default_rng(0), None, 0
    while path is None or path.cancelled:
        rounds += 1
        try:
            path = fit(
                features,
                solver=solver,
                checkpoint=tmp_path,
                progress=stop_at(int(rng.integers(2, 14 if solver == "working_set" else 90))),
            )
        except Cancelled:
            path = None
        if rounds > 40:
            path = fit(features, solver=solver, checkpoint=tmp_path)
    assert rounds > 3
    assert_same(path, expected)


@pytest.mark.parametrize("state_every", [1, 5])
def test_strengths_solved_after_the_last_state_are_solved_again_alike(
    tmp_path, features, whole, state_every, monkeypatch
):
    from sparse_debug_widgets.sparse.path.checkpoint import Checkpoint

    real = Checkpoint._write_state
    monkeypatch.setattr(
        Checkpoint,
        "_write_state",
        lambda self, solved, state: real(self, solved, state) if solved % state_every == 0 else None,
    )
    monkeypatch.setattr("sparse_debug_widgets.sparse.path.checkpoint._SHARE", 0.0)
    solver, expected = whole
    calls = []
    fit(features, solver=solver, progress=calls.append)
    inside = 2 + max(i for i, call in enumerate(calls) if call.done == 8)
    part = fit(features, solver=solver, checkpoint=tmp_path, progress=stop_at(inside))
    assert part.n_lambdas == solved_in(tmp_path) >= 8
    assert_same(fit(features, solver=solver, checkpoint=tmp_path), expected)


def test_a_complete_checkpoint_needs_no_work(tmp_path, features, whole):
    solver, expected = whole
    fit(features, solver=solver, checkpoint=tmp_path)
    calls = []
    again = fit(features, solver=solver, checkpoint=tmp_path, progress=calls.append)
    assert_same(again, expected)
    assert len(calls) == K + 1
    assert [call.piece.index for call in calls[:-1]] == list(range(K))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"alpha": 0.5}, "alpha=0.99 instead of 0.5"),
        ({"tol": 1e-4}, "tol=1e-05 instead of 0.0001"),
        ({"n_lambdas": K + 1}, "other lambdas"),
        ({"solver": "saga"}, "solver="),
        ({"sample_weight": np.linspace(1, 2, 420)}, "other sample weights"),
    ],
)
def test_another_fit_is_refused_with_the_difference_named(tmp_path, features, change, named):
    fit(features, checkpoint=tmp_path)
    with pytest.raises(InputError, match="another fit") as caught:
        fit(features, checkpoint=tmp_path, **change)
    assert named in str(caught.value)


def test_strengths_that_another_process_rounded_otherwise_are_the_same_fit(tmp_path, features):
    first = fit(features, checkpoint=tmp_path)
    again = fit(
        features,
        checkpoint=tmp_path,
        lambdas=first.lambdas * (1 + 1e-13),
    )
    np.testing.assert_array_equal(again.weight_data, first.weight_data)
    assert again.n_lambdas == first.n_lambdas
    with pytest.raises(InputError, match="other lambdas"):
        fit(features, checkpoint=tmp_path, lambdas=first.lambdas * 1.001)


def test_other_features_are_refused_and_named(tmp_path, features):
    fit(features, checkpoint=tmp_path)
    other = DeepFeatures.from_arrays(features.values + 1, features.labels)
    with pytest.raises(InputError, match="other features"):
        fit(other, checkpoint=tmp_path)


def test_a_damaged_state_is_said_and_the_fit_goes_on(tmp_path, features):
    calls = []
    fit(features, progress=calls.append)
    inside = 2 + max(i for i, call in enumerate(calls) if call.done == 6)
    fit(features, checkpoint=tmp_path, progress=stop_at(inside))
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-20])
    with pytest.warns(CheckpointWarning, match="damaged"):
        path = fit(features, checkpoint=tmp_path)
    assert path.certified.all()


def test_a_file_is_not_a_folder(tmp_path, features):
    file = tmp_path / "here"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file, and a checkpoint is a folder"):
        fit(features, checkpoint=file)


def test_a_disk_that_is_full_is_said_once_and_nothing_is_left_half_written(tmp_path, features, monkeypatch):
    from sparse_debug_widgets.core import storage

    real, written = storage.save_file, 0

    def full(arrays, path, metadata):
        nonlocal written
        written += 1
        real(arrays, path, metadata)
        if written > 7:
            path.write_bytes(path.read_bytes()[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.warns(CheckpointWarning, match="No space left") as caught:
        path = fit(features, checkpoint=tmp_path)
    assert len(caught) == 1
    assert path.n_lambdas == K
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(fit(features, checkpoint=tmp_path), path)


@pytest.mark.parametrize("options", [
    {"solver": "saga"},
    {"solver": "saga", "group": True},
    {},
    {"tol": 1e-3},
    {"tol": 1e-9},
    {"solver": WorkingSet(exact=False), "tol": 1e-4},
    {"solver": WorkingSet(compact=False)},
    {"solver": WorkingSet(compact=False, exact=False)},
    {"solver": WorkingSet(batched=True)},
    {"solver": WorkingSet(couple=False)},
    {"family": "gaussian"},
])  # fmt: skip
def test_no_state_of_ours_is_taken_for_a_damaged_one(options, features, tmp_path, monkeypatch):
    from sparse_debug_widgets.sparse.path.records import Recorder

    faults, add = [], Recorder.add

    def looked_at(self, solution, seconds, run):
        piece = add(self, solution, seconds, run)
        faults.append(self.state_fault({name: np.asarray(part) for name, part in run.state().items()}))
        return piece

    monkeypatch.setattr(Recorder, "add", looked_at)
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(420, 2)) if "family" in options else features.labels
    values = np.array(features.values)
    values[:, [3, 17]] = 0.0  # dead features are none of the solver's
    with pytest.warns(DeadFeaturesWarning):
        given = DeepFeatures.from_arrays(values, labels)
    fit(given, checkpoint=tmp_path, **options)
    assert len(faults) == K
    assert set(faults) == {""}
