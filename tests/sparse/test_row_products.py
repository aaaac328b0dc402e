"""Products, Grams and softmax loops against plain float64 algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.sparse import row_products
from sparse_debug_widgets.sparse.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.losses import Multinomial
from sparse_debug_widgets.sparse.row_products import gradient, predict, thin
from sparse_debug_widgets.sparse.softmax_loops import curve, softmax

DTYPES = (torch.float32, torch.float64)


def random(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@given(st.integers(1, 9), st.integers(1, 1100), st.integers(1, 11), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_thin_products(dtype, classes, n, p, seed):
    values = random(seed, p, n, dtype=dtype)
    rows = torch.randperm(p, generator=torch.Generator().manual_seed(seed))[: 1 + seed % p]
    weights, residuals = random(1, classes, len(rows), dtype=dtype), random(2, classes, n, dtype=dtype)
    weights[:, ::2] = 0
    close = {"rtol": 0, "atol": 1e-10 if dtype == torch.float64 else 2e-3}
    chosen = values[rows].double()
    torch.testing.assert_close(predict(weights, values, rows).double(), weights.double() @ chosen, **close)
    torch.testing.assert_close(gradient(residuals, values, rows), residuals.double() @ chosen.T, **close)


def test_threads_change_no_bit():
    values, weights, residuals = random(0, 130, 20_000), random(1, 5, 130), random(2, 5, 20_000)
    rows, before = torch.arange(130), torch.get_num_threads()
    answers = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            answers.append((predict(weights, values, rows), gradient(residuals, values, rows)))
    finally:
        torch.set_num_threads(before)
    for one, two in answers[1:]:
        assert torch.equal(one, answers[0][0])
        assert torch.equal(two, answers[0][1])


def test_many_classes_and_other_precisions_go_to_the_library(monkeypatch):
    monkeypatch.setattr(row_products, "ready", lambda: True)
    values = random(0, 4, 5)
    assert thin(3, values)
    assert not thin(100, values)
    assert not thin(3, values.bfloat16())
    assert not thin(3, values.T)


@given(st.integers(2, 30), st.integers(1, 600), st.floats(0, 900), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax(dtype, classes, n, spread, seed):
    logits = (spread * random(seed, classes, n)).to(dtype)
    labels = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))
    response, losses = softmax(logits, labels)
    wide = logits.double()
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-6, "atol": 1e-30}
    torch.testing.assert_close(response.double(), wide.softmax(0), **close)
    expected = torch.logsumexp(wide, 0) - wide.gather(0, labels[None])[0]
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12 * (1 + spread))
    direction = random(seed + 1, classes, n).to(dtype)
    plain = response * direction - response * (response * direction).sum(0)
    torch.testing.assert_close(curve(response, direction), plain, rtol=1e-4, atol=1e-6)


def test_the_loss_does_not_care_where_its_softmax_comes_from():
    logits, labels = random(0, 4, 50), torch.arange(50) % 4
    loss = Multinomial(labels, 4, torch.linspace(0.5, 1.5, 50, dtype=torch.float64))
    response, value = loss.evaluate(logits)
    wide = loss.evaluate(logits.T.contiguous().T)  # not contiguous: torch's own operations
    torch.testing.assert_close(response, wide[0], rtol=1e-13, atol=1e-15)
    assert value == pytest.approx(wide[1], rel=1e-13)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_grams_ragged_and_padded(seed, sparse):
    rng = np.random.default_rng(seed)
    n, p, k = int(rng.integers(2, 60)), int(rng.integers(1, 12)), int(rng.integers(1, 5))
    design = DesignMatrix(random(seed, p, n))
    curvatures = random(seed + 1, k, n).abs()
    if sparse:
        curvatures[:, : 3 * n // 4] = 0
    ones = torch.cat([torch.ones(1, n, dtype=torch.float64), design.values]).numpy()
    left = [np.r_[0, 1 + np.flatnonzero(rng.random(p) < 0.6)] for _ in range(k)]
    right = [np.r_[0, 1 + rng.permutation(p)[: int(rng.integers(0, p + 1))]] for _ in range(k)]
    for other in (None, right):
        expected = [
            (ones[a] * curvatures[i].numpy()) @ ones[b].T / n
            for i, (a, b) in enumerate(zip(left, other or left, strict=True))
        ]
        for made, want in zip(design.grams(left, other, curvatures), expected, strict=True):
            np.testing.assert_allclose(made.numpy(), want, atol=1e-12)
        padded = [_pad(sets) for sets in (left, right)]
        made = design.padded_grams(padded[0], None if other is None else padded[1], curvatures)
        by_default = super(DesignMatrix, design).padded_grams(
            padded[0], None if other is None else padded[1], curvatures
        )
        torch.testing.assert_close(made, by_default, rtol=0, atol=1e-12)
        for i, want in enumerate(expected):
            np.testing.assert_allclose(made[i, : want.shape[0], : want.shape[1]].numpy(), want, atol=1e-12)
            assert not made[i, want.shape[0] :].any()
            assert not made[i, :, want.shape[1] :].any()


def _pad(sets):
    out = torch.full((len(sets), max(len(s) for s in sets)), -1)
    for row, entries in zip(out, sets, strict=True):
        row[: len(entries)] = torch.from_numpy(entries)
    return out


def test_shares_of_the_rows_add_up():
    """Two processes' shares, each with the sum over both, give what one process has."""
    values, weights, residuals = random(0, 7, 40), random(1, 3, 7), random(2, 3, 40)
    whole = DesignMatrix(values)
    parts = [slice(0, 15), slice(15, 40)]
    added = sum(residuals[:, part] @ values[:, part].T for part in parts)
    shares = [DesignMatrix(values[:, part].contiguous(), 40, lambda _: added.clone()) for part in parts]
    for share, part in zip(shares, parts, strict=True):
        assert (share.n, share.n_local, share.whole) == (40, part.stop - part.start, None)
        torch.testing.assert_close(share.gradient(residuals[:, part]), whole.gradient(residuals))
        torch.testing.assert_close(share.logits(weights), whole.logits(weights)[:, part])


def test_a_process_that_would_have_to_compile_does_without(monkeypatch):
    """Bits do not depend on how far a compiler has come: either all of a process uses the loops or none."""
    import threading

    from sparse_debug_widgets.sparse import compiled

    release = threading.Event()
    worker = threading.Thread(target=release.wait)
    worker.start()
    monkeypatch.setattr(compiled, "_worker", worker)
    monkeypatch.setattr(compiled, "_PATIENCE", 0.0)
    compiled.ready.cache_clear()
    values = random(0, 4, 5)
    try:
        assert not thin(3, values)
        release.set()
        worker.join()
        assert not thin(3, values)
        design = DesignMatrix(values)
        torch.testing.assert_close(design.logits(random(1, 3, 4)), random(1, 3, 4) @ values)
        torch.testing.assert_close(design.gradient(random(1, 3, 5)), random(1, 3, 5) @ values.T / 5)
    finally:
        release.set()
        worker.join()
        compiled.ready.cache_clear()
