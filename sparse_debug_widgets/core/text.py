"""Sentences as data: a tokenizer turns them, minibatch by minibatch, into what a text model takes.

Sentences are untrusted text and stay text: nothing here reads them as HTML, and what a sentence lacks (words,
tokens) is filled in so that no row of a batch is ever empty.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core.checks import check_int, refuse, reject, shorten
from sparse_debug_widgets.core.classes import Names, are_names, by_name, label_array, names_given, names_in
from sparse_debug_widgets.core.notices import notice

TextInputs: TypeAlias = torch.Tensor | dict[str, torch.Tensor]
_FORMS = (
    "sentences, (sentences, labels), a Dataset of (sentence, label) or of mappings, or a table with a column "
    "of texts"
)
# Columns of tables, where there are others beside the texts and the labels.
_TEXT_COLUMNS = (
    "text",
    "sentence",
    "sentences",
    "content",
    "review",
    "document",
    "comment",
    "tweet",
    "title",
)
_LABEL_COLUMNS = ("label", "labels", "target", "class", "category", "sentiment", "y")
_UNLIMITED = 10**6  # Hugging Face tokenizers without a limit of their own say 10**30


class TruncatedTextWarning(UserWarning):
    """Some sentences are longer than the model reads, and were cut."""


class TextData:
    """Sentences with labels and the tokenizer that they are to be read with.

    A map-style data set of (sentence, label) whose batches are what the model takes. ``batches`` encodes it,
    so it can be passed wherever data can.

    Args:
        sentences: n texts: list, tuple, array or series.
        labels: (n,) class indices, names of classes, or targets, or None.
        tokenizer: A Hugging Face tokenizer, or a callable that takes a list of sentences and returns token
            ids: lists of unequal length, a tensor (B, T), or a mapping of tensors. One that returns lists has
            its padding token in ``pad_token_id`` (0 where it names none).
        max_length: Tokens read of each sentence; the tokenizer's own limit if None.
        class_names: One per class, in the order of the model's outputs: labels that are names are numbered by
            it. Without it they are numbered in alphabetical order of those that occur.

    Attributes:
        classes: Names of the classes, where they are known; else there is no such attribute.

    Raises:
        InputError: A sentence that is no text (missing, bytes, a list of words, half a surrogate pair), other
            numbers of labels, a label that is missing or none of the classes, no sentences, or a tokenizer
            without a padding token.

    Example:
        >>> data = TextData(["so good", "so bad"], ["pos", "neg"], lambda texts: [[1, 2] for _ in texts])
        >>> data.classes, data[0]
        (('neg', 'pos'), ('so good', 1))
    """

    def __init__(
        self,
        sentences: object,
        labels: object,
        tokenizer: Any,  # noqa: ANN401 - any callable of that form
        *,
        max_length: int | None = None,
        class_names: Iterable[object] | None = None,
    ) -> None:
        self.sentences = check_sentences(sentences)
        self.labels: npt.NDArray[Any] | None = None
        names = names_given(class_names)
        # Whether the order of the classes is for want of a list of them only.
        self.by_name = names is None
        if labels is not None:
            self.labels, names = _labels(labels, len(self.sentences), names)
        self.by_name &= names is not None
        self.tokenizer = check_tokenizer(tokenizer)
        self.max_length = None if max_length is None else check_int(max_length, "max_length", "sentences")
        self._told = False
        if names is not None:
            self.classes = names

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        label = None if self.labels is None else self.labels[index]
        return self.sentences[index], label.item() if isinstance(label, np.generic) else label

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} sentences)"

    @property
    def pad_id(self) -> int:
        """Id of the padding token."""
        return pad_id_of(self.tokenizer)

    def inputs(self, rows: Sequence[int]) -> TextInputs:
        """Some of the sentences as one batch that the model takes: ids (B, T), or a mapping of tensors.

        Args:
            rows: Numbers of the sentences.

        Raises:
            InputError: No such rows.
        """
        listed = isinstance(rows, list | tuple | range) or getattr(rows, "ndim", 0) == 1
        if not listed or not len(rows):
            must = "be a list of the numbers of at least one sentence"
            reject("rows", "sentences", must, shorten(repr(rows), 60))
        for row in rows:
            check_int(row, "a row", "these sentences", low=-len(self), high=len(self) - 1)
        return encode([self.sentences[row] for row in rows], self.tokenizer, self.max_length)[0]

    def encoded(self, batch_size: int) -> Iterator[tuple[TextInputs, torch.Tensor | None]]:
        """Batches of token ids with their labels, in order.

        Args:
            batch_size: Sentences in a batch.
        """
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            inputs, cut = encode(self.sentences[rows], self.tokenizer, self.max_length)
            if cut and not self._told:
                self._told = True
                limit = limit_of(self.tokenizer, self.max_length)
                notice(
                    f"Sentence {start + cut[0]} is longer than the {limit} tokens that the model reads, "
                    "and is cut there (and so may others be).",
                    TruncatedTextWarning,
                )
            labels = None if self.labels is None else torch.as_tensor(self.labels[rows])
            yield inputs, labels


class WithMask:
    """A tokenizer that answers ids alone, for a model that wants to be told which of them are padding.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 (any callable of that form)
        self.tokenizer = tokenizer
        self.pad_token_id = pad_id_of(tokenizer)

    def __call__(self, sentences: list[str]) -> Any:  # noqa: ANN401 (what the tokenizer answers)
        """Ids as the tokenizer has them."""
        return self.tokenizer(sentences)


