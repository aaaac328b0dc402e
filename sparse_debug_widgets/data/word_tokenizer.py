"""A word tokenizer: lower case, words as LIME splits them, unknown words in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

PAD, UNKNOWN = 0, 1
_WORD = re.compile(r"\w+")


class WordTokenizer:
    """Sentences to ids of words.

    Args:
        words: The vocabulary; ids follow its order, after padding (0) and unknown words (1).
        max_words: Words read of a sentence.
    """

    pad_token_id = PAD

    def __init__(self, words: Iterable[str], max_words: int = 64) -> None:
        self.words = tuple(dict.fromkeys(word.lower() for word in words))
        self.max_words = max_words
        self._id = {word: k for k, word in enumerate(self.words, start=2)}

    def __len__(self) -> int:
        return len(self.words) + 2

    def __call__(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of the words of each sentence, all of them; lists of unequal length."""
        return [[self._id.get(word, UNKNOWN) for word in self.split(sentence)] for sentence in sentences]

    def __repr__(self) -> str:
        return f"WordTokenizer({len(self.words)} words)"

    @staticmethod
    def split(sentence: str) -> list[str]:
        """The words of a sentence, in lower case."""
        return [word.lower() for word in _WORD.findall(sentence)]

    def tensor(self, sentences: Sequence[str]) -> Tensor:
        """Ids (B, T) as the model takes them, padded at the end and cut at the limit."""
        rows = [ids[: self.max_words] for ids in self(sentences)]
        width = max([1, *map(len, rows)])
        return torch.tensor([ids + [PAD] * (width - len(ids)) for ids in rows], dtype=torch.int64)
