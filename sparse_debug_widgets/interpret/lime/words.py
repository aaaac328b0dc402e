"""A sentence as a bag of words, split and masked as ``lime.lime_text`` does it.

Two things are ours. In scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) a run of letters is a whole clause: there each character is a word, with the marks that belong to it.
And marks that are no letters of their own (vowel signs of Thai and of Indian scripts, accents) stay with
their letter, where Python's regular expressions cut words to pieces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_SPLIT = re.compile(r"(\W+)|$")
# Han, kana, and the scripts of Thai, Lao, Burmese and Khmer.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_BEFORE = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")
"""Vowels of Thai and Lao that stand before the letter they are spoken after."""
_AFTER = frozenset("\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3\u30fc\u3005\uff9e\uff9f")
"""Vowels of Thai and Lao after their letter; signs that repeat or lengthen the character before."""


def pieces_of(sentence: str) -> list[tuple[str, bool]]:
    """A sentence cut into words and what lies between them; joined again they are the sentence.

    Returns:
        Pairs of text and whether it is a word.

    >>> pieces_of("not bad!")
    [('not', True), (' ', False), ('bad', True), ('!', False)]
    >>> [text for text, word in pieces_of("电影很好。ดีมาก") if word]
    ['电', '影', '很', '好', 'ดี', 'มา', 'ก']
    """
    if sentence.isascii():
        return [(piece, _SPLIT.match(piece) is None) for piece in _SPLIT.split(sentence) if piece]
    found: list[tuple[str, bool]] = []
    text, word, open_ = "", False, False
    for char in sentence:
        letter = char.isalnum() or char == "_"
        mark = not letter and word and unicodedata.category(char).startswith("M")
        alone = _SPACELESS.match(char) is not None and not char.isdecimal()
        if mark or (word and letter and (open_ or char in _AFTER)):
            goes_on = True
        else:
            goes_on = bool(text) and letter == word and not (letter and (alone or _ends_alone(text)))
        if not goes_on and text:
            found.append((text, word))
            text = ""
        text, word = text + char, letter or mark
        open_ = char in _BEFORE
    return [*found, (text, word)] if text else found


def _ends_alone(text: str) -> bool:
    """Say whether a word is a character of a script without spaces: nothing is joined to it but its marks."""
    return _SPACELESS.match(text[0]) is not None and not text[0].isdecimal()


class BagOfWords:
    """The distinct words of a sentence, in order of appearance, and what lies between them.

    Words are runs of letters, digits and underscores, with their marks; single characters in scripts that
    are written without spaces (see the module). Upper and lower case are different words. Removing a word
    removes it wherever it occurs, and leaves what was around it.

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
        pieces = pieces_of(sentence)
        found: dict[str, int] = {}
        self._pieces = [text for text, _ in pieces]
        self._word_of = [found.setdefault(text, len(found)) if word else -1 for text, word in pieces]
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
    """Draw the words that each sample keeps as ``lime`` does: first how many to remove, then which.

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
