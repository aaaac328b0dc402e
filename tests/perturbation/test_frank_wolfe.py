"""Frank-Wolfe: what holds at every iterate, the certificate, and the limits of the step rule."""

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.perturbation import perturb
from tests.perturbation.models import N_CLASSES, linear, network, others, pictures

D = 108


@pytest.mark.parametrize("box", [(0.0, 1.0), None])
@pytest.mark.parametrize(("norm", "eps"), [("l1q", 5.0), ("l1", 5.0), ("l2", 1.0), ("linf", 0.1)])
@pytest.mark.parametrize("ascent", [False, True])
def test_every_iterate_keeps_its_promises(norm: str, eps: float, box, ascent: bool) -> None:
    x, q, steps = pictures(), [0.05, 0.1, 0.2], 20
    run = perturb(
        network(), x, target="prediction", norm=norm, eps=eps, q=q, steps=steps, ascent=ascent,
        box=box, keep_iterates=True,
    )  # fmt: skip
    iterates = run.iterates.reshape(3, steps + 1, D)
    lengths = {"l1q": 1, "l1": 1, "l2": 2, "linf": np.inf}
    assert (np.linalg.norm(iterates, ord=lengths[norm], axis=2) <= eps * (1 + 1e-6)).all()
    if box is not None:
        perturbed = x.numpy()[:, None] + run.iterates
        assert perturbed.min() >= 0
        assert perturbed.max() <= 1
    if norm == "l1q":
        m = np.ceil(np.round(np.array(q) * D, 6))
        assert (run.supports <= np.arange(steps + 1) * m[:, None]).all()
        assert (np.abs(iterates).max(axis=(1, 2)) <= eps / m + 1e-12).all()
        np.testing.assert_allclose(run.vertex_height, eps / m)
    np.testing.assert_array_equal(run.supports, np.count_nonzero(iterates, axis=2))
    assert (run.gaps[:, :-1] >= -1e-6).all()
    assert np.isnan(run.gaps[:, -1]).all()
    np.testing.assert_array_equal(run.delta.reshape(3, D), iterates[np.arange(3), run.best_step])
    best = run.losses.argmax(1) if ascent else run.losses.argmin(1)
    np.testing.assert_array_equal(run.best_step, best)
    np.testing.assert_array_equal(run.loss_after, run.losses[np.arange(3), best])
    assert (
        run.prediction_after != run.target if ascent else run.prediction_after == run.target
    ).tolist() == run.success.tolist()


@pytest.mark.parametrize("box_mode", ["vertex", "spend", "clamp"])
def test_the_trace_is_what_the_model_says(box_mode: str) -> None:
    model, x = network(), pictures()
    run = perturb(
        model, x, target=others(model, x), eps=20.0, q=0.2, steps=5, keep_iterates=True, box_mode=box_mode
    )
    model.eval()
    with torch.no_grad():
        for step in range(6):
            logits = model(x + torch.tensor(run.iterates[:, step]))
            losses = nn.functional.cross_entropy(logits, torch.tensor(run.target), reduction="none")
            torch.testing.assert_close(torch.tensor(run.losses[:, step]), losses)
            torch.testing.assert_close(torch.tensor(run.probabilities[:, step]), logits.softmax(1))
        after = model(x + torch.tensor(run.delta)).softmax(1)
    torch.testing.assert_close(torch.tensor(run.probabilities_after), after)
    np.testing.assert_allclose(run.confidence_after, after[range(3), run.target.tolist()])
    perturbed = run.perturbed
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1
    assert (np.abs(run.delta).reshape(3, -1).sum(1) <= 20 * (1 + 1e-6)).all()


@pytest.mark.parametrize("norm", ["l1q", "l1", "l2", "linf"])
def test_the_gap_bounds_the_distance_from_the_optimum_of_a_convex_problem(norm: str) -> None:
    settings = {"target": others(linear(), pictures()), "norm": norm, "eps": 2.0, "q": 0.1}
    short = perturb(linear(), pictures(), steps=30, **settings)
    long = perturb(linear(), pictures(), steps=400, **settings)
    optimum = long.losses.min(1)
    assert (short.losses[:, :-1] - short.gaps[:, :-1] <= optimum[:, None] + 1e-9).all()
    assert (np.nanmin(long.gaps, axis=1) < 0.05 * short.losses[:, 0]).all()
    # The theorem: after k steps the error is at most 2 C / (k + 2); here it must at least fall.
    assert (long.losses[:, -1] <= short.losses[:, -1] + 1e-9).all()


def test_the_first_step_is_a_vertex_and_a_constant_of_one_takes_the_mean_of_all() -> None:
    x = pictures(1)
    run = perturb(
        linear(),
        x,
        target=others(linear(), x),
        eps=3.0,
        q=0.05,
        steps=4,
        step_constant=1.0,
        box=None,
        keep_iterates=True,
    )
    first = run.iterates[0, 1]
    assert np.abs(first).sum() == pytest.approx(3.0)
    assert set(np.round(np.abs(first[first != 0]), 12)) == {0.5}
    # delta_k = (1 - 1/k) delta_(k-1) + 1/k s: a running mean; its vertices all have the same height.
    vertices = [k * run.iterates[0, k] - (k - 1) * run.iterates[0, k - 1] for k in range(1, 5)]
    for vertex in vertices:
        assert np.abs(vertex).sum() == pytest.approx(3.0)
        assert np.count_nonzero(np.abs(vertex) > 1e-9) == 6


