"""CAFO, CASO and the Hessian: closed forms, explicit Hessians, optimality conditions, limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.saliency import NotConvergedWarning, attribute
from sparse_debug_widgets.saliency.curvature.hessian import Copies, Hessian, LowRank, Quadratic, hessian_at
from sparse_debug_widgets.saliency.curvature.krylov import lanczos, solve_second_order
from sparse_debug_widgets.saliency.curvature.lambda1 import quantile_lambda1, zero_share
from sparse_debug_widgets.saliency.curvature.linearity import curved_operations
from sparse_debug_widgets.saliency.curvature.proximal import backtracking, fista
from sparse_debug_widgets.saliency.curvature.tangent import double_pull, tangent
from sparse_debug_widgets.saliency.methods.context_aware import SolverSettings, second_order
from sparse_debug_widgets.saliency.probe.probe import probing
from tests.saliency.models import Curvy, InPlace, images, small_cnn

torch.set_num_threads(1)
X64, TARGET = images(2, dtype=torch.float64), torch.tensor([1, 3])


def loss_at(model, target):
    return lambda x: nn.functional.cross_entropy(model(x[None]), target[None])


def explicit(model, x, target):
    """Gradient (B, d) and Hessian (B, d, d) by autograd."""
    gradients, hessians = [], []
    for row, label in zip(x, target, strict=True):
        loss = loss_at(model, label)
        gradients.append(torch.autograd.functional.jacobian(loss, row).flatten())
        hessians.append(torch.autograd.functional.hessian(loss, row).view(row.numel(), -1))
    return torch.stack(gradients), torch.stack(hessians)


def dense(operator, d, like):
    columns = [operator(torch.eye(d, dtype=like.dtype)[k].expand(len(like), d)) for k in range(d)]
    return torch.stack(columns, dim=2)


@pytest.mark.parametrize("kind", ["closed_form", "gauss_newton", "exact"])
def test_every_hessian_equals_the_explicit_one(kind):
    model = small_cnn(gain=5.0).double()
    g, hessian = explicit(model, X64, TARGET)
    with probing(model, X64, TARGET) as probe:
        quadratic = hessian_at(probe, kind=kind)
        assert (quadratic.gradient - g).abs().max() < 1e-10 * g.abs().max()
        found = dense(quadratic.hessian, 300, X64)
    assert (found - hessian).abs().max() < 1e-8 * hessian.abs().max()
    assert quadratic.kind == kind


def test_products_equal_hvp_in_float32():
    model, x = small_cnn(gain=5.0), images(1)
    label = torch.tensor([2])
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    expected = torch.autograd.functional.hvp(loss_at(model, label[0]), x[0], v[0])[1].flatten()
    for kind in ("closed_form", "gauss_newton", "exact"):
        with probing(model, x, label) as probe:
            product = hessian_at(probe, kind=kind).hessian(v.flatten(1))[0]
        assert (product - expected).norm() < 1e-5 * expected.norm()


def test_curved_networks_get_their_true_hessian():
    model = Curvy().double()
    _, hessian = explicit(model, X64, TARGET)
    with probing(model, X64, TARGET) as probe:
        quadratic = hessian_at(probe)
        found = dense(quadratic.hessian, 300, X64)
    assert quadratic.kind == "exact"
    assert not quadratic.semidefinite
    assert (found - hessian).abs().max() < 1e-8 * hessian.abs().max()
    assert torch.linalg.eigvalsh(hessian)[:, 0].min() < -1e-9


def test_the_averaged_hessian_is_the_average():
    model = small_cnn(gain=5.0).double()
    shifts = torch.randn(3, *X64.shape[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pairs = [explicit(model, X64 + shift, TARGET) for shift in shifts * 0.1]
    g, hessian = (torch.stack(part).mean(0) for part in zip(*pairs, strict=True))
    for kind in ("closed_form", "gauss_newton", "exact"):
        for chunk in (1, 4, 100):
            with probing(model, X64, TARGET, chunk_size=chunk) as probe:
                copies = Copies(3, lambda k, probe=probe: probe.points + 0.1 * shifts[k])
                quadratic = hessian_at(probe, copies, kind=kind)
                v = torch.randn(2, 300, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
                expected = torch.einsum("bij,bj->bi", hessian, v)
                assert (quadratic.gradient - g).abs().max() < 1e-10 * g.abs().max()
                assert (quadratic.hessian(v) - expected).norm() < 1e-9 * expected.norm()


def test_forward_mode_equals_the_jacobian_and_two_backward_passes():
    model = small_cnn().double()
    v = torch.randn(X64.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = tangent(model, X64, v)
    expected = torch.func.jvp(model, (X64,), (v,))[1]
    assert (moved - expected).abs().max() < 1e-12
    leaf = X64.clone().requires_grad_(True)
    assert (double_pull(model(leaf), leaf, v) - expected).abs().max() < 1e-12


def test_an_operation_without_a_forward_rule_falls_back():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3

        @staticmethod
        def backward(ctx, g):
            return g * 3

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = small_cnn(gain=5.0)

        def forward(self, x):
            return self.model(Own.apply(x))

    model, x = Model().double(), X64
    _, hessian = explicit(model, x, TARGET)
    with probing(model, x, TARGET) as probe:
        found = dense(hessian_at(probe, kind="gauss_newton").hessian, 300, x)
    assert (found - hessian).abs().max() < 1e-8 * hessian.abs().max()
    # An unknown operation counts as curved: slower, never wrong.
    assert attribute(model, x, "caso").details["hessian"] == "exact"


# ---------------------------------------------------------------- piecewise linear or not


@pytest.mark.parametrize(
    ("function", "curved"),
    [
        (lambda x: x.relu() * 3 + 1, ()),
        (lambda x: nn.functional.hardtanh(x, 0, 6), ()),
        (lambda x: nn.functional.max_pool2d(x, 2).flatten(1), ()),
        (lambda x: x * x, ("Mul",)),
        (lambda x: 1 / x, ("Reciprocal",)),
        (lambda x: torch.ones_like(x) / x, ("Div",)),
        (lambda x: x / 3, ()),
        (lambda x: x**2, ("Pow",)),
        (lambda x: x @ x.transpose(2, 3), ("Bmm",)),
        (nn.functional.silu, ("Silu",)),
        (nn.functional.hardswish, ("Hardswish",)),
        (lambda x: nn.functional.layer_norm(x, x.shape[2:]), ("NativeLayerNorm",)),
        (nn.functional.instance_norm, ("NativeBatchNorm",)),
        (lambda x: nn.functional.batch_norm(x, torch.zeros(3), torch.ones(3)), ()),
        (lambda x: x.flatten(1).softmax(1), ("Softmax",)),
        (lambda x: torch.nn.functional.conv2d(x, x[:, :, :2, :2]), ("Convolution",)),
        (lambda x: nn.functional.interpolate(x, scale_factor=2, mode="bilinear"), ()),
        (lambda x: torch.cat([x.clone().relu_(), x.abs()], 1)[:, 1:3], ()),
    ],
)
def test_curved_operations_are_found(function, curved):
    leaf = images(2).requires_grad_(True)
    assert curved_operations(function(leaf)) == curved


def test_real_architectures_are_recognised():
    import torchvision

    with probing(torchvision.models.resnet18(weights=None), images(1).repeat(1, 1, 4, 4)) as probe:
        assert curved_operations(probe.forward(probe.points, probe.owners).logits) == ()
    with probing(torchvision.models.efficientnet_b0(weights=None), images(1).repeat(1, 1, 4, 4)) as probe:
        names = curved_operations(probe.forward(probe.points, probe.owners).logits)
        assert set(names) == {"Mul", "Sigmoid", "Silu"}
    with probing(InPlace(), images(1)) as probe:
        assert curved_operations(probe.forward(probe.points, probe.owners).logits) == ()


# ---------------------------------------------------------------- lambda_1 = 0


def explicit_caso(model, x, target, c1=10.0):
    g, hessian = explicit(model, x, target)
    largest = torch.linalg.eigvalsh(hessian)[:, -1].clamp_min(0)
    identity = torch.eye(g.shape[1], dtype=g.dtype)
    matrix = (largest + 2 * c1)[:, None, None] * identity - hessian
    return torch.linalg.solve(matrix, g), largest


@pytest.mark.parametrize("model", [small_cnn(gain=30.0), Curvy()], ids=["cnn", "curvy"])
@pytest.mark.parametrize("c1", [10.0, 0.3])
def test_caso_equals_the_explicit_solution(model, c1):
    model = model.double()
    expected, largest = explicit_caso(model, X64, TARGET, c1)
    kinds = ["closed_form", "gauss_newton"] if isinstance(model, nn.Sequential) else ["auto"]
    for kind in kinds:
        found = attribute(model, X64, "caso", target=TARGET, c1=c1, hessian=kind, rtol=1e-9)
        values = -torch.from_numpy(np.array(found.values)).flatten(1)
        assert ((values - expected).norm(dim=1) < 1e-7 * expected.norm(dim=1)).all()
        assert np.allclose(found.details["largest_eigenvalue"], largest, rtol=1e-7, atol=1e-7)
        assert max(found.details["relative_error"]) <= 1e-9


class Dense(Hessian):
    def __init__(self, matrix):
        self.matrix = matrix

    def apply(self, vectors):
        return torch.einsum("bij,bj->bi", self.matrix, vectors)


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("size", [0.1, 10.0, 1000.0])
@pytest.mark.parametrize("sharpness", [0.5, 2.0, 5.0])
def test_the_error_estimate_holds(classes, size, sharpness):
    # The structure of the real problem: H = J A J^T, g = J (p - y), with the predicted label.
    rng, n, d = torch.Generator().manual_seed(0), 200, 30
    jacobian = torch.randn(n, d, classes, generator=rng, dtype=torch.float64) * (size / d) ** 0.5
    p = (torch.randn(n, classes, generator=rng, dtype=torch.float64) * sharpness).softmax(1)
    a = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    label = torch.eye(classes, dtype=torch.float64)[p.argmax(1)]
    g = torch.einsum("bdc,bc->bd", jacobian, p - label)
    hessian = jacobian @ a @ jacobian.transpose(1, 2)
    largest = torch.linalg.eigvalsh(hessian)[:, -1]
    matrix = (largest + 20)[:, None, None] * torch.eye(d, dtype=torch.float64) - hessian
    expected = torch.linalg.solve(matrix, g)
    noise = torch.randn(n, d, generator=rng, dtype=torch.float64)
    found = solve_second_order(Dense(hessian), g, c1=10.0, rtol=1e-4, max_steps=50, noise=noise)
    error = ((found.delta - expected).norm(dim=1) / expected.norm(dim=1)).numpy()
    assert found.error.max() <= 1e-4
    # An estimate: where L is far below the margin a tenth of it may be missing within the tolerance.
    assert (error <= found.error + 1e-9).mean() >= 0.9
    assert np.median(error) < 1e-5


def test_an_eigenvector_that_the_gradient_is_orthogonal_to_is_found():
    """The largest eigenvalue of all three examples is 50; Krylov spaces of their gradients hold it once."""
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(40, 40, generator=rng, dtype=torch.float64))[0]
    spectrum = torch.tensor([50.0, 12.0, 3.0] + [0.5 / (k + 1) for k in range(37)], dtype=torch.float64)
    hessian = (turn * spectrum) @ turn.T
    g = torch.stack([turn[:, 1] + turn[:, 2], turn[:, 0] + turn[:, 1], turn[:, 1] * 0])
    noise = torch.randn(40, generator=rng, dtype=torch.float64).expand(3, -1)
    operator = Dense(hessian.expand(3, -1, -1))
    alone = solve_second_order(operator, g, c1=1.0, rtol=1e-6, max_steps=40)
    assert alone.largest == pytest.approx([12.0, 50.0, 0.0])
    found = solve_second_order(operator, g, c1=1.0, rtol=1e-6, max_steps=40, noise=noise)
    assert found.largest[:2] == pytest.approx([50.0, 50.0], rel=1e-5)
    exact = torch.linalg.solve(52 * torch.eye(40, dtype=torch.float64) - hessian, g.T).T
    assert torch.allclose(found.delta[:2], exact[:2], rtol=1e-4, atol=1e-9)
    assert not found.delta[2].any()
    # Where there is nothing larger the search beside costs two products.
    assert found.steps[1] - alone.steps[1] == 2


def test_one_noisy_copy_is_not_the_input():
    options = {"n_samples": 1, "sigma": 0.5, "target": 1}
    for kind, classes in (("closed_form", 4), ("gauss_newton", 4), ("exact", 4), ("auto", 15)):
        model, x = small_cnn(classes=classes), images(2)
        smooth = attribute(model, x, "smooth_caso", hessian=kind, seed=0, **options).values
        plain = attribute(model, x, "caso", hessian=kind, target=1).values
        assert np.abs(smooth - plain).max() > 1e-3 * np.abs(plain).max()
        other = attribute(model, x, "smooth_caso", hessian=kind, seed=1, **options).values
        assert np.abs(smooth - other).max() > 1e-3 * np.abs(plain).max()


def test_lanczos_stops_at_an_invariant_space_and_keeps_zeros():
    factor = torch.zeros(2, 1, 6, dtype=torch.float64)
    factor[:, 0, 0] = 2.0
    start = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    hessian = Dense(factor.transpose(1, 2) @ factor)
    states = list(lanczos(hessian, start, 6))
    assert len(states) == 1
    assert states[0].eigen()[0][0, 0] == pytest.approx(4)
    for way in (hessian, LowRank(factor)):
        found = solve_second_order(way, start, c1=10.0, rtol=1e-4, max_steps=6)
        assert found.delta[0, 0] == pytest.approx(1 / 20)
        assert found.delta[1].abs().max() == 0


def test_caso_becomes_cafo_where_the_margin_is_large():
    model = small_cnn(gain=30.0)
    caso = attribute(model, images(2), "caso", c1=1e7).values
    cafo = attribute(model, images(2), "cafo", lambda2=1e7).values
    assert np.abs(caso - cafo).max() < 1e-5 * np.abs(cafo).max()


def test_too_few_products_warn():
    factor = torch.randn(1, 8, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 10
    g = torch.randn(1, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    hessian = Dense(factor.transpose(1, 2) @ factor)
    assert solve_second_order(hessian, g, c1=1.0, rtol=1e-6, max_steps=3).error[0] > 1e-6
    with (
        probing(small_cnn(gain=30.0), images(1)) as probe,
        pytest.warns(NotConvergedWarning, match="1 products"),
    ):
        second_order(probe, None, SolverSettings(hessian="gauss_newton", rtol=1e-9, max_steps=1))


# ---------------------------------------------------------------- lambda_1 > 0


def violation(g, hessian_delta, delta, lambda1, twice_lambda2):
    slope = g + hessian_delta - twice_lambda2 * delta
    at_zero = np.maximum(np.abs(slope) - lambda1, 0)
    return np.where(delta != 0, np.abs(slope - lambda1 * np.sign(delta)), at_zero).max() / np.abs(g).max()


def test_cafo_meets_its_optimality_conditions():
    g = -attribute(small_cnn(), images(1), "gradient", of="loss").values.ravel()
    found = attribute(small_cnn(), images(1), "cafo", lambda1=0.3, lambda1_units="relative")
    lambda1 = found.details["lambda1"][0]
    assert lambda1 == pytest.approx(0.3 * np.abs(g).max())
    assert violation(g, 0, -found.values.ravel(), lambda1, 20.0) < 1e-6
    assert 0 < found.details["sparsity"][0] < 1


@pytest.mark.parametrize("kind", ["closed_form", "gauss_newton", "exact"])
@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.01])
def test_caso_meets_its_optimality_conditions(kind, ratio):
    model = small_cnn(gain=30.0).double()
    g, hessian = explicit(model, X64, TARGET)
    options = {"lambda1": ratio, "lambda1_units": "relative", "hessian": kind, "target": TARGET}
    found = attribute(model, X64, "caso", **options)
    for b in range(2):
        delta = -found.values[b].ravel()
        twice = 2 * found.details["lambda2"][b]
        bent = hessian[b].numpy() @ delta
        assert violation(g[b].numpy(), bent, delta, found.details["lambda1"][b], twice) < 1.01e-6
        assert found.details["violation"][b] < 1e-6
        assert 0 < (delta != 0).mean() < 1


def test_an_indefinite_hessian_converges_too():
    model = Curvy().double()
    g, hessian = explicit(model, X64, TARGET)
    found = attribute(model, X64, "caso", c1=0.05, lambda1=0.2, lambda1_units="relative", target=TARGET)
    for b in range(2):
        delta, twice = -found.values[b].ravel(), 2 * found.details["lambda2"][b]
        bent = hessian[b].numpy() @ delta
        assert violation(g[b].numpy(), bent, delta, found.details["lambda1"][b], twice) < 1.01e-6


@pytest.mark.parametrize("method", ["cafo", "caso", "smooth_cafo", "smooth_caso"])
def test_all_is_exactly_zero_from_the_sup_norm_on(method):
    options = {"n_samples": 2} if "smooth" in method else {}
    zero = attribute(small_cnn(), images(2), method, lambda1=1.0, lambda1_units="relative", **options)
    assert np.count_nonzero(zero.values) == 0
    lambda1 = zero.details["lambda1_of_zero"][0]
    assert (
        np.count_nonzero(attribute(small_cnn(), images(2), method, lambda1=lambda1, **options).values[0]) == 0
    )
    below = attribute(small_cnn(), images(2), method, lambda1=0.999, lambda1_units="relative", **options)
    assert np.count_nonzero(below.values[0]) >= 1
    assert np.count_nonzero(below.values[1]) >= 1


def random_quadratic(seed=0, size=30.0):
    rng = torch.Generator().manual_seed(seed)
    factor = torch.randn(2, 5, 40, generator=rng, dtype=torch.float64) * (size / 40) ** 0.5
    g = torch.randn(2, 40, generator=rng, dtype=torch.float64)
    return Quadratic(g, LowRank(factor), "closed_form", ())


def test_backtracking_goes_where_fista_goes():
    quadratic = random_quadratic()
    second = solve_second_order(quadratic.hessian, quadratic.gradient, c1=10.0, rtol=1e-9, max_steps=50)
    lambda1 = torch.tensor([[0.5, 0.2], [0.05, 0.0]], dtype=torch.float64)
    exact = fista(quadratic, second, lambda1, tol=1e-10, max_steps=2000)
    assert exact.violation.max() <= 1e-10
    paper = backtracking(quadratic, second, lambda1)
    assert (paper.delta - exact.delta).norm() < 0.05 * exact.delta.norm()
    longer = backtracking(quadratic, second, lambda1, n_steps=300)
    assert (longer.delta - exact.delta).norm() < 1e-5 * exact.delta.norm()
    assert longer.violation.max() < paper.violation.max()


def test_the_printed_step_size_diverges_and_ours_does_not():
    quadratic = random_quadratic(size=1.0)
    second = solve_second_order(quadratic.hessian, quadratic.gradient, c1=10.0, rtol=1e-9, max_steps=50)
    twice, largest = second.twice_lambda2[0], second.largest[0]
    delta, printed = torch.zeros(2, 40, dtype=torch.float64), twice / 2 - largest / 2
    for _ in range(20):
        delta = delta + printed * (quadratic.gradient + quadratic.hessian(delta) - twice * delta)
    assert delta.abs().max() > 1e6
    assert (
        fista(quadratic, second, torch.zeros(1, 2).double(), tol=1e-8, max_steps=200).violation.max() <= 1e-8
    )


@pytest.mark.parametrize("wanted", [0.0, 0.25, 0.7, 0.9, 1.0])
def test_wanted_sparsity_is_met_exactly(wanted):
    found = attribute(small_cnn(), images(2), "cafo", sparsity=wanted)
    share = (found.values == 0).all(1).reshape(2, -1).mean(1)
    by_itself = (attribute(small_cnn(), images(2), "cafo").values == 0).all(1).reshape(2, -1).mean(1)
    assert np.allclose(share, np.maximum(wanted, by_itself), atol=1e-12)
    assert np.allclose(found.details["sparsity"], share)


@given(st.lists(st.floats(-3, 3, allow_subnormal=False), min_size=2, max_size=30), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_quantile_is_the_smallest_lambda1_that_does(values, sparsity):
    g = torch.tensor([values], dtype=torch.float64)
    lambda1 = quantile_lambda1(g, sparsity, g.shape)

    def share(strength):
        return zero_share(torch.where(g.abs() <= strength, 0.0, g), g.shape)[0]

    assert share(lambda1) >= sparsity - 1e-6
    if lambda1 > 0:
        assert share(lambda1 * (1 - 1e-12)) < sparsity + 1e-9


@pytest.mark.parametrize("method", ["cafo", "caso"])
def test_the_automatic_lambda1_is_sparse_but_not_empty(method):
    model = small_cnn(gain=30.0)
    found = attribute(model, images(4), method, lambda1="auto")
    share = np.array(found.details["sparsity"])
    assert (share < 1).all()
    ratio = np.array(found.details["lambda1"]) / np.array(found.details["lambda1_of_zero"])
    decades = np.isclose(np.log10(ratio), np.round(np.log10(ratio)), atol=1e-4)
    halves = np.isclose(np.log2(ratio), np.round(np.log2(ratio)), atol=1e-4)
    assert (decades | halves).all()
    # Where a decade of the grid was in range, it was taken, and the densest of these.
    for b in range(4):
        for decade in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
            at = attribute(model, images(4)[b : b + 1], method, lambda1=decade, lambda1_units="relative")
            if 0.75 <= at.details["sparsity"][0] < 1:
                assert ratio[b] == pytest.approx(decade, rel=1e-3)
                break


def test_lambda1_must_be_a_number_or_auto():
    with pytest.raises(InputError, match="'auto'"):
        attribute(small_cnn(), images(1), "caso", lambda1="automatic")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("closed_form", None),
        ("closed_form", torch.tensor([3, 0])),
        ("gauss_newton", None),
        ("gauss_newton", torch.tensor([3, 0])),
        ("exact", None),
    ],
)
def test_a_sure_model_keeps_its_digits_in_single_precision(kind, target):
    """p - y of a probability near 1 has none left: maps turned by up to 90 degrees."""
    model, x = small_cnn(classes=15, gain=300.0), images(2)
    exact = small_cnn(classes=15, gain=300.0).double()
    with torch.no_grad():
        p = exact(x.double()).softmax(1).amax(1)
    assert (1 - p).max() < 1e-6
    answers = []
    for net, points in ((model, x), (exact, x.double())):
        with probing(net, points, target) as probe:
            quadratic = hessian_at(probe, kind=kind)
            v = torch.randn(300, generator=torch.Generator().manual_seed(0)).to(points).expand(2, -1)
            answers.append((quadratic.gradient.double(), quadratic.hessian(v).double()))
    for found, wanted in zip(*answers, strict=True):
        assert ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < 2e-4


class Hard(nn.Module):
    """Squeeze and excitation as in MobileNetV3: hard swish, hard sigmoid, in place where it can be."""

    def __init__(self, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.gate, self.last = nn.Conv2d(3, 5, 3), nn.Linear(5, 5), nn.Linear(5, classes)
        self.conv.weight.data *= 8
        self.last.weight.data *= 20

    def forward(self, x):
        x = nn.functional.hardswish(self.conv(x), inplace=True)
        gate = nn.functional.hardsigmoid(self.gate(x.mean((2, 3))), inplace=True)
        return self.last((x * gate[:, :, None, None]).mean((2, 3)))


class Plain(Hard):
    """The same written with clamps."""

    def forward(self, x):
        x = self.conv(x)
        x = x * (x + 3).clamp(0, 6) / 6
        gate = (self.gate(x.mean((2, 3))) + 3).clamp(0, 6) / 6
        return self.last((x * gate[:, :, None, None]).mean((2, 3)))


def test_hard_sigmoids_and_swishes_have_their_exact_hessian():
    g, hessian = explicit(Plain().double(), X64, TARGET)
    for model in (Hard().double(), Saving(Hard().double())):
        with probing(model, X64, TARGET) as probe:
            quadratic = hessian_at(probe)
            assert quadratic.kind == "exact"
            # PyTorch's hard swish has a sixth in single precision.
            assert (quadratic.gradient - g).abs().max() < 1e-6 * g.abs().max()
            found = dense(quadratic.hessian, 300, X64)
        assert (found - hessian).abs().max() < 1e-6 * hessian.abs().max()


class Saving(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return checkpoint(self.model, x, use_reentrant=False)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].exp()


def test_operations_without_a_second_derivative_are_named_with_what_to_do():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.last = nn.Linear(300, 4)

        def forward(self, x):
            flat = x.flatten(1)
            return self.last(Once.apply(flat) + beside * flat.sin())

    beside = 0
    with pytest.raises(InputError, match=r"hessian=\"gauss_newton\" does without them"):
        attribute(Net(), images(1), "caso")
    assert np.abs(attribute(Net(), images(1), "caso", hessian="gauss_newton").values).max() > 0
    beside = 1
    with pytest.raises(InputError, match="differentiable once only"):
        attribute(Net(), images(1), "caso")
