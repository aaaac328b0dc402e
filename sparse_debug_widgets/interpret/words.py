"""A sentence as a bag of words, split and masked as ``lime.lime_text`` does it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_SPLIT = re.compile(r"(\W+)|$")


class BagOfWords:
    """The distinct words of a sentence, in order of appearance, and what lies between them.

    Words are runs of letters, digits and underscores of any script; upper and lower case are different
    words. Removing a word removes it wherever it occurs, and leaves what was around it.

    Args:
        sentence: Any text, also without a word.

    Attributes:
        words: d words.

    >>> bag = BagOfWords("not bad, not bad at all")
    >>> bag.words
    ('not', 'bad', 'at', 'all')
    >>> bag.keeping([1, 0, 1, 1])
    'not , not  at all'
    """

    def __init__(self, sentence: str) -> None:
        self._pieces = [piece for piece in _SPLIT.split(sentence) if piece]
        found: dict[str, int] = {}
        self._word_of = [
            -1 if _SPLIT.match(piece) else found.setdefault(piece, len(found)) for piece in self._pieces
        ]
        self.words = tuple(found)

    def __len__(self) -> int:
        return len(self.words)

    def keeping(self, kept: object) -> str:
        """The sentence with only these words.

        Args:
            kept: (d,) of 0 and 1.
        """
        flags = [*np.asarray(kept, bool).tolist(), True]  # the last is that of what lies between words
        pairs = zip(self._pieces, self._word_of, strict=True)
        return "".join([piece for piece, word in pairs if flags[word]])

    def masked(self, design: npt.NDArray[np.uint8]) -> Iterator[str]:
        """The sentence as each row of a design (n, d) keeps it."""
        return (self.keeping(row) for row in design)


def sample_words(n_samples: int, n_words: int, random_state: np.random.RandomState) -> npt.NDArray[np.uint8]:
    """Which words each sample keeps, drawn as ``lime`` draws them: first how many to remove, then which.

    Args:
        n_samples: Rows n; the first keeps every word.
        n_words: Columns d, at least one.
        random_state: Of the numbers; ``LimeTextExplainer`` with one in the same state draws the same.

    Returns:
        (n, d) of 0 and 1.
    """
    design = np.ones((n_samples, n_words), np.uint8)
    sizes = random_state.randint(1, n_words + 1, n_samples - 1)
    for row, size in enumerate(sizes, start=1):
        design[row, random_state.choice(n_words, size, replace=False)] = 0
    return design