def for_model(model: nn.Module, data: Any) -> Any:  # noqa: ANN401 (TextData, or other data as they are)
    """Sentences as a model takes them: with an attention mask where it has one and the tokenizer gives none.

    Without a mask an encoder attends to the padding, and a sentence's features depend on its neighbours in
    the batch.
    """
    if not isinstance(data, TextData) or _is_hugging_face(data.tokenizer):
        return data
    wanted = inspect.signature(model.forward).parameters
    if "attention_mask" not in wanted or "input_ids" not in wanted or isinstance(data.tokenizer, WithMask):
        return data
    masked = copy.copy(data)
    masked.tokenizer = WithMask(data.tokenizer)
    return masked


def as_text_data(
    data: object,
    tokenizer: Any,  # noqa: ANN401
    max_length: int | None = None,
) -> TextData:
    """Sentences in any of their forms, with a tokenizer.

    Args:
        data: A list of sentences, (sentences, labels), a table with a column of texts and one of labels, or a
            data set of (sentence, label) or of mappings, as Hugging Face has them.
        tokenizer: As :class:`TextData` takes it; None where the data are a `TextData` that has one.
        max_length: Tokens read of each sentence.

    Raises:
        InputError: Data of no such form, or as for :class:`TextData`.
    """
    if isinstance(data, TextData):
        same = tokenizer is None or tokenizer is data.tokenizer
        if same and max_length in {None, data.max_length}:
            return data
        again = data.tokenizer if tokenizer is None else tokenizer
        names = getattr(data, "classes", None)
        text = TextData(data.sentences, data.labels, again, max_length=max_length, class_names=names)
        text.by_name = data.by_name
        return text
    sentences, labels, names = _parts(data)
    return TextData(sentences, labels, tokenizer, max_length=max_length, class_names=names)


def _parts(data: Any) -> tuple[Any, Any, Names | None]:  # noqa: ANN401 (in any of the forms)
    """Sentences, their labels (None for none) and the names of the classes, where the data know them."""
    if _is_pair(data):
        return _column_of(data[0]), data[1], None
    if is_frame(data):
        return (*_columns(data), None)
    names = names_in(data)
    while not hasattr(data, "__getitem__") and hasattr(data, "dataset"):
        data = data.dataset  # a loader: its collate function is the tokenizer's business
    indexable = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    numbers = isinstance(data, torch.Tensor) or getattr(data, "ndim", 1) != 1
    if isinstance(data, str | bytes | Mapping) or numbers or not indexable:
        reject("data", "a tokenizer", f"be {_FORMS}", type(data).__name__, _splits(data))
    if not isinstance(data, tuple | list) and hasattr(data, "tolist"):
        items = data.tolist()  # a series or a column
    else:
        items = [data[k] for k in range(len(data))]
    if items and all(isinstance(item, Mapping) for item in items):
        text, label = _keys(items[0])
        labels = None if label is None else [item[label] for item in items]
        return [item[text] for item in items], labels, names
    if items and all(isinstance(item, tuple) and len(item) == 2 for item in items):
        return [item[0] for item in items], [item[1] for item in items], names
    return items, None, names


def _is_pair(data: object) -> bool:
    """Say whether this is (sentences, labels), and not two sentences or two of (sentence, label)."""
    if not isinstance(data, tuple | list) or len(data) != 2 or isinstance(data[0], str | bytes | Mapping):
        return False
    return isinstance(data[0], Sized) and not (isinstance(data, list) and isinstance(data[0], tuple))


def is_frame(data: object) -> bool:
    """Say whether data are a table with columns (by their attributes: pandas need not be imported)."""
    return hasattr(data, "columns") and hasattr(data, "to_numpy")


def _splits(data: object) -> str:
    """Advice for several data sets under one name, as Hugging Face gives them."""
    if not isinstance(data, Mapping) or not data or isinstance(next(iter(data.values())), str):
        return ""
    return f"Pass one of its splits, for example data[{next(iter(data))!r}]." if _sized(data) else ""