def test_descent_lowers_the_loss_and_ascent_raises_it() -> None:
    x = pictures()
    down = perturb(network(), x, target=others(network(), x), eps=5.0, q=0.05)
    up = perturb(network(), x, target="prediction", eps=5.0, q=0.05, ascent=True)
    assert (down.loss_after < down.losses[:, 0]).all()
    assert (up.loss_after > up.losses[:, 0]).all()
    assert (down.confidence_after > down.confidence_before).all()
    assert (up.confidence_after < up.confidence_before).all()


@pytest.mark.parametrize("method", ["frank_wolfe", "pgd"])
def test_a_batch_of_two_is_two_of_one(method: str) -> None:
    x = pictures(2)
    settings = {"method": method, "steps": 12, "seed": 5}
    settings |= {"random_start": True} if method == "pgd" else {}
    each = {"target": others(network(), x), "eps": [2.5, 9.0], "q": [0.02, 0.2]}
    both = perturb(network(), x, **each, **settings)
    apart = [
        perturb(network(), x[i : i + 1], **{key: value[i] for key, value in each.items()}, **settings)
        for i in (0, 1)
    ]
    for i in (0, 1):
        np.testing.assert_allclose(both.delta[i], apart[i].delta[0], atol=1e-9)
        np.testing.assert_allclose(both.losses[i], apart[i].losses[0], atol=1e-9)
    chunked = perturb(network(), x, **each, **settings, batch_size=1)
    np.testing.assert_allclose(chunked.delta, both.delta, atol=1e-9)
    np.testing.assert_allclose(chunked.gaps, both.gaps, atol=1e-9)


@pytest.mark.parametrize("method", ["frank_wolfe", "pgd"])
def test_the_same_seed_gives_the_same_bits(method: str) -> None:
    options = {"random_start": True} if method == "pgd" else {}
    runs = [
        perturb(
            network(),
            pictures(),
            target="prediction",
            norm="l2",
            eps=1.0,
            method=method,
            seed=seed,
            steps=6,
            **options,
        )
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(runs[0].delta, runs[1].delta)
    assert np.array_equal(runs[0].delta, runs[2].delta) == (method == "frank_wolfe")


def test_q_of_one_over_d_and_q_of_one_are_the_classical_methods() -> None:
    x = pictures()
    settings = {"target": others(network(), x), "steps": 8, "box": None}
    one = perturb(network(), x, norm="l1q", q=1 / D, eps=2.0, **settings)
    l1 = perturb(network(), x, norm="l1", eps=2.0, **settings)
    np.testing.assert_allclose(one.delta, l1.delta, atol=1e-12)
    everything = perturb(network(), x, norm="l1q", q=1.0, eps=2.0, **settings)
    linf = perturb(network(), x, norm="linf", eps=2.0 / D, **settings)
    np.testing.assert_allclose(everything.delta, linf.delta, atol=1e-9)


def test_classes_are_the_models_own() -> None:
    run = perturb(network(), pictures(), eps=1.0, steps=2)
    assert run.probabilities.shape == (3, 3, N_CLASSES)
    np.testing.assert_array_equal(run.target, run.prediction_before)


@pytest.mark.parametrize(
    ("norm", "box_mode"), [("l1q", "vertex"), ("l1q", "spend"), ("l1", "vertex"), ("l2", "vertex")]
)
def test_a_largest_support_is_kept_and_used_well(norm: str, box_mode: str) -> None:
    model, x = network(), pictures()
    settings = {
        "target": others(model, x),
        "norm": norm,
        "eps": 4.0,
        "q": 0.1,
        "steps": 20,
        "box_mode": box_mode,
    }
    most = np.array([3, 8, 108])
    run = perturb(model, x, **settings, max_support=most.tolist())
    assert (run.support <= most).all()
    assert run.support[0] == 3
    assert (run.loss_after <= run.losses[:, 0]).all()
    assert run.perturbed.min() >= 0
    assert run.perturbed.max() <= 1
    free = perturb(model, x, **settings)
    np.testing.assert_allclose(run.losses[:, :10], free.losses[:, :10])
    # Better than cutting the free one down to its largest entries.
    flat = free.delta.reshape(3, -1).copy()
    for row, keep in zip(flat, most, strict=True):
        row[np.argsort(-np.abs(row))[keep:]] = 0
    model.eval()
    with torch.no_grad():
        logits = model(x + torch.tensor(flat.reshape(x.shape)))
    cut = nn.functional.cross_entropy(logits, torch.tensor(run.target.copy()), reduction="none").numpy()
    assert (run.loss_after[:2] <= cut[:2] + 1e-9).all()
    apart = perturb(model, x, **settings, max_support=most.tolist(), batch_size=2)
    np.testing.assert_allclose(apart.delta, run.delta, atol=1e-9)
    with pytest.raises(InputError, match="one for each of the 3 examples"):
        perturb(model, x, **settings, max_support=[1, 2])
    with pytest.raises(InputError, match="max_support is not compatible"):
        perturb(model, x, **settings, max_support=0)
