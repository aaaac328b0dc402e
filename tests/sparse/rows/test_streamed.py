"""Features larger than memory: the same path from a file, within the budget that was given."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.mapped import release
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.path.path import MemoryBudgetWarning
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.rows.feature_file import standardised_file
from sparse_debug_widgets.sparse.rows.memory_meter import MemoryMeter, Shares, resident_bytes
from sparse_debug_widgets.sparse.rows.streamed_rows import StreamedRows
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from tests.sparse.problems import FAMILIES, make
from tests.sparse.rows import streamed_fit

GENERAL = WorkingSet(compact=False, exact=False)
"""What shared and streamed rows are solved by: the same steps, so that rounding is the only difference."""

ROOT = Path(__file__).parents[3]
TINY = Shares(chunk=6_000, resident=9_000, grams=10**9)


def _same(one, two, atol):
    np.testing.assert_allclose(one.lambdas, two.lambdas, rtol=1e-9)
    np.testing.assert_allclose(one.objectives, two.objectives, rtol=1e-8)
    np.testing.assert_allclose(one.accuracies, two.accuracies, atol=1e-6)
    for k in range(two.n_lambdas):
        np.testing.assert_allclose(one.weights_at(k), two.weights_at(k), atol=atol)


def test_a_matrix_of_200_mb_is_fitted_within_60_mb(tmp_path):
    streamed_fit.write(tmp_path)
    budget = 60e6
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.sparse.rows.streamed_fit", str(tmp_path), str(budget)]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | threads, timeout=240)
    path = RegularizationPath.load(tmp_path / "path.safetensors")
    assert path.certified.all()
    said = path.provenance.params
    assert said["memory_budget"] == budget
    if resident_bytes() is not None:
        # The system's own count of the process's peak, and what the path says of it.
        assert json.loads((tmp_path / "peak.json").read_text()) <= budget
        assert 0 < said["memory_peak"] <= budget
    assert len(said["passes"]) == path.n_lambdas
    assert 1 <= min(said["passes"]) <= max(said["passes"]) < 10
    X = np.fromfile(tmp_path / "X.f32", np.float32).reshape(streamed_fit.N, streamed_fit.P)
    whole = elastic_net_path(X, np.load(tmp_path / "y.npy"), solver=GENERAL, **streamed_fit.OPTIONS)
    assert "memory_peak" not in whole.provenance.params
    _same(path, whole, 3e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_path_from_a_file(family, weighted, monkeypatch):
    monkeypatch.setattr(MemoryMeter, "shares", lambda *_: TINY)
    X, y = make(3, 300, 40, 4, "plain", family)
    X[:, 5] = 2.0
    splits = np.arange(300) % 3
    weights = np.random.default_rng(0).uniform(0.0, 2.0, 300) if weighted else None
    with pytest.warns(UserWarning, match="constant"):
        features = DeepFeatures.from_arrays(X, y, splits=splits)
    options = {"family": family, "n_lambdas": 5, "eps": 0.02, "sample_weight": weights}
    # Steps are float32 for rough tolerances, so weights along flat directions agree to their rounding only.
    for tol, atol in ((1e-3, 3e-4), (1e-8, 1e-8)):
        whole = elastic_net_path(features, tol=tol, solver=GENERAL, **options)
        path = elastic_net_path(features, tol=tol, memory_budget=1.0, **options)
        assert path.certified.all()
        _same(path, whole, atol)
        assert sum(path.provenance.params["passes"]) > path.n_lambdas


@pytest.fixture
def both():
    """The same rows in memory and in a file, of which little fits in memory."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(90, 31)).astype(np.float32) * 3 + 1
    alive = np.ones(31, bool)
    alive[4] = False
    mean, scale = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
    rows = np.flatnonzero(np.arange(90) % 7)
    Z = ((X[rows].astype(np.float64) - mean) / scale)[:, alive]
    known = {"mean": mean, "scale": scale, "alive": alive}
    file = standardised_file(
        X, rows, **known, dtype=np.dtype(np.float64), chunk_bytes=4000, meter=MemoryMeter(10**6)
    )
    values = torch.from_numpy(np.ascontiguousarray(Z.T))
    return DesignMatrix(values), StreamedRows(file, TINY, torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_product_is_that_of_the_matrix_in_memory(both, dtype):
    memory, streamed = (source.working(dtype) for source in both)
    assert (streamed.p, streamed.n, streamed.n_local, streamed.dtype) == (30, 77, 77, dtype)
    assert streamed.whole is None
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-11}
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 30, generator=generator, dtype=torch.float64)
    weights[:, ::4] = 0.0
    residuals = torch.randn(3, 77, generator=generator, dtype=torch.float64)
    for name in ("logits", "quick_logits"):
        torch.testing.assert_close(getattr(streamed, name)(weights), getattr(memory, name)(weights), **close)
    for name in ("gradient", "quick_gradient"):
        found, right = getattr(streamed, name)(residuals), getattr(memory, name)(residuals)
        torch.testing.assert_close(found, right, **close)
    chosen = torch.tensor([7, 3, 29, 4, 5, 6, 0])
    torch.testing.assert_close(streamed.read(chosen), memory.gather(chosen), **close)
    blocks = [source.block(chosen[:2]).grown(chosen[2:]).grown(torch.arange(10, 28)) for source in both]
    some = torch.randn(3, 25, generator=generator, dtype=torch.float64)
    some[:, [0, 9]] = 0.0
    torch.testing.assert_close(blocks[1].predict(some), blocks[0].predict(some))
    torch.testing.assert_close(blocks[1].gradient(residuals), blocks[0].gradient(residuals))
    curvatures = torch.rand(2, 77, generator=generator).to(dtype)
    curvatures[0, ::2] = 0.0
    left = [np.array([0, 3, 9, 30]), np.array([0, 1, 2])]
    for right in (None, [np.array([0, 5]), np.array([4, 3, 17, 2])]):
        for found, expected in zip(
            streamed.grams(left, right, curvatures), memory.grams(left, right, curvatures), strict=True
        ):
            torch.testing.assert_close(found, expected, **close)
    parts = list(streamed.parts(chosen, beside=20))
    assert len(parts) > 1
    torch.testing.assert_close(torch.cat([part for _, part in parts], 1), memory.gather(chosen), **close)