def _sized(data: Mapping[Any, Any]) -> bool:
    return all(hasattr(part, "__getitem__") and hasattr(part, "column_names") for part in data.values())


def _column_of(sentences: Any) -> Any:  # noqa: ANN401 (texts, or a table of one column)
    if is_frame(sentences) and len(sentences.columns) == 1:
        return sentences[sentences.columns[0]]
    return sentences


def _columns(frame: Any) -> tuple[Any, Any]:  # noqa: ANN401 (a DataFrame)
    """The column of texts and that of labels; None for no labels."""
    if not len(frame):
        reject("data", "a tokenizer", "hold at least one text", "an empty table")
    columns = [str(name) for name in frame.columns]
    first = {str(name): frame[name].iloc[0] for name in frame.columns}
    if len(first) < len(columns):
        reject("a table", "a tokenizer", "have a different name for each column", ", ".join(columns[:10]))
    text, label = _keys(first)
    by_text = {str(name): name for name in frame.columns}
    return frame[by_text[text]], None if label is None else frame[by_text[label]]


def _keys(item: Mapping[str, Any]) -> tuple[str, str | None]:
    """Find the entry of an example that is the text, and the one that is the label, if any."""
    lower = {str(key).lower(): str(key) for key in item}
    label = next((lower[name] for name in _LABEL_COLUMNS if name in lower), None)
    texts = [str(key) for key, value in item.items() if isinstance(value, str) and str(key) != label]
    text = next((lower[name] for name in _TEXT_COLUMNS if lower.get(name) in texts), None)
    if text is None and len(texts) == 1:
        text = texts[0]
    if text is None and label is None and len(texts) == 2:
        text, label = texts
    if text is None:
        got = f"the columns {shorten(', '.join(map(str, item)), 80)}"
        advice = "Pass (data['name of the text column'], data['name of the label column'])."
        reject(
            "data", "a tokenizer", "have a column of texts, called 'text' if there are several", got, advice
        )
    rest = [str(key) for key in item if str(key) != text]
    return text, label if label is not None or len(rest) != 1 else rest[0]


def check_sentences(sentences: object) -> tuple[str, ...]:
    """Sentences as a tuple of plain texts.

    Raises:
        InputError: One of them is no text, or there are none.
    """
    single = getattr(sentences, "ndim", 1) != 1 or isinstance(sentences, torch.Tensor)
    if isinstance(sentences, str | bytes) or single or not isinstance(sentences, Sized):
        advice = "Put one sentence into a list." if isinstance(sentences, str) else ""
        reject("sentences", "a text model", "be a list of texts", type(sentences).__name__, advice)
    texts = sentences.tolist() if hasattr(sentences, "tolist") else list(cast("Any", sentences))
    if not texts:
        reject("sentences", "a text model", "be at least one text", "none")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            advice = "Join words with ' '.join(words)." if isinstance(text, list | tuple) else ""
            got = f"{shorten(repr(text), 60)} in row {row}"
            reject("sentences", "a text model", "be texts (str)", got, advice or "Drop rows without a text.")
        try:
            text.encode()
        except UnicodeEncodeError:
            advice = "Repair it with text.encode('utf-8', 'replace').decode()."
            got = f"half of a surrogate pair in row {row}"
            reject("sentences", "a text model", "be valid Unicode", got, advice)
    return tuple(str(text) for text in texts)


def check_tokenizer(tokenizer: Any) -> Any:  # noqa: ANN401
    """The tokenizer, if it can make batches.

    Raises:
        InputError: It cannot be called, or is a Hugging Face tokenizer without a padding token.
    """
    must = "be a Hugging Face tokenizer, or a callable from a list of sentences to token ids"
    if tokenizer is None or not callable(tokenizer) or isinstance(tokenizer, type):
        got = "None" if tokenizer is None else shorten(repr(tokenizer), 60)
        reject("tokenizer", "sentences", must, got, "Pass the one that the model was trained with.")
    if _is_hugging_face(tokenizer) and tokenizer.pad_token_id is None:
        advice = (
            "Set tokenizer.pad_token = tokenizer.eos_token, and for a sequence classifier "
            "model.config.pad_token_id = tokenizer.pad_token_id; the attention mask keeps it out."
        )
        refuse(f"The tokenizer has no padding token, which batches of sentences need. {advice}")
    return tokenizer


def _is_hugging_face(tokenizer: object) -> bool:
    # By what it has: transformers need not be installed.
    return hasattr(tokenizer, "model_max_length") and hasattr(tokenizer, "pad_token_id")


def pad_id_of(tokenizer: object) -> int:
    """Id of the padding token; 0 where a tokenizer names none."""
    found = getattr(tokenizer, "pad_token_id", None)
    return 0 if found is None else int(found)


