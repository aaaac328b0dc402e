"""classes: names are found where data and models carry them, and classes are counted one way in a call."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.classes import (
    by_name,
    label_array,
    names_given,
    names_in,
    names_of_model,
    renumbering,
)


class Named(Dataset):
    """A data set that says what its classes are."""

    def __init__(self, classes, labels=(0, 1, 0)):
        self.classes, self.labels = classes, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return torch.full((2,), float(i)), self.labels[i]


def hugging_face(names):
    """What is looked at of a Hugging Face data set."""
    return SimpleNamespace(features={"label": SimpleNamespace(names=names), "text": SimpleNamespace()})


@pytest.mark.parametrize(
    "data",
    [
        Named(["cat", "dog"]),
        Named([("cat", "house cat"), ("dog", "hound")]),
        Subset(Named(("cat", "dog")), [0, 1]),
        DataLoader(Subset(Named(["cat", "dog"]), [0])),
        ConcatDataset([Named(["cat", "dog"]), Subset(Named(["cat", "dog"]), [1])]),
        DataLoader(ConcatDataset([Named(["cat", "dog"])])),
        hugging_face(["cat", "dog"]),
    ],
)
def test_names_are_found_through_loaders_subsets_and_joined_sets(data):
    assert names_in(data) == ("cat", "dog")


@pytest.mark.parametrize("data", [None, (1, 2), [], np.zeros(3), Named([]), "text", hugging_face(None)])
def test_data_without_names_have_none(data):
    assert names_in(data) is None


def test_joined_sets_of_different_classes_are_refused():
    with pytest.raises(InputError, match=r"same classes in each of them; got \('cat', 'dog'\) and \('dog'"):
        names_in(ConcatDataset([Named(["cat", "dog"]), Named(["dog", "cat"])]))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1], [0, 1]),
        ([np.int64(0), True], [0, 1]),
        (torch.tensor([0.5, 1]), [0.5, 1.0]),
        (torch.tensor([0, 1]).bfloat16(), [0.0, 1.0]),
        ([torch.tensor(0), torch.tensor(1)], [0, 1]),
        (pd.Series([1, 0], dtype="Int64"), [1, 0]),
        (pd.Series(["b", "a"], dtype="category"), ["b", "a"]),
        (pd.Series(["b", "a"], dtype="string"), ["b", "a"]),
        (np.array([b"b", b"a"]), ["b", "a"]),
        (np.array(["b", "a"], object), ["b", "a"]),
        (["b", 1], ["b", "1"]),
    ],
)
def test_labels_of_every_form_become_numbers_or_names(labels, expected):
    found = label_array(labels)
    assert found.tolist() == expected
    assert found.dtype.kind in "iufbU"


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", None],
        ["a", "b", float("nan")],
        np.array(["a", "b", np.nan]),
        np.array(["a", "b", None], object),
        pd.Series(["a", "b", pd.NA], dtype="string"),
        pd.Series(["a", "b", None], dtype="category"),
    ],
)
def test_a_missing_label_is_no_class(labels):
    with pytest.raises(InputError, match=r"labels is not compatible .* in row 2\. Drop the rows without"):
        label_array(labels)


def test_names_become_indices_by_the_names_given_only():
    labels = np.array(["neg", "pos", "neg"])
    assert by_name(labels, None)[0].tolist() == [0, 1, 0]
    assert by_name(labels, ("pos", "neutral", "neg"))[0].tolist() == [2, 0, 2]
    with pytest.raises(InputError, match=r"only names of classes; got 'neg'\. Did you mean 'negative'"):
        by_name(labels, ("pos", "negative"))


@pytest.mark.parametrize(
    ("own", "wanted", "expected"),
    [
        (None, ("a", "b"), None),
        (("a", "b"), None, None),
        (("a", "b"), ("a", "b"), None),
        (("b", "a"), ("a", "b"), [1, 0]),
        (("dog",), ("cat", "dog"), [1]),
        (("n01", "n02"), ("tench", "goldfish"), None),
    ],
)
def test_indices_are_carried_over_by_name(own, wanted, expected):
    found = renumbering(own, wanted)
    assert (found if found is None else found.tolist()) == expected


def test_classes_that_are_known_in_part_only_are_refused():
    with pytest.raises(InputError, match="got 'wolf', which is none of them"):
        renumbering(("dog", "wolf"), ("cat", "dog"))


def test_a_data_set_that_counts_otherwise_is_read_as_the_call_counts():
    data = Named(["dog", "cat"])
    (batch,) = batches(data, classes=("bird", "cat", "dog"))
    assert batch.labels.tolist() == [2, 1, 2]
    (batch,) = batches(Named(["dog", "cat"], ("cat", "dog", "cat")), classes=("bird", "cat", "dog"))
    assert batch.labels.tolist() == [1, 2, 1]
    with pytest.raises(InputError, match="below the number of its classes, 2; got 5 in row 1"):
        list(batches(Named(["dog", "cat"], (0, 5)), classes=("cat", "dog")))


def test_labels_that_are_names_are_read_in_every_form():
    X = torch.zeros(3, 2)
    for data in (
        (X, ["b", "a", "b"]),
        (X, np.array(["b", "a", "b"])),
        [(x, name) for x, name in zip(X, "bab", strict=True)],
        Named(["a", "b"], ("b", "a", "b")),
        DataLoader(Named(["a", "b"], ("b", "a", "b")), batch_size=2),
        [{"pixels": x, "label": name} for x, name in zip(X, "bab", strict=True)],
    ):
        if isinstance(data, list) and isinstance(data[0], dict):
            with pytest.raises(InputError, match="Pass class_names="):
                list(batches(data))
        found = torch.cat([batch.labels for batch in batches(data, classes=("a", "b"))])
        assert found.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({0: "pos", 1: "neg"}, ("pos", "neg")),
        ({"1": "neg", "0": "pos"}, ("pos", "neg")),
        ({0: "LABEL_0", 1: "LABEL_1"}, None),
        ({0: "pos", 2: "neg"}, None),
        ({"pos": "x"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_names_of_a_models_outputs(table, names):
    assert names_of_model(SimpleNamespace(config=SimpleNamespace(id2label=table))) == names


@pytest.mark.parametrize("bad", [b"ab", 3, {"a": 1}, ["a", "a"]])
def test_class_names_that_are_no_list_of_names(bad):
    with pytest.raises(InputError, match="class_names is not compatible"):
        names_given(bad)
