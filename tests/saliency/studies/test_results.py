"""The sweep, the eigenpairs, the simulation of rank one, agreement over a data set; their results."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.saliency import (
    Curvature,
    CurvatureAgreement,
    Lambda1Sweep,
    RankOneErrors,
    attribute,
    curvature,
    curvature_agreement,
    display_maps,
    lambda1_sweep,
    rank_one_errors,
)
from sparse_debug_widgets.saliency.studies.rank_one import rank_one_of
from sparse_debug_widgets.saliency.studies.sweep import choose
from tests.contracts.untouched import disturb, untouched
from tests.saliency.curvature.test_second_order import X64, explicit
from tests.saliency.models import Curvy, TextModel, images, small_cnn

torch.set_num_threads(1)


# ---------------------------------------------------------------- sweep


@pytest.mark.parametrize("method", ["cafo", "caso", "smooth_cafo", "smooth_caso"])
def test_a_sweep_holds_what_attribute_gives(method, tmp_path):
    model, x = disturb(small_cnn(gain=30.0)), images(2)
    options = {"n_samples": 2} if "smooth" in method else {}
    with untouched(model):
        sweep = lambda1_sweep(model, x, method, n_lambdas=6, **options)
    assert sweep.values.shape == (6, 2, 3, 10, 10)
    assert sweep.ratios[0] == 1
    assert sweep.ratios[-1] == 0
    assert np.count_nonzero(sweep.values[0]) == 0
    assert (np.diff(sweep.sparsity, axis=0) <= 0.02).all()
    assert (np.diff(sweep.surrogate, axis=0) >= -1e-6).all()
    assert sweep.violation.max() <= 1e-5
    for k in (2, 5):
        one = attribute(model, x, method, lambda1=float(sweep.ratios[k]), lambda1_units="relative", **options)
        picked = sweep.attribution(k)
        assert np.abs(one.values - picked.values).max() < 1e-3 * np.abs(one.values).max()
        assert np.allclose(picked.details["lambda1"], one.details["lambda1"])
    loaded = Lambda1Sweep.load(sweep.save(tmp_path / "sweep.sdw"))
    assert np.array_equal(loaded.values, sweep.values)
    assert len(loaded.to_frame()) == 12
    assert loaded.to_frame().chosen.sum() == 2
    assert loaded.plot().data
    assert np.array_equal(sweep.attribution().values[1], sweep.values[sweep.chosen[1], 1])


def test_the_loss_increase_is_that_of_the_model():
    model, x = small_cnn(gain=30.0), images(2)
    sweep = lambda1_sweep(model, x, "caso", n_lambdas=4, target=1)
    moved = x - torch.tensor(np.array(sweep.values[2]))
    losses = [
        torch.nn.functional.cross_entropy(model(z), torch.tensor([1, 1]), reduction="none").detach()
        for z in (moved, x)
    ]
    assert np.allclose(sweep.loss_increase[2], losses[0] - losses[1], atol=1e-5)
    # Nothing moves at the largest lambda 1; a loss still depends on the size of its batch, in its rounding.
    assert not sweep.values[0].any()
    rounding = 4 * np.finfo(np.float32).eps * (1.0 + losses[1].max().item())
    assert np.abs(sweep.loss_increase[0]).max() <= rounding


def test_choice_takes_the_highest_loss_in_range():
    share = torch.tensor([[1.0, 1.0, 1.0], [0.9, 0.5, 1.0], [0.8, 0.3, 1.0], [0.2, 0.1, 1.0]])
    loss = torch.tensor([[0.0] * 3, [1.0] * 3, [2.0] * 3, [3.0] * 3])
    assert choose(share, loss).tolist() == [2, 1, 0]


def test_sweeps_of_other_layouts_and_wrong_names():
    ids = torch.randint(0, 20, (2, 5), generator=torch.Generator().manual_seed(0))
    assert lambda1_sweep(TextModel(), ids, n_lambdas=3).values.shape == (3, 2, 5, 8)
    with pytest.raises(InputError, match="method is not compatible with a sweep"):
        lambda1_sweep(small_cnn(), images(1), "gradient")
    with pytest.raises(InputError, match="Did you mean 'smallest'"):
        lambda1_sweep(small_cnn(), images(1), smalest=0.1)
    with pytest.raises(InputError, match=r"be a position in 0 \.\.\. 2"):
        lambda1_sweep(small_cnn(), images(1), n_lambdas=3).attribution(3)


# ---------------------------------------------------------------- eigenpairs


@pytest.mark.parametrize("kind", ["closed_form", "gauss_newton", "exact"])
def test_eigenpairs_equal_the_explicit_ones(kind, tmp_path):
    model = disturb(small_cnn(gain=30.0).double())
    target = torch.tensor([1, 3])
    with untouched(model):
        found = curvature(model, X64, target=target, n_eigenpairs=3, hessian=kind)
    g, hessian = explicit(small_cnn(gain=30.0).double(), X64, target)
    values, vectors = torch.linalg.eigh(hessian)
    for b in range(2):
        assert np.allclose(found.eigenvalues[b], values[b].flip(0)[:3], rtol=1e-8, atol=1e-10)
        leading = found.eigenvectors[b, 0].ravel()
        assert abs(leading @ vectors[b, :, -1].numpy()) == pytest.approx(1, abs=1e-5)
        cosine = abs(vectors[b, :, -1] @ g[b]) / g[b].norm()
        assert found.alignment[b, 0] == pytest.approx(cosine.item(), abs=1e-4)
        norm = hessian[b].norm()
        assert found.frobenius[b] == pytest.approx(norm.item(), rel=1e-6)
        best = hessian[b] - values[b, -1] * torch.outer(vectors[b, :, -1], vectors[b, :, -1])
        assert found.rank_one_error[b] == pytest.approx((best.norm() / norm).item(), abs=1e-6)
        by_gradient = hessian[b] - torch.outer(g[b], g[b]) / (1 - found.probability[b])
        assert found.gradient_rank_one_error[b] == pytest.approx((by_gradient.norm() / norm).item(), rel=1e-5)
    loaded = Curvature.load(found.save(tmp_path / "curvature.sdw"))
    assert len(loaded.to_frame()) == 2
    assert len(loaded.plot(1).data) == 6


def test_indefinite_hessians_show_their_negative_eigenvalues():
    model = Curvy().double()
    found = curvature(model, X64, n_eigenpairs=4, target=[1, 3])
    _, hessian = explicit(model, X64, torch.tensor([1, 3]))
    values = torch.linalg.eigvalsh(hessian)
    for b in range(2):
        expected = sorted(values[b].tolist(), key=abs, reverse=True)[:2]
        missed = np.abs(found.eigenvalues[b, :2] - expected)
        assert (missed <= found.eigenvalue_errors[b, :2] + 1e-9).all()
        assert missed[0] < 1e-4 * abs(expected[0])
    assert set(found.curved_operations) == {"Gelu", "Mul", "Sigmoid"}


def test_the_norm_of_many_classes_is_not_that_of_the_few_pairs_that_were_found():
    """Sixty random directions beside the ten pairs that Lanczos knows: the norm lacked them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 200)).double()
    x = images(3).double()
    exact = curvature(model, x, n_eigenpairs=1, hessian="closed_form")
    found = curvature(model, x, n_eigenpairs=1, n_probes=12)
    assert found.hessian == "gauss_newton"
    assert not exact.frobenius_error.any()
    for name in ("rank_one", "gradient_rank_one"):
        low, high = getattr(found, f"{name}_interval").T
        wanted, got = (getattr(result, f"{name}_error") for result in (exact, found))
        assert (low <= wanted).all()
        assert (wanted <= high).all()
        assert (low <= got).all()
    assert (np.abs(found.frobenius - exact.frobenius) <= found.frobenius_error + 1e-12).all()
    assert (found.frobenius_error < 0.05 * exact.frobenius).all()
    # What was reported before: the pairs alone.
    pairs = np.sqrt((curvature(model, x, n_eigenpairs=5).eigenvalues ** 2).sum(1))
    assert (pairs < exact.frobenius - found.frobenius_error).all()
    assert np.array_equal(curvature(model, x, n_eigenpairs=1, n_probes=12).frobenius, found.frobenius)
    assert not np.array_equal(curvature(model, x, n_eigenpairs=1, seed=1).frobenius, found.frobenius)


