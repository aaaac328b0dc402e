"""Sentences as data: every form of sentence and tokenizer is read, or refused with a clear message."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TextData, TruncatedTextWarning, as_text_data, encode

ODD = (
    "",
    "word",
    "🙂🙃 👩‍👩‍👧",
    "שלום עולם مرحبا",
    "<script>alert(1)</script><b>bold</b>",
    " \n\t ",
)


def by_length(sentences):
    """One token a word: its length."""
    return [[len(word) for word in sentence.split()] for sentence in sentences]


class OfTransformers:
    """What is used of a Hugging Face tokenizer; knows words by their length, and no special tokens."""

    model_max_length = 8

    def __init__(self, pad_token_id=0, padding_side="right"):
        self.pad_token_id, self.padding_side = pad_token_id, padding_side

    def __call__(self, text, *, truncation=False, max_length=None, **_):
        if isinstance(text, str):
            return {"input_ids": by_length([text])[0]}
        ids = [row[: max_length if truncation else None] for row in by_length(text)]
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}


@pytest.mark.parametrize(
    "data",
    [
        (["a b", "c"], [1, 0]),
        [["a b", "c"], torch.tensor([1, 0])],
        (np.array(["a b", "c"]), np.array([1, 0])),
        (pd.Series(["a b", "c"]), pd.Series([1, 0])),
        [("a b", 1), ("c", 0)],
    ],
)
def test_every_form_of_labelled_sentences_is_read(data) -> None:
    text = as_text_data(data, by_length)
    assert text.sentences == ("a b", "c")
    assert [text[k] for k in range(2)] == [("a b", 1), ("c", 0)]
    (batch,) = batches(text)
    assert batch.inputs.tolist() == [[1, 1], [1, 0]]
    assert batch.labels.tolist() == [1, 0]


def test_names_of_classes_become_indices() -> None:
    text = TextData(["a", "b", "c"], ["good", "bad", "good"], by_length)
    assert text.classes == ("bad", "good")
    assert text.labels.tolist() == [1, 0, 1]


def test_sentences_without_labels_stay_without() -> None:
    (batch,) = batches(as_text_data(["a b", "c"], by_length))
    assert batch.labels is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_odd_sentence_is_a_row_that_attends_to_something(side) -> None:
    inputs, cut = encode(ODD, OfTransformers(padding_side=side))
    mask = inputs["attention_mask"]
    assert mask.shape == inputs["input_ids"].shape
    assert mask.sum(1).tolist() == [1, 1, 2, 3, 1, 1]
    assert not cut
    ends = mask[:, -1] if side == "left" else mask[:, 0]
    assert bool(ends.all())


@pytest.mark.parametrize("tokenizer", [by_length, OfTransformers()])
def test_a_batch_of_nothing_but_empty_sentences_has_a_token(tokenizer) -> None:
    inputs, _ = encode(["", ""], tokenizer)
    ids = inputs if isinstance(inputs, torch.Tensor) else inputs["input_ids"]
    assert ids.shape == (2, 1)


@pytest.mark.parametrize(("tokenizer", "limit"), [(by_length, 8), (OfTransformers(), None)])
def test_ten_thousand_words_are_cut_and_that_is_said_once(tokenizer, limit) -> None:
    text = TextData(["fine", *["word " * 10_000] * 3], None, tokenizer, max_length=limit)
    with pytest.warns(TruncatedTextWarning, match="Sentence 1 is longer than the 8 tokens") as caught:
        widths = [
            (b.inputs if isinstance(b.inputs, torch.Tensor) else b.inputs["input_ids"]).shape[1]
            for b in batches(text, 2)
        ]
    assert widths == [8, 8]
    assert len(caught) == 1


def test_a_sentence_as_long_as_the_limit_is_not_called_cut() -> None:
    assert encode(["w " * 8, "w"], OfTransformers())[1] == []


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("one sentence", "list of texts"),
        ([], "at least one text; got none"),
        (["a", None], r"got None in row 1"),
        (["a", float("nan")], r"got nan in row 1"),
        ([b"bytes"], "be texts"),
        (["a", "\ud800"], "half of a surrogate pair in row 1"),
    ],
)
def test_what_is_no_text_is_refused(sentences, message) -> None:
    with pytest.raises(InputError, match=message):
        TextData(sentences, None, by_length)


def test_lists_of_words_are_refused_with_advice() -> None:
    with pytest.raises(InputError, match=r"Join words"):
        TextData([["a", "b"], ["c", "d"]], [0, 1], by_length)
    with pytest.raises(InputError, match=r"Join words"):
        as_text_data([["a", "b"], ["c", "d"], ["e"]], by_length)


def test_a_tokenizer_without_a_padding_token_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        InputError,
        match=r"has no padding token, which batches of sentences need\. Set tokenizer\.pad_token = ",
    ):
        TextData(["a"], None, OfTransformers(pad_token_id=None))


@pytest.mark.parametrize("tokenizer", [None, "bert", str])
def test_what_is_no_tokenizer_is_refused(tokenizer) -> None:
    with pytest.raises(InputError, match="tokenizer is not compatible with sentences"):
        TextData(["a"], None, tokenizer)


@pytest.mark.parametrize("answer", [3, [1, 2], torch.zeros(1, 2), torch.zeros(2, 2, 2, dtype=torch.long)])
def test_a_tokenizer_that_answers_something_else_is_refused(answer) -> None:
    with pytest.raises(InputError, match="tokenizer is not compatible with sentences: it must answer"):
        encode(["a", "b"], lambda _: answer)


def test_other_numbers_of_labels_are_refused() -> None:
    with pytest.raises(InputError, match="one entry for each of 2"):
        TextData(["a", "b"], [1], by_length)
    with pytest.raises(InputError, match="be sentences, "):
        as_text_data({"text": ["a"]}, by_length)


def test_text_data_can_be_pickled() -> None:
    text = TextData(["a b"], [1], by_length, class_names=("x", "y"))
    again = pickle.loads(pickle.dumps(text))  # noqa: S301 - made here
    assert again[0] == ("a b", 1)
    assert again.classes == ("x", "y")
