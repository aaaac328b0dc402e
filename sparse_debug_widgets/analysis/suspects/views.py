"""Views of data that parts can be grafted in: pictures in cells, sentences in words, tables in columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.reader import DeepReader
from sparse_debug_widgets.interpret.lime.words import pieces_of

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Region = tuple[Any, ...]
"""Numbers of cells or columns, or the words of a phrase."""

SIZES = (1, 2, 3, 4, 6)
MAX_SHARE = 0.1
"""Share of a picture or a row that a region may cover."""
MAX_WORDS = 5
_CELLS, _SMALL = 8, 16


class View(Protocol):
    """Data of one kind, n examples."""

    unit: str
    donors: int

    def __len__(self) -> int:
        """N."""

    def inputs(self, rows: Ints) -> Any:  # noqa: ANN401 (sentences, or an array)
        """Some examples as the model's reader takes them."""

    def graft(self, into: Ints, of: Ints, regions: Sequence[Region]) -> Any:  # noqa: ANN401 (likewise)
        """Examples ``into`` whose regions show those of the examples ``of``, one region for each pair."""

    def drops(self, read: DeepReader, members: Ints, others: Ints, rng: np.random.Generator) -> Any:  # noqa: ANN401
        """Find how far each feature falls without each part of the members; for :meth:`regions`."""

    def regions(self, drops: Any, feature: int) -> list[Region]:  # noqa: ANN401 (of :meth:`drops`)
        """Small regions that a feature misses most."""

    def elsewhere(self, row: int, region: Region, rng: np.random.Generator) -> Region:
        """An equally large other region of an example."""

    def describe(self, region: Region) -> str:
        """A region in words."""


class _Parts:
    """The base of pictures and tables: an example is an array of parts that can be replaced one by one."""

    unit = "parts"
    donors = 1

    def __init__(self, values: Array, n_parts: int) -> None:
        self.values, self.n_parts = values, n_parts
        largest = max(1, int(n_parts * MAX_SHARE))
        self.sizes = [k for k in SIZES if k <= largest]

    def __len__(self) -> int:
        return len(self.values)

    def inputs(self, rows: Ints) -> Array:
        """Some examples as they are."""
        return np.asarray(self.values[rows])

    def _copy(self, new: Array, old: Array, k: int, part: int) -> None:
        raise NotImplementedError

    def graft(self, into: Ints, of: Ints, regions: Sequence[Region]) -> Array:
        """See :class:`View`."""
        new = self.values[into].copy()
        for k, (donor, region) in enumerate(zip(of.tolist(), regions, strict=True)):
            for part in region:
                self._copy(new, self.values[donor], k, part)
        return new

    def drops(self, read: DeepReader, members: Ints, others: Ints, rng: np.random.Generator) -> Array:
        """(m, parts, p)."""
        whole = read(self.inputs(members))
        found = [
            whole - read(self.graft(members, rng.choice(others, len(members)), [(part,)] * len(members)))
            for part in range(self.n_parts)
        ]
        return np.stack(found, 1)

    def regions(self, drops: Array, feature: int) -> list[Region]:
        """The nested sets of parts that a feature misses most."""
        order = np.argsort(-drops[:, :, feature].mean(0), kind="stable")
        return [tuple(sorted(order[:k].tolist())) for k in self.sizes]

    def elsewhere(self, row: int, region: Region, rng: np.random.Generator) -> Region:
        """As many other parts; () where there are too few."""
        del row
        free = np.setdiff1d(np.arange(self.n_parts), np.asarray(region))
        if len(free) < len(region):
            return ()
        return tuple(rng.choice(free, len(region), replace=False).tolist())


