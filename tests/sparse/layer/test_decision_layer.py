"""SparseDecisionLayer: the solver's logits in raw units, edits that do what they say, safe swaps."""

import io
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import SparseDecisionLayer, elastic_net_path, extract_features
from tests.contracts.untouched import disturb, untouched
from tests.sparse.models import image_data, net

NAMES = [f"feature {j}" for j in range(5)]
CLASSES = ["cat", "dog", "<b>eel</b>"]


def make(rows=3, p=5, seed=0, mean=2.0, classes=None, layer="fc"):
    """A layer, standardised weights and intercepts, and raw and standardised features."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rows, p)) * (rng.random((rows, p)) < 0.6)
    intercepts = rng.normal(size=rows)
    scale = rng.uniform(0.1, 3, p)
    center = mean + rng.normal(size=p)
    raw = (rng.normal(size=(20, p)) * scale + center).astype(np.float32)
    z = (raw.astype(np.float64) - center) / scale
    names = classes or (CLASSES[:rows] if rows <= 3 else [str(c) for c in range(rows)])
    features = [f"feature {j}" for j in range(p)]
    sparse = SparseDecisionLayer.from_standardized(weights, intercepts, center, scale, features, names, layer)
    return sparse, weights, intercepts, torch.from_numpy(raw), z


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 99), st.sampled_from([0.0, 1.0, 1e3, 1e5]))
def test_logits_equal_the_solvers_to_1e5(rows, p, seed, mean):
    sparse, weights, intercepts, raw, z = make(rows, p, seed, mean)
    expected = z @ weights.T + intercepts
    error = np.abs(sparse(raw).numpy() - expected).max()
    assert error <= 1e-5 * np.abs(expected).max()


def test_weight_and_bias_are_those_of_an_ordinary_linear_layer():
    sparse, weights, intercepts, raw, z = make()
    plain = raw.double() @ sparse.weight.double().T + sparse.bias.double()
    np.testing.assert_allclose(plain, z @ weights.T + intercepts, atol=1e-5)
    np.testing.assert_allclose(sparse.standardized_weight, weights, rtol=1e-6)
    assert sparse.n_nonzero.tolist() == (weights != 0).sum(1).tolist()
    assert sparse.features_per_class == (weights != 0).sum(1).mean()
    assert (sparse.in_features, sparse.out_features) == (5, 3)
    assert "in_features=5, out_features=3, features_per_class=" in repr(sparse)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_answers_in_the_dtype_it_is_asked_in(dtype):
    sparse, weights, intercepts, raw, z = make()
    out = sparse(raw.to(dtype))
    assert out.dtype == dtype
    bound = 20 * max(torch.finfo(dtype).eps, 1e-7) * np.abs(z @ weights.T).max() * 5
    np.testing.assert_allclose(out.double(), z @ weights.T + intercepts, atol=bound)


def test_contributions_add_up_to_the_logit():
    sparse, weights, _, raw, z = make()
    for c in range(3):
        parts = sparse.contributions(raw, c)
        np.testing.assert_allclose(parts, weights[c] * z, atol=1e-5)
        torch.testing.assert_close(parts.sum(1) + sparse.intercept[c], sparse(raw)[:, c])
    assert torch.equal(sparse.contributions(raw, "dog"), sparse.contributions(raw, 1))


@pytest.mark.parametrize("class_index", [None, 1, "dog"])
@pytest.mark.parametrize("at", ["mean", "zero"])
def test_silencing_is_freezing_the_feature(at, class_index):
    sparse, *_, raw, _ = make()
    before = sparse(raw)
    frozen = raw.clone()
    frozen[:, [1, 3]] = sparse.center[[1, 3]] if at == "mean" else 0.0
    expected = sparse(frozen)
    silenced = sparse.silence(["feature 1", 3, 1], class_index, at)
    rows = [0, 1, 2] if class_index is None else [1]
    torch.testing.assert_close(silenced(raw)[:, rows], expected[:, rows], atol=2e-6, rtol=1e-5)
    others = [row for row in range(3) if row not in rows]
    assert torch.equal(silenced(raw)[:, others], before[:, others])
    assert torch.equal(sparse(raw), before)  # the layer itself is unchanged
    assert (silenced.weight[rows][:, [1, 3]] == 0).all()
    assert torch.equal(sparse.silence(2).weight[:, 2], torch.zeros(3))
    assert torch.equal(sparse.silence(np.int64(2)).weight, sparse.silence("feature 2").weight)


@pytest.mark.parametrize("at", ["mean", "zero"])
def test_a_silenced_feature_that_hardly_varies_leaves_nothing_behind(at):
    # The raw weight is 1 / 2e-10: what rounding the mean leaves over is worth several units of logit.
    mean, scale = np.array([0.0123456789, 2.0]), np.array([2e-10, 1.0])
    rows = np.array([[3.0, 0.5], [-1.0, 1.0]])
    sparse = SparseDecisionLayer.from_standardized(
        rows, [0.1, 0.2], mean, scale, ["flat", "other"], ["a", "b"]
    )
    at_mean = torch.from_numpy(mean)[None]
    torch.testing.assert_close(sparse(at_mean), torch.tensor([[0.1, 0.2]]).double(), atol=1e-5, rtol=0)
    silenced = sparse.silence("flat", at=at)
    expected = np.array([0.1, 0.2]) - (rows[:, 0] * mean[0] / scale[0] if at == "zero" else 0.0)
    np.testing.assert_allclose(silenced(at_mean)[0], expected, rtol=1e-6, atol=1e-6)


def test_edits_are_in_standardised_units_and_leave_the_mean_alone():
    sparse, weights, intercepts, raw, z = make()
    edited = sparse.edit({("dog", "feature 2"): 1.5, (0, 0): 0.0})
    changed = weights.copy()
    changed[1, 2], changed[0, 0] = 1.5, 0.0
    np.testing.assert_allclose(edited(raw), z @ changed.T + intercepts, atol=1e-5)
    mean = (sparse.center.double() + sparse.rest.double())[None]
    assert torch.equal(edited(mean), sparse(mean))


def test_table_of_nonzero_weights():
    sparse, weights, *_ = make()
    table = sparse.to_frame()
    assert len(table) == (weights != 0).sum()
    dog = table[table["class"] == "dog"]["weight"].to_numpy()
    np.testing.assert_allclose(np.abs(dog), np.sort(np.abs(weights[1][weights[1] != 0]))[::-1], rtol=1e-6)
    assert list(make(1, classes=["no", "yes"])[0].to_frame()["class"].unique()) == ["yes"]


def test_a_binomial_layer_speaks_for_both_classes():
    sparse, weights, _, raw, z = make(1, classes=["no", "yes"])
    np.testing.assert_allclose(sparse.contributions(raw, "yes"), weights[0] * z, atol=1e-5)
    assert torch.equal(sparse.contributions(raw, "no"), -sparse.contributions(raw, 1))
    assert sparse.edit({("no", 0): -2.0}).standardized_weight[0, 0] == pytest.approx(2.0)
    assert (sparse.silence(1, "no").weight[0, 1] == 0).all()


def test_state_dict_round_trip():
    sparse, *_, raw, _ = make()
    other, *_ = make(seed=1)
    file = io.BytesIO()
    torch.save(sparse.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(raw), sparse(raw))


def test_a_state_dict_of_before_the_rest_was_kept_still_loads():
    sparse, *_, raw, _ = make()
    state = sparse.state_dict()
    rest = state.pop("rest").double()
    state["intercept"] = state["intercept"] - (state["weight"].double() @ rest).float()
    other, *_ = make(seed=1)
    other.load_state_dict(state)
    torch.testing.assert_close(other(raw), sparse(raw), atol=1e-6, rtol=1e-6)


def test_gradients_reach_the_features():
    sparse, *_, raw, _ = make()
    (grad,) = torch.autograd.grad(sparse(raw.requires_grad_())[:, 1].sum(), raw)
    torch.testing.assert_close(grad, sparse.weight[1].expand_as(raw))


# ---------------------------------------------------------------- in a live model

X, _ = image_data(6)


def features_of(model, x):
    with torch.no_grad():
        z = model.relu(model.norm(model.conv(x))).mean((2, 3))
        return model.relu(model.hidden(z))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_swapped_in_and_back(bias, frozen):
    model = disturb(net(bias=bias))
    model.eval().requires_grad_(not frozen)
    sparse, *_ = make()
    with untouched(model):
        with sparse.installed(model) as live:
            assert live is model
            torch.testing.assert_close(model(X), sparse(features_of(model, X)))
            assert not torch.equal(model.fc.weight, torch.zeros(3, 5))
            assert model.fc.training == model.training
            assert all(p.requires_grad is not frozen for p in model.fc.parameters())
            assert model.fc is not sparse
        model(X)


def test_swapped_back_after_an_exception():
    model, (sparse, *_) = disturb(net()), make()

    def fail():
        with sparse.installed(model):
            raise RuntimeError("stop")

    with untouched(model), pytest.raises(RuntimeError, match="stop"):
        fail()


def test_a_handle_restores_once_and_never_clobbers():
    model, (sparse, *_) = net(), make()
    own = model.fc
    handle = sparse.install(model)
    assert handle.active
    assert handle.original is own
    assert model.fc is handle.module
    assert "installed" in repr(handle)
    handle.restore()
    handle.restore()
    assert model.fc is own
    assert not handle.active
    assert "restored" in repr(handle)

    handle = sparse.install(model)
    mine = model.fc = nn.Linear(5, 3)
    assert "replaced by another layer" in repr(handle)
    with pytest.raises(InputError, match="Layer 'fc' cannot be restored: a Linear has taken its place"):
        handle.restore()
    assert model.fc is mine
    model.fc = handle.module
    handle.restore()
    assert model.fc is own
    with sparse.install(model) as handle:
        assert model.fc is handle.module
    assert model.fc is own


def test_nested_installs_come_out_in_order():
    model, (first, *_), (second, *_) = net(), make(), make(seed=1)
    own = model.fc
    a, b = first.install(model), second.install(model)
    with pytest.raises(InputError, match="Take that one out first"):
        a.restore()
    b.restore()
    a.restore()
    assert model.fc is own


class Containers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(5, 3)
        self.sequence = nn.Sequential(nn.Identity(), nn.Linear(5, 3))
        self.table = nn.ModuleDict({"odd name": nn.Linear(5, 3)})
        self.list = nn.ModuleList([nn.Linear(5, 3)])
        self.shared = shared
        self.again = shared


@pytest.mark.parametrize("name", ["sequence.1", "table.odd name", "list.0", "shared", "again"])
def test_every_kind_of_container(name):
    model, (sparse, *_) = Containers(), make()
    with untouched(model), sparse.installed(model, name):
        assert isinstance(model.get_submodule(name), SparseDecisionLayer)
        if name in {"shared", "again"}:
            assert model.shared is model.again
        x = torch.linspace(0, 1, 10).reshape(2, 5)
        torch.testing.assert_close(model.get_submodule(name)(x), sparse(x))


def test_compiled_models_answer_with_the_sparse_layer():
    model, (sparse, *_) = net().eval(), make()
    compiled = torch.compile(model, backend="eager")
    own = compiled(X)
    with sparse.installed(compiled):
        torch.testing.assert_close(compiled(X), sparse(features_of(model, X)))
    torch.testing.assert_close(compiled(X), own)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_models_of_another_precision(dtype):
    model, (sparse, *_) = net().to(dtype).eval(), make()
    with untouched(model), sparse.installed(model):
        assert model(X.to(dtype)).dtype == dtype
        assert model.fc.weight.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_models_on_another_device():
    model, (sparse, *_) = net().cuda().eval(), make()
    with untouched(model), sparse.installed(model):
        assert model(X.cuda()).device.type == "cuda"
    assert sparse.weight.device.type == "cpu"


def test_one_row_in_a_model_with_two_logits_answers_minus_and_plus_half_of_z():
    sparse, *_ = make(1, classes=["no", "yes"])
    model = net(classes=2).eval()
    with untouched(model), sparse.installed(model):
        out = model(X)
        z = sparse(features_of(model, X))
        torch.testing.assert_close(out, torch.cat([-z, z], 1) / 2)
        torch.testing.assert_close(out.softmax(1)[:, 1:], torch.sigmoid(z))


def test_two_rows_in_a_model_with_one_logit_answer_their_difference():
    sparse, *_ = make(2)
    model = net(classes=1).eval()
    with sparse.installed(model):
        two = sparse(features_of(model, X))
        torch.testing.assert_close(torch.sigmoid(model(X))[:, 0], two.softmax(1)[:, 1])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("cf", "Did you mean 'fc'?"),
        ("conv", "be an nn.Linear; got Conv2d"),
        ("hidden", "take 5 features; got one that takes 6"),
        ("", "Which layer is to be replaced? Pass layer="),
    ],
)
def test_installing_where_it_does_not_fit(layer, message):
    model, (sparse, *_) = net(), make()
    with untouched(model), pytest.raises(InputError, match=re.escape(message)):
        sparse.install(model, layer)


def test_installing_with_another_number_of_classes():
    sparse, *_ = make(2)
    model = net()
    with untouched(model), pytest.raises(InputError, match="have 2 outputs; got one with 3 outputs"):
        sparse.install(model)
    with pytest.raises(InputError, match=r"instance of torch\.nn\.Module"):
        sparse.install(nn.Linear)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s(torch.ones(2, 4)), "have shape (..., 5) and a float dtype; got shape (2, 4)"),
        (lambda s: s(torch.ones(2, 5, dtype=torch.int64)), "torch.int64"),
        (lambda s: s(torch.tensor(1.0)), "got shape ()"),
        (lambda s: s.silence("feature 9"), "Did you mean 'feature"),
        (lambda s: s.silence(5), "be a known name or an index in 0 ... 4; got 5"),
        (lambda s: s.silence(-1), "got -1"),
        (lambda s: s.silence(True), "got True"),
        (lambda s: s.silence(1.5), "be a name, an index, or several of them; got 1.5"),
        (lambda s: s.silence(1, "cta"), "Did you mean 'cat'"),
        (lambda s: s.silence(1, at="off"), "be one of 'mean', 'zero'; got off"),
        (lambda s: s.edit({1: 2.0}), "have keys (class, feature); got 1"),
        (lambda s: s.edit({(0, 1): float("nan")}), "a finite number"),
        (lambda s: s.edit([1]), "be a mapping {(class, feature): weight}; got list"),
        (lambda s: s.contributions(torch.ones(1, 5), 3), "an index in 0 ... 2; got 3"),
    ],
)
def test_bad_calls(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call(make()[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones(5)}, "have shapes (C, p), (C,), (p,), (p,); got weights (5,)"),
        ({"intercepts": np.ones(2)}, "intercepts (2,)"),
        ({"scale": np.array([1, 1, 0, 1, 1.0])}, "be positive and finite (1 for dead features); got 0.0"),
        ({"feature_names": NAMES[:4]}, "feature_names is not compatible with weights of shape (3, 5)"),
        ({"class_names": ["a"]}, "be 3 names"),
    ],
)
def test_parts_that_do_not_belong_together(changes, message):
    parts = {
        "weights": np.ones((3, 5)),
        "intercepts": np.zeros(3),
        "mean": np.zeros(5),
        "scale": np.ones(5),
        "feature_names": NAMES,
        "class_names": CLASSES,
    }
    with pytest.raises(InputError, match=re.escape(message)):
        SparseDecisionLayer.from_standardized(**{**parts, **changes})


def test_equal_class_names_are_told_apart_by_index():
    sparse, *_ = make(classes=["crane", "crane", "eel"])
    with pytest.raises(
        InputError,
        match=re.escape("The name 'crane' occurs 2 times in this layer: use one of the indices 0, 1."),
    ):
        sparse.silence(0, "crane")
    assert (sparse.silence(0, 1).weight[1, 0] == 0).all()


def test_a_model_that_is_one_linear_layer_says_what_to_do():
    torch.manual_seed(0)
    model, x, y = nn.Linear(6, 4), torch.rand(60, 6), torch.arange(60) % 4
    features = extract_features(model, (x, y), progress=False)
    layer = elastic_net_path(features, n_lambdas=4, progress=False).decision_layer(3)
    with pytest.raises(InputError, match=r"single nn\.Linear: no module holds it"):
        layer.install(model)
    with layer.installed(nn.Sequential(model), layer="0") as whole:
        assert torch.equal(whole(x), layer(x))
