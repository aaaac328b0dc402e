"""One numbering of classes, by names given, the model's, or the training data's; checked for every part."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.sparse import extract_features

WORDS = {"awful": "neg", "plain": "neutral", "great": "pos"}
VOCABULARY = ["awful", "plain", "great", "film"]
TRAIN = [f"film {word}" for word in [*WORDS] * 8]
LABELS = [WORDS[text.split()[1]] for text in TRAIN]
TEST, TEST_LABELS = ["film awful", "film great"] * 4, ["neg", "pos"] * 4  # nothing neutral


def tokens(sentences):
    return [[1 + VOCABULARY.index(word) for word in sentence.split()] for sentence in sentences]


class Reader(nn.Module):
    """Knows the classes neg, neutral and pos, in this order, by construction."""

    def __init__(self, order=("neg", "neutral", "pos"), *, named=False):
        super().__init__()
        self.embed, self.fc = nn.Embedding(6, 3), nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.embed.weight.copy_(torch.rand(6, 3, generator=torch.Generator().manual_seed(0)) / 10)
            self.embed.weight[1:4] += 4 * torch.eye(3)
            self.fc.weight.copy_(torch.eye(3)[[("neg", "neutral", "pos").index(name) for name in order]])
        if named:
            self.config = SimpleNamespace(id2label=dict(enumerate(order)))

    def forward(self, ids):
        return self.fc(self.embed(ids).mean(1))


def dense_accuracy(features, split="test"):
    rows = features.rows(split)
    logits = features.values[rows] @ features.dense_weight.T + features.dense_bias
    return float((logits.argmax(1) == features.labels[rows]).mean())


def named_labels(features, split):
    return [features.class_names[k] for k in features.labels[features.rows(split)]]


def test_test_data_that_lack_a_class_are_counted_as_the_training_data():
    features = extract_features(Reader(), (TRAIN, LABELS), test=(TEST, TEST_LABELS), tokenizer=tokens)
    assert features.class_names == ("neg", "neutral", "pos")
    assert named_labels(features, "test") == TEST_LABELS
    assert dense_accuracy(features) == 1.0


def test_the_models_own_names_count_the_labels():
    order = ("pos", "neutral", "neg")
    features = extract_features(
        Reader(order, named=True), (TRAIN, LABELS), test=(TEST, TEST_LABELS), tokenizer=tokens
    )
    assert features.class_names == order
    assert named_labels(features, "test") == TEST_LABELS
    assert dense_accuracy(features) == dense_accuracy(features, "train") == 1.0


@pytest.mark.parametrize("named", [False, True])
def test_names_given_count_the_labels_and_do_not_rename_rows(named):
    order = ("pos", "neutral", "neg")
    model = Reader(order)
    if named:  # what the model says does not matter then
        model.config = SimpleNamespace(id2label={0: "a", 1: "b", 2: "c"})
    features = extract_features(
        model, (TRAIN, LABELS), test=(TEST, TEST_LABELS), tokenizer=tokens, class_names=order
    )
    assert features.class_names == order
    assert named_labels(features, "test") == TEST_LABELS
    assert dense_accuracy(features) == 1.0


def test_labels_that_the_model_does_not_know_by_name_ask_for_an_order():
    model = Reader()
    model.config = SimpleNamespace(id2label={0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"})
    with pytest.raises(InputError, match=r"got 'neg', which is none of them\. .* Pass class_names= "):
        extract_features(model, (TRAIN, LABELS), tokenizer=tokens)
    model.config = SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"})
    assert extract_features(model, (TRAIN, LABELS), tokenizer=tokens).class_names[0] == "neg"


def test_a_test_label_that_is_no_class_is_refused_before_the_work():
    calls = []
    model = Reader()
    model.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(InputError, match="got 'good', which is none of them"):
        extract_features(model, (TRAIN, LABELS), test=(TEST, ["neg", "good"] * 4), tokenizer=tokens)
    assert not calls


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_label_is_refused_with_its_row(missing):
    with pytest.raises(InputError, match=r"in row 23\. Drop the rows without a label"):
        extract_features(Reader(), (TRAIN, [*LABELS[:-1], missing]), tokenizer=tokens)
    with pytest.raises(InputError, match=r"in row 2\. Drop the rows"):
        sdw.elastic_net_path(np.eye(6), pd.Series(["a", "b", missing] * 2, dtype=object))


def test_sentences_with_numbers_and_names_are_carried_over_by_name():
    own = TextData(TRAIN, [("pos", "neg", "neutral").index(name) for name in LABELS], tokens)
    own.classes = ("pos", "neg", "neutral")
    other = TextData(TEST, TEST_LABELS, tokens)
    features = extract_features(Reader(("pos", "neg", "neutral")), own, test=other)
    assert named_labels(features, "test") == TEST_LABELS
    assert dense_accuracy(features) == 1.0


class Pictures(Dataset):
    """Vectors whose largest entry is their class, in a data set that counts classes its own way."""

    def __init__(self, names, labels, *, by_name=False):
        self.classes, self.names, self.by_name_ = names, labels, by_name

    def __len__(self):
        return len(self.names)

    def __getitem__(self, row):
        name = self.names[row]
        x = torch.rand(3, generator=torch.Generator().manual_seed(row))
        x[("neg", "neutral", "pos").index(name)] += 3
        return x, name if self.by_name_ else self.classes.index(name)


def linear():
    model = nn.Sequential(nn.Linear(3, 3))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
        model[0].bias.zero_()
    return model


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: DataLoader(data, batch_size=5)])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_folder_without_a_class_numbers_itself_and_is_renumbered(by_name, wrap):
    train = Pictures(["neg", "neutral", "pos"], LABELS)
    test = Pictures(["neg", "pos"], TEST_LABELS, by_name=by_name)
    features = extract_features(linear(), wrap(train), test=wrap(test))
    assert named_labels(features, "test") == TEST_LABELS
    assert dense_accuracy(features) == 1.0


def test_test_data_of_other_classes_are_refused():
    train = Pictures(["neg", "neutral", "pos"], LABELS)
    for names in (["cat", "dog"], ["neg", "dog"]):
        other = Pictures(["neg", "pos"], TEST_LABELS)
        other.classes = names
        with pytest.raises(InputError, match=r"'(cat|dog)', which is none of them"):
            extract_features(linear(), train, test=other)


def test_names_given_in_another_order_than_the_data_sets_are_a_numbering():
    order = ["pos", "neg", "neutral"]
    model = linear()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3)[[2, 0, 1]])
    train = Pictures(["neg", "neutral", "pos"], LABELS)
    features = extract_features(model, train, class_names=order)
    assert dense_accuracy(features, "train") == 1.0
    nicer = extract_features(linear(), train, class_names=["bad", "so so", "good"])
    assert nicer.class_names == ("bad", "so so", "good")
    assert dense_accuracy(nicer, "train") == 1.0


@pytest.mark.parametrize("form", ["list", "array", "series", "categories", "dataset", "mappings"])
def test_labels_that_are_names_in_every_form_of_vectors(form):
    data = Pictures(["neg", "neutral", "pos"], LABELS, by_name=True)
    X = torch.stack([x for x, _ in data])
    forms = {
        "list": (X, LABELS),
        "array": (X.numpy(), np.array(LABELS)),
        "series": (pd.DataFrame(X.numpy()), pd.Series(LABELS)),
        "categories": (X, pd.Series(LABELS, dtype="category")),
        "dataset": data,
        "mappings": [{"pixel_values": x.tolist(), "label": name} for x, name in data],
    }
    options = {"class_names": ["neg", "neutral", "pos"]} if form == "mappings" else {}
    features = extract_features(linear(), forms[form], **options)
    assert features.class_names == ("neg", "neutral", "pos")
    assert dense_accuracy(features, "train") == 1.0


@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_several_classes_in_a_row_are_called_what_they_are(dtype):
    X = np.random.default_rng(0).normal(size=(24, 4))
    y = (X > 0).astype(dtype)
    advice = r"got multi-label rows of 0 and 1, shape \(24, 4\)\. .* one path for each of them, with labels"
    for call in (
        lambda: sdw.elastic_net_path(X, y),
        lambda: sdw.DeepFeatures.from_arrays(X, y),
        lambda: extract_features(nn.Linear(4, 4), (torch.tensor(X).float(), torch.tensor(y).long())),
    ):
        with pytest.raises(InputError, match=advice):
            call()
    with pytest.raises(InputError, match=r"got one-hot rows.*labels.argmax\(1\)"):
        sdw.elastic_net_path(X, np.eye(4, dtype=dtype)[np.arange(24) % 4])
    assert sdw.elastic_net_path(X, y.astype(float), family="gaussian", n_lambdas=3).n_lambdas == 3