class Pictures(_Parts):
    """Pictures (n, channels, H, W) on a grid of at most 8 x 8 cells."""

    unit = "cells"

    def __init__(self, values: Array) -> None:
        height, width = values.shape[2:]
        self.sides = tuple(max(1, round(s / _CELLS)) if s >= _SMALL else min(2, s) for s in (height, width))
        self.grid = (-(-height // self.sides[0]), -(-width // self.sides[1]))
        super().__init__(values, self.grid[0] * self.grid[1])

    def box(self, part: int) -> tuple[slice, slice]:
        """Rows and columns of pixels of a cell."""
        row, column = divmod(part, self.grid[1])
        down, across = self.sides
        return slice(row * down, (row + 1) * down), slice(column * across, (column + 1) * across)

    def _copy(self, new: Array, old: Array, k: int, part: int) -> None:
        new[(k, slice(None), *self.box(part))] = old[(slice(None), *self.box(part))]

    def describe(self, region: Region) -> str:
        """See :class:`View`."""
        places = np.array([divmod(part, self.grid[1]) for part in region]) + 0.5
        down, across = places.mean(0) / self.grid
        rows, columns = ("upper", "middle", "lower"), ("left", "middle", "right")
        where = f"{rows[min(2, int(3 * down))]} {columns[min(2, int(3 * across))]}"
        where = "middle" if where == "middle middle" else where
        share = len(region) / self.n_parts
        return f"a patch in the {where} ({100 * share:.1f} % of the picture)"


class Rows(_Parts):
    """Rows (n, d) of a table, whose columns are the parts."""

    unit = "columns"

    def __init__(self, values: Array, names: Sequence[str] = ()) -> None:
        super().__init__(values, values.shape[1])
        self.names = tuple(names) or tuple(f"column {j}" for j in range(values.shape[1]))

    def _copy(self, new: Array, old: Array, k: int, part: int) -> None:
        new[k, part] = old[part]

    def describe(self, region: Region) -> str:
        """See :class:`View`."""
        return ", ".join(self.names[part] for part in region)


class Sentences:
    """Sentences as lists of words and punctuation marks; regions are phrases of up to five of them."""

    unit = "words"
    donors = 5  # sentences are cheap

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = tuple(sentences)
        self.words = [[text.strip() for text, _ in pieces_of(one) if text.strip()] for one in sentences]
        # Scripts without spaces are joined without.
        self._between = ["" if not any(c.isspace() for c in one.strip()) else " " for one in sentences]

    def __len__(self) -> int:
        return len(self.words)

    def inputs(self, rows: Ints) -> list[str]:
        """Some examples as they are."""
        return [self.sentences[row] for row in rows]

    def _joined(self, words: Sequence[str], row: int) -> str:
        return self._between[row].join(words) or "."

    def graft(self, into: Ints, of: Ints, regions: Sequence[Region]) -> list[str]:
        """Each sentence without the phrase, and with it at its relative place if the donor has it."""
        new = []
        for row, donor, region in zip(into.tolist(), of.tolist(), regions, strict=True):
            words, own = list(self.words[row]), find(self.words[row], region)
            if own is not None:
                del words[own : own + len(region)]
            at = find(self.words[donor], region)
            if at is not None:
                place = round(at / max(1, len(self.words[donor]) - len(region)) * len(words))
                words[place:place] = region
            new.append(self._joined(words, row))
        return new

    def drops(
        self, read: DeepReader, members: Ints, others: Ints, rng: np.random.Generator
    ) -> list[tuple[list[str], Array]]:
        """Per member its words and (words, p) how far each feature falls without each."""
        del others, rng
        texts, ends = [], []
        for row in members.tolist():
            words = self.words[row]
            texts.append(self._joined(words, row))
            texts += [self._joined(words[:k] + words[k + 1 :], row) for k in range(len(words))]
            ends.append(len(texts))
        parts = np.split(read(texts), ends[:-1])
        return [(self.words[row], part[0] - part[1:]) for row, part in zip(members, parts, strict=True)]

    def regions(self, drops: list[tuple[list[str], Array]], feature: int) -> list[Region]:
        """For the three words that a feature misses most: the commonest phrases of 1 to 5 words with one."""
        total: Counter[str] = Counter()
        for words, fall in drops:
            for word, value in zip(words, fall[:, feature].tolist(), strict=True):
                total[word] += value
        found: list[Region] = []
        for n in range(1, MAX_WORDS + 1):
            for word, _ in total.most_common(3):
                grams = Counter(
                    gram for words, _ in drops for gram in sorted(_grams(words, n)) if word in gram
                )
                found += [gram for gram, _ in grams.most_common(1)]
        return list(dict.fromkeys(found))

    def elsewhere(self, row: int, region: Region, rng: np.random.Generator) -> Region:
        """As many other parts; () where there are too few."""
        free = sorted(gram for gram in _grams(self.words[row], len(region)) if not set(gram) & set(region))
        return free[int(rng.integers(len(free)))] if free else ()

    def describe(self, region: Region) -> str:
        """See :class:`View`."""
        return f"the words \N{LEFT DOUBLE QUOTATION MARK}{' '.join(region)}\N{RIGHT DOUBLE QUOTATION MARK}"


def _grams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[k : k + n]) for k in range(len(words) - n + 1)}


def find(words: Sequence[str], phrase: Region) -> int | None:
    """The place of a phrase among words, or None; an empty one is nowhere."""
    n = len(phrase)
    places = (k for k in range(len(words) - n + 1) if tuple(words[k : k + n]) == tuple(phrase))
    return next(places, None) if n else None