# ---------------------------------------------------------------- rank one


def test_the_simulation_shows_what_the_paper_says(tmp_path):
    found = rank_one_errors((10, 100, 1000), (0.9, 0.9999), n_dimensions=100, n_repeats=3)
    means = found.gradient_errors.mean(2)
    assert (np.diff(means, axis=0) < 0).all()
    assert (means[:, 1] < means[:, 0]).all()
    assert found.alignments.mean(2)[2, 1] > 0.99
    # The numbers of the reference notes: 0.28, 0.11, 0.07 at p = 0.9999 and d = 200.
    assert np.allclose(means[:, 1], [0.28, 0.12, 0.1], atol=0.07)
    assert (found.best_errors <= found.gradient_errors + 1e-12).all()
    loaded = RankOneErrors.load(found.save(tmp_path / "rank.sdw"))
    assert len(loaded.to_frame()) == 6
    assert len(loaded.plot().data) == 2


@pytest.mark.parametrize("shape", [(30, 6), (6, 30)])
def test_rank_one_errors_equal_the_explicit_ones(shape):
    rng = np.random.default_rng(0)
    jacobian = rng.normal(size=shape)
    p = rng.dirichlet(np.ones(shape[1]))
    hessian = jacobian @ (np.diag(p) - np.outer(p, p)) @ jacobian.T
    g = jacobian @ (p - np.eye(shape[1])[2])
    values, vectors = np.linalg.eigh(hessian)
    by_gradient, best, cosine = rank_one_of(jacobian, p, 2)
    norm = np.linalg.norm(hessian)
    assert by_gradient == pytest.approx(np.linalg.norm(hessian - np.outer(g, g) / (1 - p[2])) / norm)
    assert best == pytest.approx(np.sqrt((values[:-1] ** 2).sum()) / norm)
    assert cosine == pytest.approx(abs(vectors[:, -1] @ g) / np.linalg.norm(g))


