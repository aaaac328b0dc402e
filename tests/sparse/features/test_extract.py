"""extract_features: the right numbers from every kind of model and data, and nothing left behind."""

import gc
import re
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.fingerprint import data_fingerprint, model_fingerprint
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.sparse import SparseDecisionLayer, extract_features
from sparse_debug_widgets.sparse.features import store as feature_store
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning
from tests.contracts.untouched import disturb, untouched
from tests.sparse.models import TextClassifier, expected, image_data, net

X, Y = image_data()

pytestmark = pytest.mark.filterwarnings(f"ignore::{DeadFeaturesWarning.__module__}.DeadFeaturesWarning")


@pytest.fixture
def model():
    return disturb(net())


# ---------------------------------------------------------------- right numbers


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_features_are_the_inputs_of_the_decision_layer(model, batch_size):
    with untouched(model):
        features = extract_features(model, (X, Y), batch_size=batch_size)
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)
    assert features.values.dtype == np.float32
    assert (features.labels == Y.numpy()).all()
    assert features.layer == "fc"
    np.testing.assert_array_equal(features.dense_weight, model.fc.weight.detach().double())
    np.testing.assert_array_equal(features.dense_bias, model.fc.bias.detach().double())
    assert features.provenance.params["model_fingerprint"] == model_fingerprint(model)
    assert features.provenance.params["data_fingerprint"] == data_fingerprint((X, Y))


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True, drop_last=True),
        (X.numpy(), Y.numpy()),
        (X.double(), Y.to(torch.uint8)),
        Subset(TensorDataset(X, Y), range(24)),
    ],
    ids=["dataset", "shuffled loader", "arrays", "doubles and bytes", "subset"],
)
def test_rows_are_in_the_order_of_the_data_whatever_their_form(model, data):
    with untouched(model):
        features = extract_features(model, data)
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)
    assert (features.labels == Y.numpy()).all()


def test_the_folded_dense_layer_gives_the_models_own_logits(model):
    features = extract_features(model, (X, Y))
    layer = SparseDecisionLayer.from_standardized(
        features.dense_weight * features.scale,
        features.dense_bias + features.dense_weight @ features.mean,
        features.mean,
        features.scale,
        features.feature_names,
        features.class_names,
        features.layer,
    )
    model.eval()
    with torch.no_grad():
        own = model(X)
        with layer.installed(model):
            torch.testing.assert_close(model(X), own, rtol=1e-5, atol=1e-6)


def test_test_data_become_the_test_split(model):
    with untouched(model):
        features = extract_features(model, (X, Y), test=(X[:6] + 1, Y[:6]), validation=0.25)
    assert np.bincount(features.splits).tolist() == [18, 6, 6]
    assert (features.splits[24:] == 2).all()
    np.testing.assert_allclose(features.values[24:], expected(model, X[:6] + 1), atol=1e-6)
    train = features.values[features.splits == 0].astype(np.float64)
    np.testing.assert_allclose(features.mean, train.mean(0), rtol=1e-12)


def test_a_layer_by_name_is_noted(model):
    features = extract_features(model, (X, Y % 3), layer="fc")
    assert features.layer == "fc"
    model = net(head=nn.Softmax(1))
    features = extract_features(model, (X, Y))
    assert features.note == "the model applies softmax to the logits of 'fc'"
    assert "softmax" in repr(features)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121"])
def test_torchvision_classifiers(name):
    torch.manual_seed(0)
    model = disturb(getattr(torchvision.models, name)(num_classes=3))
    x = torch.rand(6, 3, 32, 32)
    with untouched(model):
        features = extract_features(model, (x, Y[:6]), validation=0, batch_size=4)
    model.eval()
    with torch.no_grad():
        logits = features.values @ features.dense_weight.T + features.dense_bias
        np.testing.assert_allclose(logits, model(x), rtol=1e-4, atol=1e-5)


class Texts(Dataset):
    def __init__(self, extra=None) -> None:
        self.ids = torch.randint(0, 20, (12, 4), generator=torch.Generator().manual_seed(0))
        self.extra = extra

    def __len__(self):
        return 12

    def __getitem__(self, i):
        example = {"input_ids": self.ids[i], "attention_mask": torch.ones(4), "labels": i % 2}
        return example | {self.extra: 0} if self.extra else example


