"""Sentences in panels that choose examples: each with its tokens as the model takes them, and their words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sparse_debug_widgets.core.text import TextData, TextInputs, encode
from sparse_debug_widgets.widgets.kit.namespace import called

_LIMIT = 2000
_WORD = re.compile(r"\w+")


class Sentences:
    """The sentences of a data set, as far as a panel shows them.

    Args:
        data: Sentences with their tokenizer.
        given: What the caller passed, for the code that is shown.
        limit: At most so many.
    """

    def __init__(self, data: TextData, given: object = None, *, limit: int = _LIMIT) -> None:
        self.data, self._given = data, given
        self.texts = data.sentences[:limit]
        self._told: dict[tuple[int, ...], int] = {}

    def batch(self) -> tuple[TextInputs, torch.Tensor | None]:
        """All of them, padded to one length, with their labels."""
        inputs, _ = encode(self.texts, self.data.tokenizer, self.data.max_length)
        labels = self.data.labels
        return inputs, None if labels is None else torch.as_tensor(labels[: len(self.texts)])

    def inputs(self, row: int) -> TextInputs:
        """One of them as a batch of one, without padding."""
        found = self.data.inputs([row])
        self._told.setdefault(self._key(found), row)
        return found

    def words(self, ids: Sequence[int]) -> list[str]:
        """The words that token numbers stand for: by the tokenizer, else by the sentence they are of."""
        back = getattr(self.data.tokenizer, "convert_ids_to_tokens", None)
        if back is not None:
            return [str(word) for word in back(list(ids))]
        row = self._told.get(tuple(ids))
        if row is None:
            row = next((k for k in range(len(self.texts)) if self._key(self.inputs(k)) == tuple(ids)), None)
        sentence = "" if row is None else self.texts[row]
        for words in (_WORD.findall(sentence), sentence.split()):
            if len(words) >= len(ids):
                return words[: len(ids)]  # those after a cut were not read
        return [f"#{number}" for number in ids]

    def code(self, row: int) -> str:
        """The expression that gives one of them as a batch of one."""
        name = called(self._given, "data")
        if isinstance(self._given, TextData):
            return f"{name}.inputs([{row}])"
        tokenizer = called(self.data.tokenizer, "tokenizer")
        pair = isinstance(self._given, tuple | list) and len(self._given) == 2
        first = f"{name}[0][{row}]" if pair else f"{name}[{row}]"
        limit = "" if self.data.max_length is None else f", max_length={self.data.max_length}"
        return f"sdw.TextData([{first}], None, {tokenizer}{limit}).inputs([0])"

    @staticmethod
    def _key(inputs: Any) -> tuple[int, ...]:  # noqa: ANN401 (ids, or a mapping that has them)
        ids = (
            inputs
            if isinstance(inputs, torch.Tensor)
            else inputs.get("input_ids", next(iter(inputs.values())))
        )
        return tuple(int(number) for number in np.asarray(ids[0]))
