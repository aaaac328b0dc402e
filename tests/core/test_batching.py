"""batching: every form of data gives the same batches, and what is no data says what to do."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from sparse_debug_widgets.core import batching
from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled, Progress

X = torch.arange(22.0).reshape(11, 2)
Y = torch.arange(11) % 3
SET = TensorDataset(X, Y)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Numbers(Dataset):
    """Examples as other libraries give them: NumPy arrays and Python ints, no base class needed."""

    def __len__(self):
        return 11

    def __getitem__(self, i):
        if i >= 11:
            raise IndexError
        return X[i].numpy(), int(Y[i])


def collected(data, batch_size=4):
    parts = list(batches(data, batch_size))
    return torch.cat([part.inputs for part in parts]), torch.cat([part.labels for part in parts])


@pytest.mark.parametrize(
    "data",
    [
        SET,
        (X, Y),
        [X, Y],
        (X.numpy(), Y.numpy()),
        (X.numpy()[::-1][::-1], Y),
        Numbers(),
        Stream(),
        DataLoader(SET, batch_size=3),
        DataLoader(SET, batch_size=3, shuffle=True),
        DataLoader(SET, batch_size=3, shuffle=True, drop_last=True),
        DataLoader(Stream(), batch_size=3),
        Subset(SET, range(11)),
        (X, Y.tolist()),
        (X.tolist(), tuple(Y.tolist())),
        (list(X), list(Y)),
        (X, pd.Series(Y.numpy(), index=range(20, 31))),
        (pd.DataFrame(X.numpy()), pd.Series(Y.numpy())),
        (np.ma.masked_less(X.numpy(), -1), Y),
        [(x, int(y)) for x, y in zip(X, Y, strict=True)],
        [(x.numpy(), y) for x, y in zip(X, Y, strict=True)],
        [{"pixel_values": x.tolist(), "label": int(y)} for x, y in zip(X, Y, strict=True)],
        [{"img": x, "labels": y, "file": "a.png"} for x, y in zip(X, Y, strict=True)],
    ],
    ids=lambda data: type(data).__name__,
)
def test_all_forms_give_the_same_in_the_same_order_without_global_randomness(data):
    state = torch.get_rng_state()
    inputs, labels = collected(data)
    assert torch.equal(inputs, X)
    assert torch.equal(labels, Y)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loader_keeps_its_batch_size_and_collate_function():
    sizes = [batch.size for batch in batches(DataLoader(SET, batch_size=3, shuffle=True), 256)]
    assert sizes == [3, 3, 3, 2]
    doubled = DataLoader(
        SET, batch_size=3, collate_fn=lambda e: (2 * torch.stack([x for x, _ in e]), Y[: len(e)])
    )
    assert torch.equal(next(iter(batches(doubled))).inputs, 2 * X[:3])


def test_a_loaders_own_generator_is_not_advanced():
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    collected(DataLoader(SET, batch_size=3, shuffle=True, generator=generator))
    assert torch.equal(generator.get_state(), state)


def test_samplers_of_their_own_are_respected():
    sampler = WeightedRandomSampler([1.0] + [0.0] * 10, 5)
    inputs, _ = collected(DataLoader(SET, batch_size=2, sampler=sampler))
    assert torch.equal(inputs, X[:1].expand(5, 2))
    assert batching.count_examples(DataLoader(SET, sampler=sampler)) is None


def test_worker_processes():
    inputs, labels = collected(DataLoader(SET, batch_size=4, num_workers=1, shuffle=True))
    assert torch.equal(inputs, X)
    assert torch.equal(labels, Y)


def test_inputs_alone():
    for data in (X, X.numpy(), TensorDataset(X)):
        got = []
        try:
            got = list(batches(data, 4))
        except InputError:
            assert isinstance(data, TensorDataset)  # yields tuples of one, which could be anything
            continue
        assert all(batch.labels is None for batch in got)
        assert torch.equal(torch.cat([batch.inputs for batch in got]), X)


def test_read_only_arrays_do_not_warn():
    array = X.numpy().copy()
    array.flags.writeable = False
    assert torch.equal(next(iter(batches(array, 11))).inputs, X)


@pytest.mark.parametrize("key", ["labels", "label"])
def test_mappings_with_labels_as_hugging_face_loaders_give_them(key):
    examples = [{"input_ids": X[i].long(), "attention_mask": X[i] > 3, key: int(Y[i])} for i in range(11)]

    class Encoded(Dataset):
        def __len__(self):
            return 11

        def __getitem__(self, i):
            return examples[i]

    batch = next(iter(batches(Encoded(), 4)))
    assert list(batch.inputs) == ["input_ids", "attention_mask"]
    assert batch.size == 4
    assert torch.equal(batch.labels, Y[:4])
    moved = batching.move(batch.inputs, torch.device("cpu"), torch.float16)
    assert moved["input_ids"].dtype == torch.int64


def loader_of(*items):
    return DataLoader(
        TensorDataset(torch.arange(2)), collate_fn=lambda _: items if len(items) > 1 else items[0]
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            loader_of({"image": X, "target": Y}),
            "a mapping with the keys 'image', 'target'. Wrap it in a Dataset",
        ),
        (loader_of({"labels": Y, "text": ["a"]}), "of which 'text' is no tensor"),
        (loader_of(X, Y, Y), "must yield (inputs, label); got a tuple of 3. Wrap it in a Dataset"),
        ((X, Y, Y), "got a tuple of 3 (Tensor, Tensor, Tensor). Wrap it"),
        ((X, "a" * 11), "be one label for each of 11 rows; got str"),
        ((X, [0] * 10), "as many labels as inputs; got X of shape (11, 2) and y of shape (10,)"),
        ((X, ["a", None] * 5 + ["b"]), "be there for each example; got None in row 1. Drop the rows"),
        ((X, [float("nan"), "a"] * 5 + ["b"]), "got nan in row 0"),
        ((X, [[0], [0, 1]] * 5 + [[1]]), "be one label for each example; got rows of different lengths"),
        (
            (np.ma.masked_less(X.numpy(), 1), Y),
            "no masked entries; got 1 masked entries, the first at (0, 0)",
        ),
        ((X.to_sparse(), Y), "be dense; got a sparse tensor. Pass X.to_dense()"),
        ((csr_matrix(X.numpy()), Y), "be dense; got a SciPy csr_matrix. Pass X.toarray()"),
        (
            [torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)],
            "examples of one shape; got shapes [(3, 4, 4), (3, 5, 5)]",
        ),
        ([{"text": "a"}, 3], "got a list of 2 (dict, int)"),
        ((X, Y[:5]), "as many labels as inputs; got X of shape (11, 2) and y of shape (5,)"),
        ([], "got a list of 0"),
        ({"x": X}, "must be a Dataset or DataLoader of (inputs, label), a pair (X, y)"),
        ("data.csv", "got str"),
        (3, "got int"),
        (None, "got NoneType"),
        (iter(DataLoader(SET)), "which is read only once. Pass the loader itself"),
        ((np.array(["a"]), np.array([1])), "be numbers; got texts (dtype <U1). Pass tokenizer="),
        (loader_of(X, ["cat"]), "labels that are numbers"),
        (loader_of((X, Y[0])), "one first dimension in common; got inputs (11, 2), labels ()"),
        (loader_of((X, Y[:2])), "one first dimension in common; got inputs (11, 2), labels (2,)"),
        (loader_of("text"), "must yield (inputs, label); got a str of 4"),
        (loader_of((["a"], Y)), "inputs that are one tensor; got sentences. Pass tokenizer="),
        (
            DataLoader(TensorDataset(X[:0], Y[:0]), batch_size=4),
            "at least one example; got an empty DataLoader",
        ),
        (TensorDataset(X[:0], Y[:0]), "got an empty TensorDataset"),
        ((X[:0], Y[:0]), "got an empty tuple"),
    ],
)
def test_bad_data_say_what_to_do(data, message):
    with pytest.raises(InputError, match=re.escape(message)):
        list(batches(data, 4))


def test_images_that_cannot_be_stacked():
    class Pictures(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return torch.zeros(3, 4 + i), 0

    with pytest.raises(InputError, match="Add a transform, such as Resize and ToTensor"):
        list(batches(Pictures(), 2))


def test_errors_inside_a_dataset_stay_what_they_are():
    class Broken(Numbers):
        def __getitem__(self, i):
            raise TypeError("my own")

    with pytest.raises(TypeError, match="my own"):
        list(batches(Broken(), 2))


@pytest.mark.parametrize("bad", [0, -1, 2.5, True])
def test_bad_batch_size(bad):
    with pytest.raises(InputError, match="batch_size"):
        list(batches(SET, bad))


def test_progress_before_each_batch_and_at_the_end():
    seen = []
    list(batches(SET, 4, progress=seen.append, note="x"))
    assert [p[:3] for p in seen] == [(0, 11, "x"), (4, 11, "x"), (8, 11, "x"), (11, 11, "x")]
    unknown = []
    list(batches(Stream(), 4, progress=unknown.append))
    assert [p.total for p in unknown] == [0, 0, 0, 11]


def test_cancel_within_one_minibatch():
    taken = []

    def cancel(progress: Progress) -> None:
        if progress.done >= 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        taken.extend(iter(batches(SET, 4, progress=cancel)))
    walk = batches(SET, 4, progress=cancel)
    next(walk)
    with pytest.raises(Cancelled):
        next(walk)


def test_keys_that_the_model_does_not_take():
    class Model(nn.Module):
        def forward(self, input_ids):
            return input_ids

    class Anything(nn.Module):
        def forward(self, **inputs):
            return inputs

    inputs = {"input_ids": X, "pixels": X}
    with pytest.raises(InputError, match=r"have only keys out of input_ids \(and 'labels'\); got 'pixels'"):
        batching.check_call(Model(), inputs)
    batching.check_call(Anything(), inputs)
    batching.check_call(Model(), X)


def test_move_converts_floats_only():
    assert batching.move(X, torch.device("cpu"), torch.float64).dtype == torch.float64
    assert batching.move(Y, torch.device("cpu"), torch.float64).dtype == torch.int64
    assert batching.move(X, torch.device("cpu")) is X
