"""Data that features were not taken from are refused wherever the two meet, and the message says which."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.sparse import DeepFeatures, extract_features
from sparse_debug_widgets.sparse.features.origin import check_model_of, check_origin
from sparse_debug_widgets.widgets.shared.features.source import FeatureSource
from sparse_debug_widgets.widgets.shared.live import LiveModel

G = torch.Generator().manual_seed(0)
X, Y = torch.rand(40, 1, 4, 4, generator=G), torch.arange(40) % 2
X_TEST, Y_TEST = torch.rand(10, 1, 4, 4, generator=G), torch.arange(10) % 2
TRAIN, TEST = TensorDataset(X, Y), TensorDataset(X_TEST, Y_TEST)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 2))


@pytest.fixture(scope="module")
def features(model):
    return extract_features(model, TRAIN, test=(X_TEST, Y_TEST), batch_size=16)


def prototypes(features, *data, **options):
    return sdw.find_prototypes(features, *data, features=[0], **options)


def source(features, *data, **options):
    return FeatureSource(sdw.elastic_net_path(features, n_lambdas=3), *data, features=features, **options)


def fitted(features, *data, **options):
    return sdw.fit_panel(features, *data, checkpoints=False, **options)


@pytest.mark.parametrize("meet", [prototypes, source, fitted, check_origin])
def test_other_data_are_refused_and_the_message_says_which_were_meant(meet, features):
    for wrong in (TEST, TensorDataset(X[:39], Y[:39]), (X_TEST, Y_TEST)):
        n = len(wrong[0]) if isinstance(wrong, tuple) else len(wrong)
        said = rf"40 of TensorDataset as data and 10 of \(X, y\) as test=; got {n} as data"
        with pytest.raises(InputError, match=said):
            meet(features, wrong)
    with pytest.raises(InputError, match="got 10 as data and 40 as test="):
        meet(features, TEST, test=TRAIN)
    with pytest.raises(InputError, match="Pass them as test=, as to extract_features"):
        meet(features, TRAIN)


@pytest.mark.parametrize("meet", [prototypes, source, fitted, check_origin])
def test_as_many_other_examples_are_refused(meet, features):
    for wrong in (TensorDataset(X.flip(0), Y), (1 - X, Y), DataLoader(TensorDataset(X + 1, Y))):
        with pytest.raises(InputError, match=r"got another example in row 0\. The order counts"):
            meet(features, wrong, test=TEST)
    with pytest.raises(InputError, match="got another example in row 40"):
        meet(features, TRAIN, test=(X_TEST * 2, Y_TEST))


@pytest.mark.parametrize("wrap", [
    lambda x, y: (x, y),
    lambda x, y: (x.numpy(), y.tolist()),
    lambda x, y: [(one, int(label)) for one, label in zip(x, y, strict=True)],
    TensorDataset,
    lambda x, y: DataLoader(TensorDataset(x, y), batch_size=3, shuffle=True),
    lambda x, y: Subset(TensorDataset(x, y), range(len(x))),
    lambda x, y: [{"pixel_values": one, "label": int(label)} for one, label in zip(x, y, strict=True)],
])  # fmt: skip
def test_the_same_examples_in_any_form_are_accepted(wrap, features):
    check_origin(features, wrap(X, Y), wrap(X_TEST, Y_TEST))


def test_rows_of_the_training_data_need_no_test_data(features):
    found = prototypes(features, TRAIN, split="train")
    assert found.pictures is not None
    with pytest.raises(InputError, match="Pass them as test="):
        prototypes(features, TRAIN, split="test")


class Cropped(Dataset):
    """Another picture each time it is read, as with transforms of training."""

    def __len__(self):
        return 40

    def __getitem__(self, row):
        return X[row] + 1e-3 * np.random.default_rng().random(), int(Y[row])


def test_random_transforms_are_no_other_data(model):
    features = extract_features(model, Cropped())
    assert prototypes(features, Cropped()).pictures is not None


def test_sentences():
    def tokens(sentences):
        return [[len(word) for word in sentence.split()] for sentence in sentences]

    model = nn.Sequential(nn.EmbeddingBag(40, 4), nn.Linear(4, 2))
    texts, labels = [f"{'a' * (1 + k)} b" for k in range(20)], [0, 1] * 10
    features = extract_features(model, (texts, labels), tokenizer=tokens)
    check_origin(features, TextData(texts, labels, tokens))
    other = [*texts[:-1], "something else"]
    with pytest.raises(InputError, match=r"20 of \(X, y\) as data; got another example in row 19"):
        check_origin(features, TextData(other, labels, tokens))


def test_what_is_remembered_lasts(features, tmp_path):
    kept = DeepFeatures.load(features.save(tmp_path / "features")).resplit(0.3)
    check_origin(kept, TRAIN, TEST)
    with pytest.raises(InputError, match="got another example"):
        check_origin(kept, (1 - X, Y), TEST)


def test_features_of_arrays_know_their_number_only():
    features = DeepFeatures.from_arrays(np.random.default_rng(0).random((30, 4)), np.arange(30) % 2)
    with pytest.raises(InputError, match="taken from, 30 examples; got 29 as data"):
        check_origin(features, (X[:29], Y[:29]))
    check_origin(features, (X[:30], Y[:30]))


def test_features_of_another_model_are_not_those_of_a_path(model, features):
    path = sdw.elastic_net_path(features, n_lambdas=3)
    torch.manual_seed(1)
    other = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 2))
    theirs = extract_features(other, TRAIN, test=TEST)
    for call in (
        lambda: FeatureSource(path, features=theirs),
        lambda: LiveModel(model, path, theirs),
        lambda: check_model_of(path, theirs, "this"),
    ):
        with pytest.raises(InputError, match="be of the model that the path was computed from; got those of"):
            call()
    assert FeatureSource(path, TRAIN, test=TEST, features=features).deep is not None