@pytest.mark.parametrize(
    "arguments", [{"n_classes": (1,)}, {"confidences": (1.0,)}, {"n_classes": ()}, {"n_repeats": 0}]
)
def test_simulations_that_cannot_be(arguments):
    with pytest.raises(InputError):
        rank_one_errors(**{"n_classes": (3,), "confidences": (0.5,), "n_repeats": 1, **arguments})


# ---------------------------------------------------------------- agreement


def test_agreement_over_a_data_set(tmp_path):
    model, x = disturb(small_cnn(gain=30.0)), images(7)
    data = TensorDataset(x, torch.arange(7))
    with untouched(model):
        found = curvature_agreement(model, data, batch_size=3, n_examples=5)
    assert found.labels.tolist() == [0, 1, 2, 3, 4]
    caso = attribute(model, x[:5], "caso").values.reshape(5, -1)
    cafo = attribute(model, x[:5], "cafo").values.reshape(5, -1)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (caso, cafo)]
    assert np.allclose(found.difference, np.linalg.norm(unit[0] - unit[1], axis=1), atol=1e-4)
    assert (found.confidence > 0.25).all()
    loaded = CurvatureAgreement.load(found.save(tmp_path / "agreement.sdw"))
    table = loaded.by_confidence((0, 0.5, 1), n_bootstrap=50)
    assert table.n.sum() == 5
    filled = table.dropna()
    assert (filled.low <= filled["mean"]).all()
    assert (filled["mean"] <= filled.high).all()
    assert loaded.plot().data
    assert len(loaded.to_frame()) == 5
    with pytest.raises(InputError, match="be ascending"):
        found.by_confidence((1, 0))


def test_agreement_can_be_cancelled_and_leaves_nothing():
    model, calls = disturb(small_cnn()), []

    def stop(progress):
        calls.append(progress)
        if len(calls) == 2:
            raise Cancelled

    with untouched(model), pytest.raises(Cancelled):
        curvature_agreement(model, (images(4), torch.zeros(4)), batch_size=2, progress=stop)


# ---------------------------------------------------------------- display


def test_display_rules():
    values = np.zeros((1, 2, 10, 10))
    values[0, 0, 0, 0], values[0, 1, 0, 0], values[0, 0, 0, 1] = -3, 1, 2
    shown = display_maps(values, "image", percentile=99)
    assert shown.shape == (1, 10, 10)
    # The 99th percentile interpolates between 2 and 4: |-3| + |1| is capped, 2 is not.
    assert shown[0, 0, 0] == 1
    assert 0.9 < shown[0, 0, 1] <= 1
    assert display_maps(values, "image", percentile=50).max() == 1
    with pytest.raises(InputError, match=r"percentile is not compatible"):
        display_maps(values, "image", percentile=0)


def test_images_of_any_channel_count_are_drawn():
    for channels, traces in ((1, 4), (3, 4), (5, 2)):
        assert len(attribute(small_cnn(channels=channels), images(2, channels)).plot().data) == traces