def limit_of(tokenizer: object, max_length: int | None) -> int | None:
    """Return how many tokens of a sentence are read; None for all."""
    own = getattr(tokenizer, "model_max_length", None)
    limits = [n for n in (max_length, own) if isinstance(n, int) and n < _UNLIMITED]
    return min(limits, default=None)


def encode(
    sentences: Sequence[str],
    tokenizer: Any,  # noqa: ANN401
    max_length: int | None = None,
) -> tuple[TextInputs, list[int]]:
    """One batch of sentences as a model takes it.

    A sentence without a token (an empty one, for many tokenizers) is read as one padding token that is
    attended to: what a model makes of nothing is then a number and not 0 / 0.

    Args:
        sentences: B texts.
        tokenizer: As :class:`TextData` takes it.
        max_length: Tokens read of each sentence.

    Returns:
        Ids (B, T), or a mapping of tensors (B, T); and the positions of the sentences that were cut.

    Raises:
        InputError: The tokenizer answers something else.
    """
    limit = limit_of(tokenizer, max_length)
    if _is_hugging_face(tokenizer):
        return _hugging_face(list(sentences), tokenizer, limit)
    answer = tokenizer(list(sentences))
    if isinstance(answer, Mapping):
        return {name: torch.as_tensor(value) for name, value in answer.items()}, []
    if isinstance(answer, torch.Tensor | np.ndarray):
        ids = torch.as_tensor(answer)
    else:
        ids = _padded(answer, pad_id_of(tokenizer))
    if ids.ndim != 2 or len(ids) != len(sentences) or ids.is_floating_point():
        must = f"answer whole numbers of shape ({len(sentences)}, tokens)"
        reject("tokenizer", "sentences", must, f"{ids.dtype} of shape {tuple(ids.shape)}")
    if ids.shape[1] == 0:
        ids = ids.new_full((len(ids), 1), pad_id_of(tokenizer))
    cut: list[int] = []
    if limit is not None and ids.shape[1] > limit:
        longer = (ids[:, limit:] != pad_id_of(tokenizer)).any(1).nonzero().flatten()
        cut = [int(row) for row in longer]
        ids = ids[:, :limit].contiguous()
    return (_masked(ids, pad_id_of(tokenizer)) if isinstance(tokenizer, WithMask) else ids), cut


def _masked(ids: torch.Tensor, pad_id: int) -> dict[str, torch.Tensor]:
    mask = (ids != pad_id).long()
    mask[mask.sum(1) == 0, 0] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _padded(rows: object, pad_id: int) -> torch.Tensor:
    must = "answer one list of token ids for each sentence"
    if not isinstance(rows, tuple | list):
        reject("tokenizer", "sentences", must, type(rows).__name__)
    bad = [row for row in rows if not isinstance(row, tuple | list | np.ndarray | torch.Tensor)]
    if bad:
        reject("tokenizer", "sentences", must, f"{shorten(repr(bad[0]), 60)} for one of them")
    ids = torch.full((len(rows), max((len(row) for row in rows), default=0)), pad_id, dtype=torch.int64)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.as_tensor(row, dtype=torch.int64)
    return ids


def _hugging_face(
    sentences: list[str],
    tokenizer: Any,  # noqa: ANN401
    limit: int | None,
) -> tuple[dict[str, torch.Tensor], list[int]]:
    lists = tokenizer(sentences, truncation=limit is not None, max_length=limit, return_attention_mask=True)
    left = getattr(tokenizer, "padding_side", "right") == "left"
    width = max([1, *map(len, lists["input_ids"])])
    fill = {"input_ids": pad_id_of(tokenizer), "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0)}
    tensors: dict[str, torch.Tensor] = {}
    # Padded here rather than by the tokenizer, which has no place for a row without a single token.
    for name, rows in lists.items():
        table: npt.NDArray[np.int64] = np.full((len(rows), width), fill.get(name, 0), np.int64)
        for k, row in enumerate(rows):
            table[k, width - len(row) if left else 0 : width if left else len(row)] = row
        tensors[name] = torch.from_numpy(table)
    mask = tensors["attention_mask"]
    mask[mask.sum(1) == 0, -1 if left else 0] = 1
    full = [k for k, ids in enumerate(lists["input_ids"]) if limit is not None and len(ids) >= limit]
    # As long as the limit: only these may have been cut.
    cut = [k for k in full if len(tokenizer(sentences[k], verbose=False)["input_ids"]) > (limit or 0)]
    return tensors, cut


def _labels(labels: object, n: int, names: Names | None) -> tuple[npt.NDArray[Any], Names | None]:
    """Labels (n,) or targets (n, m); and the names of the classes, where they are known."""
    array = np.array(label_array(labels))
    if array.ndim == 0 or len(array) != n:
        reject("labels", "sentences", f"have one entry for each of {n}", f"shape {array.shape}")
    return by_name(array, names) if are_names(array) else (array, names)