def test_a_budget_too_small_for_one_chunk():
    X, y = make(1, 4000, 60)
    with pytest.raises(InputError, match=r"memory_budget is not compatible .* one chunk .* at least \d+ MB"):
        elastic_net_path(X, y, memory_budget=1e6)
    for wrong in (0, -1.0, float("nan"), "60MB"):
        with pytest.raises((InputError, TypeError), match="memory_budget is not compatible"):
            elastic_net_path(X, y, memory_budget=wrong)


def test_a_budget_that_suffices_changes_nothing():
    X, y = make(1)
    path, plain = (elastic_net_path(X, y, n_lambdas=3, memory_budget=b) for b in (1e9, None))
    np.testing.assert_array_equal(path.weight_data, plain.weight_data)
    assert "memory_peak" not in path.provenance.params


def test_gram_matrices_beyond_the_budget_end_the_path(monkeypatch):
    X, y = make(3, 300, 60, 4)
    monkeypatch.setattr(MemoryMeter, "shares", lambda *_: TINY._replace(grams=200))
    options = {"memory_budget": 1.0, "eps": 1e-3, "family": "gaussian", "n_lambdas": 12}
    with pytest.warns(MemoryBudgetWarning, match=r"ends after \d+ of 12 strengths: .* Raise the budget"):
        path = elastic_net_path(X, y.astype(float), **options)
    assert 0 < path.n_lambdas < 12
    assert path.certified.all()
    with pytest.raises(InputError, match="Gram matrices"):
        elastic_net_path(X, y.astype(float), memory_budget=1.0, family="gaussian", lambdas=[1e-4])


def test_a_disk_without_room_is_found_before_it_is_full(monkeypatch):
    monkeypatch.setattr(MemoryMeter, "shares", lambda *_: TINY)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    X, y = make(3, 300, 60)
    with pytest.raises(InputError, match="TMPDIR"):
        elastic_net_path(X, y, memory_budget=1.0)


def test_saga_says_why_it_needs_all_rows(monkeypatch):
    monkeypatch.setattr(MemoryMeter, "shares", lambda *_: TINY)
    X, y = make(3, 300, 60)
    with pytest.raises(InputError, match="its minibatches follow one upon the other"):
        elastic_net_path(X, y, memory_budget=1.0, solver="saga")


def test_maps_of_other_numbers_and_lists_of_maps_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(MemoryMeter, "shares", lambda *_: TINY)
    X, y = make(5, 200, 30)
    half = X.astype(np.float16)
    for name, part in (("a", half[:90]), ("b", half[90:])):
        np.save(tmp_path / f"{name}.npy", part)
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ab"]
    features = DeepFeatures.from_arrays(maps, y)
    assert isinstance(features.values, np.memmap)
    np.testing.assert_array_equal(features.values, half.astype(np.float32))
    options = {"n_lambdas": 4, "eps": 0.1, "tol": 1e-8}
    whole = elastic_net_path(half, y, solver=GENERAL, **options)
    _same(elastic_net_path(maps, y, memory_budget=1.0, **options), whole, 1e-8)
    assert isinstance(DeepFeatures.from_arrays(maps[0], y[:90]).values, np.memmap)
    np.testing.assert_array_equal(DeepFeatures.from_arrays([half[:90], half[90:]], y).values, half)
    with pytest.raises(InputError, match="same number of columns"):
        DeepFeatures.from_arrays([maps[0], X[:, :7]], y)


def test_released_maps_keep_their_values(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10_000.0))
    for mode in ("r", "r+", "c"):
        values = np.load(tmp_path / "x.npy", mmap_mode=mode)
        if mode != "r":
            values[5] = -1.0
        release(values[3:])
        assert values[5] == (5.0 if mode == "r" else -1.0)
    release(np.arange(3))


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(MemoryMeter, "shares", lambda *_: TINY)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    X, y = make(3, 300, 60)
    elastic_net_path(X, y, memory_budget=1.0, n_lambdas=2)
    assert list(tmp_path.iterdir()) == []
