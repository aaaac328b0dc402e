"""Awkward models work or are refused clearly; wrong inputs are refused clearly."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.saliency import METHODS, attribute
from tests.contracts.untouched import untouched
from tests.saliency.models import Curvy, InPlace, TextModel, Wrapped, images, small_cnn
from tests.saliency.test_contracts import every_method, run

torch.set_num_threads(1)


def plain_gradient(model, x, target):
    x = x.clone().requires_grad_(True)
    model.eval()(x.clone())[torch.arange(len(x)), target].sum().backward()
    return x.grad.numpy()


@every_method
def test_in_place_reused_and_functional_relu(method):
    torch.manual_seed(0)
    model, x = InPlace(), images(2)
    before = x.clone()
    with untouched(model):
        result = run(method, model, x)
    assert torch.equal(x, before)
    assert np.isfinite(result.values).all()
    if method == "gradient":
        assert np.allclose(result.values, plain_gradient(model, x, result.target.tolist()), atol=1e-6)


@every_method
def test_models_that_view_their_features(method):
    torch.manual_seed(0)

    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4 * 8 * 8, 3)

        def forward(self, x):
            return self.last(functional.relu(self.conv(x)).view(x.size(0), -1))

    assert np.isfinite(run(method, Viewing(), images(3)).values).all()


def test_dropout_that_was_left_on_is_off():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 20), nn.Dropout(0.5), nn.Linear(20, 3)).train()
    x = images(1)
    assert np.array_equal(attribute(model, x).values, attribute(model, x).values)
    assert model.training
    assert model[2].training


def test_functional_dropout_is_at_least_repeatable():
    model = Wrapped(small_cnn(), functional.dropout)
    x = images(2)
    for method in ("gradient", "smoothgrad"):
        assert np.array_equal(run(method, model, x).values, run(method, model, x).values)


def test_compiled_models_are_run_without_their_wrapper():
    model, x = small_cnn(), images(2)
    expected = attribute(model, x, "caso").values
    assert np.array_equal(attribute(torch.compile(model), x, "caso").values, expected)
    model.compile()
    assert np.allclose(attribute(model, x, "caso").values, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_works_or_is_refused(dtype):
    model, x = small_cnn(gain=2.0), images(2)
    expected = {method: run(method, model, x, target=0).values for method in METHODS}
    half = small_cnn(gain=2.0).to(dtype)
    for method in METHODS:
        if "caso" in method:
            with pytest.raises(InputError, match=re.escape("float32 or float64; got torch.")):
                run(method, half, x, target=0)
            continue
        got = run(method, half, x, target=0).values
        assert got.dtype == np.float32
        error = np.linalg.norm(got - expected[method]) / np.linalg.norm(expected[method])
        assert error < (0.1 if dtype == torch.float16 else 0.4)


def test_float64_models_compute_in_float64():
    model, x = small_cnn().double(), images(2)
    assert attribute(model, x, "caso").values.dtype == np.float64


@pytest.mark.parametrize(
    "after",
    [
        lambda z: (z, z * 2),
        lambda z: [z],
        lambda z: {"logits": z, "hidden": z[:, :1]},
        TextModel.Output,
    ],
)
def test_outputs_of_many_forms(after):
    model, x = small_cnn(), images(2)
    expected = attribute(model, x).values
    assert np.allclose(attribute(Wrapped(model, after), x).values, expected, atol=1e-7)


def test_a_second_output_can_be_chosen():
    model, x = small_cnn(), images(2)
    two_heads = Wrapped(model, lambda z: {"a": z, "b": z.flip(1)})
    with pytest.raises(InputError, match="Choose a part of its output with output="):
        attribute(two_heads, x)
    assert np.array_equal(
        attribute(two_heads, x, output="b", target=0).values, attribute(model, x, target=3).values
    )
    with pytest.raises(InputError, match="output='c' is not compatible with the model"):
        attribute(two_heads, x, output="c")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda z: z[:, :, None], "one logit for each example; got torch.float32 of shape (2, 4, 1)"),
        (lambda z: z[0], "got torch.float32 of shape (4,) for 2 examples"),
        (lambda z: z.argmax(1), "for 2 examples"),
        (lambda z: z * float("nan"), "logits are NaN or infinite"),
        (lambda z: z.detach(), "no gradient with respect to the inputs"),
        (torch.zeros_like, "no gradient with respect to the inputs"),
        (lambda z: z.sum(), "got one number"),
        (lambda z: "cat", "answer a tensor of logits"),
    ],
)
def test_models_that_return_something_else(after, words):
    model = Wrapped(small_cnn(), after)
    with untouched(model), pytest.raises(InputError, match=re.escape(words)):
        attribute(model, images(2))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(0, 3, 10, 10), "at least one example; got shape (0, 3, 10, 10)"),
        (torch.zeros(3), "image[None]"),
        (torch.zeros(2, 3, 10, 10, dtype=torch.uint8), "Divide integer pixels by 255 first"),
        (torch.zeros(2, 300, dtype=torch.int64), "without an embedding layer"),
        (torch.full((2, 3, 10, 10), float("nan")), "600 entries that are NaN or infinite"),
        (torch.zeros(2, 3, 10, 10, dtype=torch.complex64), "be real numbers"),
        ("image.png", "be a tensor or an array (batch, ...); got str"),
        (np.array([["a"]]), "got ndarray"),
        ({"x": 3}, "a mapping with the keys 'x'"),
        ({"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}, "exactly one floating tensor"),
    ],
)
def test_inputs_that_cannot_be_explained(x, words):
    model = small_cnn()
    with untouched(model), pytest.raises(InputError, match=re.escape(words)):
        attribute(model, x)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (4, "be in 0 ... 3; got 4"),
        (-1, "class index"),
        ([0, 1, 2], "one for each of the 2 examples"),
        (1.5, "class index"),
        ("cat", "got 'cat'"),
        ([0, 9], "got 9"),
        (True, "class index"),
    ],
)
def test_classes_that_do_not_exist(target, words):
    with pytest.raises(InputError, match=re.escape(words)):
        attribute(small_cnn(), images(2), target=target)


def test_a_chunk_that_does_not_fit_says_which_to_try():
    class Big(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = small_cnn()

        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.model(x)

    model = Big()
    with (
        untouched(model),
        pytest.raises(InputError, match=re.escape("too little memory for 8 rows at once. Try chunk_size=4.")),
    ):
        attribute(model, images(9), chunk_size=8)
    assert attribute(model, images(9), chunk_size=2).values.shape == (9, 3, 10, 10)
    with pytest.raises(InputError, match="chunk_size"):
        attribute(model, images(1), chunk_size=0)


def test_grad_cam_names_what_it_needs():
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 3))
    with pytest.raises(InputError, match="have a layer with maps"):
        attribute(model, images(1), "gradcam")
    with pytest.raises(InputError, match="be images"):
        attribute(nn.Linear(5, 3), torch.rand(2, 5), "gradcam")
    with pytest.raises(InputError, match="has no layer"):
        attribute(small_cnn(), images(1), "gradcam", layer="conv")


def test_cafo_takes_sparsity_or_lambda1():
    with pytest.raises(InputError, match="leave one of them out"):
        attribute(small_cnn(), images(1), "cafo", lambda1=0.1, sparsity=0.5)


def test_feature_vectors():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    x = torch.rand(4, 6)
    for method in set(METHODS) - {"gradcam"}:
        result = run(method, model, x)
        assert result.values.shape == (4, 6)
        result.plot()


IDS = torch.randint(0, 20, (2, 5), generator=torch.Generator().manual_seed(0))
# Grad-CAM wants maps; attention has no rule in excitation backprop.
TOKENS = sorted(set(METHODS) - {"gradcam", "excitation_backprop"})


@pytest.mark.parametrize("method", TOKENS)
def test_tokens_are_explained_by_their_embeddings(method):
    model = TextModel()
    with untouched(model), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched")
        result = run(method, model, IDS)
        masked = run(method, model, {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)})
    assert result.values.shape == (2, 5, 8)
    assert result.layout == "tokens"
    assert result.display().shape == (2, 5)
    assert np.allclose(result.values, masked.values, atol=1e-5)
    result.plot()


def test_masked_tokens_do_not_matter():
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    class MaskedMean(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.words, self.last = nn.Embedding(20, 8), nn.Linear(8, 3)

        def forward(self, input_ids, attention_mask):
            x = self.words(input_ids).relu() * attention_mask[:, :, None]
            return self.last(x.sum(1) / attention_mask.sum(1, keepdim=True))

    inputs = {"input_ids": IDS, "attention_mask": mask}
    # Each row must keep its own mask, also when chunks cut through copies and examples.
    for method in ("gradient", "integrated_gradients", "smoothgrad", "caso", "smooth_caso"):
        values = run(method, MaskedMean(), inputs, chunk_size=3).values
        assert np.abs(values[0, 3:]).max() == 0
        assert np.abs(values[1, 3:]).max() > 0


def test_the_embedding_layer_can_be_named():
    model = TextModel()
    assert np.array_equal(attribute(model, IDS, embedding="words").values, attribute(model, IDS).values)
    with pytest.raises(InputError, match="has no layer"):
        attribute(model, IDS, embedding="word")
    with pytest.raises(InputError, match="give a tensor \\(batch, tokens, dimensions\\)"):
        attribute(nn.Sequential(nn.EmbeddingBag(20, 4), nn.Linear(4, 3)), IDS, embedding="0")


def test_curved_models_are_named():
    details = attribute(Curvy(), images(2), "caso").details
    assert details["hessian"] == "exact"
    assert set(details["curved_operations"]) == {"Gelu", "Mul", "Sigmoid"}
    assert attribute(small_cnn(), images(2), "caso").details["curved_operations"] == ()
