"""Products, Grams and softmax loops against plain float64 algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.sparse.problem.losses import Multinomial
from sparse_debug_widgets.sparse.problem.softmax_loops import curve, softmax
from sparse_debug_widgets.sparse.rows import row_products
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.rows.row_products import (
    gradient,
    picked_gradient,
    picks,
    predict,
    scattered,
    thin,
)
from sparse_debug_widgets.sparse.rows.weighted_products import cross_products, symmetric_products

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


@given(st.integers(1, 40), st.integers(1, 2100), st.integers(1, 11), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_some_entries_of_a_gradient(dtype, classes, n, p, seed):
    values, residuals = random(seed, p, n, dtype=dtype), random(2, classes, n, dtype=dtype)
    rows = torch.randperm(p, generator=torch.Generator().manual_seed(seed))
    wanted = random(seed + 1, classes, p) > 0.8
    found = picked_gradient(residuals, values, rows, wanted)
    expected = (residuals.double() @ values[rows].double().T) * wanted
    atol = 1e-10 if dtype == torch.float64 else 2e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("wanted", [torch.eye(6, dtype=torch.bool), torch.ones(6, 6, dtype=torch.bool)])
def test_a_block_gives_at_least_the_wanted_entries(wanted):
    values, residuals = random(0, 6, 50, dtype=torch.float32), random(1, 6, 50)
    design = DesignMatrix(values)
    assert picks(wanted, values) == (int(wanted.sum()) == 6)
    found = design.block(torch.arange(6)).gradient(residuals, wanted)
    torch.testing.assert_close(found * wanted, (residuals @ values.double().T) * wanted, rtol=0, atol=1e-4)


def test_threads_change_no_bit():
    values, weights, residuals = random(0, 130, 20_000), random(1, 5, 130), random(2, 5, 20_000)
    rows, before, wanted = torch.arange(130), torch.get_num_threads(), random(3, 5, 130) > 0.5
    answers = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            some = picked_gradient(residuals, values, rows, wanted)
            answers.append((predict(weights, values, rows), gradient(residuals, values, rows), some))
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(answer, answers[0], strict=True))


def test_threads_change_no_bit_of_a_softmax_or_a_border():
    logits, labels = random(0, 40, 9000), torch.arange(9000) % 40
    values, curvatures = random(1, 90, 30_000, dtype=torch.float32), random(2, 3, 30_000).abs().float()
    left = [np.array([0, 4, 7]), np.array([5]), np.array([9, 0])]
    right = [np.r_[0, np.arange(1, 80)]] * 3
    before, answers = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found = [*softmax(logits, labels), curve(logits, logits)]
            answers.append(found + cross_products(values, left, right, curvatures))
    finally:
        torch.set_num_threads(before)
    for other in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, answers[0], strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_predictions_of_many_classes(dtype, share):
    """The loops where few weights are not zero, else the library."""
    values, weights = random(0, 30, 900, dtype=dtype), random(1, 40, 30)
    weights[torch.from_numpy(np.random.default_rng(0).random((40, 30)) >= share)] = 0.0
    expected = weights @ values.double()
    design = DesignMatrix(values)
    torch.testing.assert_close(design.logits(weights), expected, rtol=1e-12, atol=1e-12)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    chosen = torch.arange(30)
    torch.testing.assert_close(design.block(chosen).predict(weights).double(), expected, **close)


@pytest.mark.parametrize("alive", [1.0, 0.4, 0.01])
def test_borders_of_grams_in_float32(alive):
    rng = np.random.default_rng(0)
    values, curvatures = random(0, 20, 700, dtype=torch.float32), random(1, 2, 700).abs().float()
    curvatures[:, torch.from_numpy(rng.random(700) > alive)] = 0.0
    ones = torch.cat([torch.ones(1, 700), values]).double()
    left, right = [np.array([0, 3, 20]), np.array([2])], [np.r_[0:21], np.array([5, 0, 1])]
    for i, found in enumerate(cross_products(values, left, right, curvatures)):
        want = (ones[left[i]] * curvatures[i].double()) @ ones[right[i]].T
        torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-3)
    for i, found in enumerate(symmetric_products(values, [np.r_[0:21], np.array([0, 4])], curvatures)):
        rows = ones[[np.r_[0:21], np.array([0, 4])][i]]
        torch.testing.assert_close(
            found.double(), (rows * curvatures[i].double()) @ rows.T, rtol=1e-5, atol=1e-3
        )


def test_a_loss_adds_up_the_same_sums_with_and_without_its_loops(monkeypatch):
    """One process may have them, another not: what they add up must be parts of the same whole."""
    offsets, labels, intercept = random(0, 3, 40), torch.arange(40) % 3, random(1, 3)
    weights = random(2, 40).abs()

    def assessed(part):
        said = []

        def total(partial):
            said.append(partial.clone())
            return partial

        loss = Multinomial(labels[part], 3, weights[part], n=40, total=total)
        loss.assess(offsets[:, part].contiguous(), intercept)
        return said

    whole, some = assessed(slice(None)), assessed(slice(0, 15))
    monkeypatch.setattr("sparse_debug_widgets.sparse.problem.losses.multinomial.fits", lambda *_: False)
    others = assessed(slice(15, 40))
    for one, two, three in zip(whole, some, others, strict=True):
        torch.testing.assert_close(one, two + three, rtol=1e-12, atol=1e-13)


def test_many_classes_and_other_precisions_go_to_the_library(monkeypatch):
    monkeypatch.setattr(row_products, "ready", lambda: True)
    values = random(0, 4, 5)
    assert thin(3, values)
    assert scattered(torch.ones(3, 4), values)
    assert scattered(torch.eye(100, 4), values)
    assert not scattered(torch.ones(100, 4), values)
    assert not scattered(torch.eye(100, 4), values.bfloat16())
    assert not thin(100, values)
    assert not thin(3, values.bfloat16())
    assert not thin(3, values.T)


@given(st.integers(2, 30), st.integers(1, 600), st.floats(0, 900), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax(dtype, classes, n, spread, seed):
    logits = (spread * random(seed, classes, n)).to(dtype)
    labels = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))
    response, losses, entropies, sums = softmax(logits, labels)
    wide = logits.double()
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-6, "atol": 1e-30}
    torch.testing.assert_close(response.double(), wide.softmax(0), **close)
    expected = torch.logsumexp(wide, 0) - wide.gather(0, labels[None])[0]
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12 * (1 + spread))
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(entropies, torch.special.entr(wide.softmax(0)).sum(0), **close)
    torch.testing.assert_close(sums, response.sum(1, dtype=torch.float64), **close)
    moved = softmax(logits, labels, shift := random(seed, classes), weights := random(seed, n).abs())
    wide = wide + shift[:, None]
    torch.testing.assert_close(moved.response.double(), wide.softmax(0), rtol=1e-6, atol=1e-14)
    torch.testing.assert_close(moved.sums, (wide.softmax(0) * weights).sum(1), **close)
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

    from sparse_debug_widgets.sparse.rows import compiled

    release = threading.Event()
    worker = threading.Thread(target=release.wait)
    worker.start()
    monkeypatch.setattr(compiled, "_worker", worker)
    settled = threading.Event()
    monkeypatch.setattr(compiled, "_settled", settled)
    settled.set()
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