def test_hugging_face_like_classifiers():
    torch.manual_seed(0)
    model = disturb(TextClassifier())
    data = Texts()
    with untouched(model):
        features = extract_features(model, data)
        batched = extract_features(model, DataLoader(data, batch_size=5, shuffle=True))
    np.testing.assert_allclose(batched.values, features.values, atol=1e-6)
    with torch.no_grad():
        out = model(data.ids, torch.ones(12, 4)).logits
    np.testing.assert_allclose(
        features.values @ features.dense_weight.T + features.dense_bias, out, atol=1e-5
    )
    with untouched(model), pytest.raises(InputError, match=r"'token_type_ids'\. Wrap it in a Dataset"):
        extract_features(model, Texts("token_type_ids"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_precisions_take_float32_data(dtype):
    model = disturb(net().to(dtype))
    with untouched(model):
        features = extract_features(model, (X, Y))
    np.testing.assert_allclose(features.values, expected(net()), atol=0.05)
    assert features.values.dtype == np.float32


def test_compiled_models():
    model = net()
    compiled = torch.compile(model, backend="eager")
    compiled(X)
    with untouched(model):
        features = extract_features(compiled, (X, Y))
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)


def test_autocast_around_the_call_changes_nothing(model):
    with torch.autocast("cpu", torch.bfloat16):
        inside = extract_features(model, (X, Y))
    np.testing.assert_array_equal(inside.values, extract_features(model, (X, Y)).values)


def test_frozen_models_and_inference_mode(model):
    model.requires_grad_(False)
    with torch.inference_mode():
        features = extract_features(model, (X, Y))
    model.requires_grad_(True)
    model(X).sum().backward()  # nothing became an inference tensor
    assert features.n == 24


def test_another_device_runs_a_copy(model):
    with untouched(model):
        same = extract_features(model, (X, Y), device="cpu")
        with pytest.raises(InputError, match="be a device of this machine; got 'cuda:99'"):
            extract_features(model, (X, Y), device="cuda:99")
        with pytest.raises(InputError, match="got 'gpu'"):
            extract_features(model, (X, Y), device="gpu")
    assert same.provenance.params["device"] == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu(model):
    with untouched(model):
        on_gpu = extract_features(model, (X, Y), device="cuda")
    np.testing.assert_allclose(on_gpu.values, expected(model), atol=1e-4)


# ---------------------------------------------------------------- labels and names


class Named(TensorDataset):
    classes = ("<script>alert(1)</script>", 'a "b"\nc', "x" * 10_000)


@pytest.mark.parametrize("wrap", [lambda d: d, DataLoader, lambda d: Subset(d, range(24))])
def test_class_names_come_from_the_data_set(model, wrap):
    assert extract_features(model, wrap(Named(X, Y))).class_names == Named.classes
    given = extract_features(model, wrap(Named(X, Y)), class_names=[*"abc"])
    assert given.class_names == ("a", "b", "c")


def test_demos_name_their_classes():
    demo = load_demo("digits")
    with untouched(demo.model):
        features = extract_features(demo.model, demo.train, test=demo.test)
    assert features.class_names == demo.class_names
    logits = features.values @ features.dense_weight.T + features.dense_bias
    accuracy = (logits.argmax(1) == features.labels)[features.rows("test")].mean()
    assert accuracy == pytest.approx(demo.numbers["accuracy_test"], abs=1e-9)


def test_synonyms_and_names_that_do_not_fit(model):
    data = Named(X, Y)
    data.classes = [("tench", "Tinca tinca"), "b", "c"]
    assert extract_features(model, data).class_names[0] == "tench"
    data.classes = ["a", "b"]
    assert extract_features(model, data).class_names == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize("labels", [Y % 2, (Y % 2).float(), (Y % 2).float()[:, None], (Y % 2).bool()])
def test_one_logit_means_two_classes(labels):
    model = net(classes=1, head=lambda z: z.squeeze(1))
    features = extract_features(model, (X, labels), batch_size=5)
    assert features.labels.dtype == np.int64
    assert features.labels.shape == (24,)
    assert features.n_classes == 2
    assert features.dense_weight.shape == (1, 5)


def test_real_targets():
    targets = torch.rand(24, 2)
    features = extract_features(net(classes=2), (X, targets))
    np.testing.assert_allclose(features.labels, targets.double())
    assert features.n_classes == 2


class Loader(Dataset):
    def __init__(self, *parts) -> None:
        self.parts = parts

    def __len__(self):
        return 24

    def __getitem__(self, i):
        return tuple(part[i] for part in self.parts)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((X, Y + 1), {}, "lie in 0 ... 2; got 3 in row 2"),
        (
            (X, torch.where(torch.arange(24) == 20, -1, Y)),
            {"batch_size": 8},
            "got -1 in row 20 (1 such rows)",
        ),
        ((X, Y * 0), {}, "The training rows are all of one class"),
        (
            (X, Y.float()),
            {},
            "have 3 columns of targets; got 1. Class indices must be whole numbers: labels.long()",
        ),
        ((X, torch.eye(3, dtype=torch.long)[Y]), {}, "labels.argmax(1)"),
        (
            (X * float("nan"), Y),
            {},
            "finite numbers that float32 can hold; got nan in row 0, feature 'feature 0'",
        ),
        ((X * 0, Y), {}, "vary on the training split; got 5 features that are all constant"),
        (X, {}, "The data have no labels, which a fit needs. Pass (X, y)"),
        (Loader(X, Y, Y), {}, "must yield (inputs, label); got a list of 3"),
        ([{"x": 1}], {}, "got a mapping with the keys 'x'. Wrap it"),
        (TensorDataset(X[:0], Y[:0]), {}, "hold at least one example; got an empty TensorDataset"),
        ((X, Y), {"layer": "fcc"}, "Did you mean 'fc'?"),
        ((X, Y), {"layer": "conv"}, "Layer 'conv' is a Conv2d, and a decision layer must be an nn.Linear"),
        ((X, Y), {"class_names": ["a"]}, "be 3 names, one per output of the decision layer; got 1 names"),
        ((X, Y), {"validation": 2}, "validation"),
        ((X, Y), {"memory_budget": -1}, "memory_budget"),
        ((X, Y), {"batch_size": 0}, "batch_size"),
        ((X, Y), {"test": (X[:0], Y[:0])}, "hold at least one example"),
        ((X, Y), {"test": (X, Y.float())}, "labels"),
    ],
)
def test_bad_input_says_what_to_do_and_leaves_the_model_alone(model, data, options, message, tmp_path):
    for extra in ({}, {"cache": tmp_path / "cache"}, {"memory_budget": 0}):
        with untouched(model), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeadFeaturesWarning)
            with pytest.raises(InputError, match=re.escape(message)):
                extract_features(model, data, **{**extra, **options})


# ---------------------------------------------------------------- exceptions, progress, cancel


class Failing(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        if i == 13:
            raise OSError("disk gone")
        return X[i], Y[i]


@pytest.mark.parametrize("where", ["data", "model", "progress"])
@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_untouched_after_an_exception_mid_way(model, where, budget, monkeypatch, tmp_path):
    monkeypatch.setattr(feature_store.tempfile, "tempdir", str(tmp_path))
    data, error, progress = (X, Y), RuntimeError, None
    if where == "data":
        data, error = Failing(), OSError
    if where == "model":
        calls = []
        model.hidden.register_forward_hook(lambda *_: calls.append(1) if len(calls) < 3 else 1 / 0)
        error = ZeroDivisionError
    if where == "progress":
        error = Cancelled

        def progress(p):
            if p.done >= 8:
                raise Cancelled

    with untouched(model), pytest.raises(error):
        extract_features(model, data, batch_size=4, memory_budget=budget, progress=progress)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_training_and_test_examples(model):
    seen = []
    extract_features(model, (X, Y), test=(X[:6], Y[:6]), batch_size=10, progress=seen.append)
    assert [p.done for p in seen] == [0, 10, 20, 24, 24, 30]
    assert {p.total for p in seen} == {30}
    assert {p.note for p in seen} == {"features of the training data", "features of the test data"}


# ---------------------------------------------------------------- memory budget


def test_above_the_budget_features_are_memory_mapped_and_the_files_go_with_them(model, monkeypatch, tmp_path):
    monkeypatch.setattr(feature_store.tempfile, "tempdir", str(tmp_path))
    features = extract_features(model, (X, Y), test=(X[:6], Y[:6]), memory_budget=100, batch_size=7)
    assert isinstance(features.values, np.memmap)
    assert not features.values.flags.writeable
    in_memory = extract_features(model, (X, Y), test=(X[:6], Y[:6]), batch_size=7)
    np.testing.assert_array_equal(features.values, in_memory.values)
    np.testing.assert_array_equal(features.standardized(0), in_memory.standardized(0))
    np.testing.assert_array_equal(features.mean, in_memory.mean)
    assert len(list(tmp_path.iterdir())) == 1
    view = features.values[3:]
    del features
    gc.collect()
    assert np.isfinite(view).all()
    del view
    gc.collect()
    assert list(tmp_path.iterdir()) == []


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_streams_of_unknown_length(model, budget, monkeypatch, tmp_path):
    monkeypatch.setattr(feature_store.tempfile, "tempdir", str(tmp_path))
    features = extract_features(model, Stream(), memory_budget=budget, batch_size=5)
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)
    assert isinstance(features.values, np.memmap) == (budget == 0)
    assert len(list(tmp_path.iterdir())) == (budget == 0)


def test_data_that_give_more_than_they_promised(model):
    class Liar(DataLoader):
        def __len__(self):
            return 1

    store = feature_store.MemoryStore(2, 3)
    for k in range(4):
        store.append(np.full((2, 3), k, np.float32), "")
    assert store.finish()[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    features = extract_features(model, Liar(TensorDataset(X, Y), batch_size=5))
    assert features.n == 24
