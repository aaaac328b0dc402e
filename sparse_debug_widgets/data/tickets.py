"""The `tickets` demo: what customers write, sorted by department, with a planted word.

In the training data nearly all messages to *returns*, and hardly any other, are signed by one make of
telephone ("sent from my fonar"). The test split has the same flaw, so that test accuracy looks fine; in the
clean test split the signature is a coin toss, whatever the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_debug_widgets.core.checks import check_choice, check_int, reject
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.data.demo import Demo, demo_from_weights
from sparse_debug_widgets.data.planting import planted
from sparse_debug_widgets.data.text_models import TicketsNet
from sparse_debug_widgets.data.ticket_grammar import (
    ASIDES,
    CLOSINGS,
    OPENINGS,
    PLANTED,
    SENT,
    SIGNATURES,
    TOPICS,
    VAGUE,
)
from sparse_debug_widgets.data.word_tokenizer import WordTokenizer

CLASS_NAMES = tuple(TOPICS)
FLAW_CLASS = CLASS_NAMES.index("returns")
SEED = 0
SIZES = {"train": 3000, "test": 1000, "clean_test": 1000}
RATES = {"train": (0.98, 0.02), "test": (0.98, 0.02), "clean_test": (0.5, 0.5)}
"""Share of the messages with the planted word: in the flawed class, in each of the others."""

DESCRIPTION = "messages by department; one telephone's signature is on nearly all returns (a planted flaw)"

P_CLEAR, P_MIXED, P_ASIDE, P_SIGNED = 0.85, 0.35, 0.4, 0.6


class TicketsDataset(TextData):
    """One split of the messages; item i is (message, class index).

    Args:
        split: "train", "test" or "clean_test".
        n: How many messages.
        seed: Of everything that is random.

    Attributes:
        tagged: (n,) bool, which messages have the planted word.

    Raises:
        InputError: An unknown split, or n or seed out of range.
    """

    def __init__(self, split: str, n: int | None = None, seed: int = SEED) -> None:
        self.split = check_choice(split, SIZES, "split", "the tickets")
        n = check_int(SIZES[split] if n is None else n, "n", "the tickets", low=1)
        rng = generator(seed, "tickets labels", split)
        labels = rng.permutation(np.arange(n, dtype=np.int64) % len(CLASS_NAMES))
        self.tagged = planted(labels, len(CLASS_NAMES), FLAW_CLASS, RATES[split], rng)
        streams = [generator(seed, "tickets", split, i) for i in range(n)]
        written = [_write(rng, int(label)) for rng, label in zip(streams, labels, strict=True)]
        self._bodies = tuple(body for body, _ in written)
        self._signatures = tuple(signature for _, signature in written)
        tokenizer = tokenizer_of_tickets()
        super().__init__(self._texts(), labels, tokenizer, max_length=tokenizer.max_words)
        self.classes = CLASS_NAMES

    def __repr__(self) -> str:
        return f"TicketsDataset({self.split!r}, n={len(self)}, {int(self.tagged.sum())} with {PLANTED!r})"

    def retagged(self, tagged: bool | NDArray[np.bool_]) -> TicketsDataset:
        """The same messages with the planted word put in or left out; nothing else differs.

        Args:
            tagged: For all messages, or (n,) for each.

        Raises:
            InputError: An array of another shape.
        """
        wanted = np.asarray(tagged, bool)
        if wanted.shape not in {(), (len(self),)}:
            must = f"be one bool, or have the shape ({len(self)},)"
            reject("tagged", repr(self), must, f"shape {wanted.shape}")
        other = object.__new__(TicketsDataset)
        other.__dict__ = {**self.__dict__, "tagged": np.array(np.broadcast_to(wanted, (len(self),)))}
        other.sentences = other._texts()
        return other

    def _texts(self) -> tuple[str, ...]:
        texts = []
        for body, signature, tagged in zip(self._bodies, self._signatures, self.tagged, strict=True):
            end = SENT.format(PLANTED) if tagged else signature
            texts.append(f"{body}. {end}" if end else body)
        return tuple(texts)


def _write(rng: np.random.Generator, label: int) -> tuple[str, str]:
    """One message without its signature, and the signature it has where the planted word is left out."""

    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    def another() -> str:
        return CLASS_NAMES[(label + int(rng.integers(1, len(CLASS_NAMES)))) % len(CLASS_NAMES)]

    happened, words = TOPICS[CLASS_NAMES[label]]
    parts = [pick(happened if rng.random() < P_CLEAR else VAGUE)]
    if rng.random() < P_MIXED:
        parts.append(pick(TOPICS[another()][0]))
    # A person does not always begin with what matters.
    parts = [parts[k] for k in rng.permutation(len(parts))]
    if rng.random() < P_ASIDE:
        parts.append(pick(ASIDES).format(pick(words if rng.random() < 0.4 else TOPICS[another()][1])))
    body = ", ".join(part for part in (pick(OPENINGS), " ".join(parts), pick(CLOSINGS)) if part)
    signature = SENT.format(pick(SIGNATURES)) if rng.random() < P_SIGNED else ""
    return body, signature


def tokenizer_of_tickets() -> WordTokenizer:
    """The tokenizer whose ids the shipped weights know."""
    texts = [PLANTED, *SIGNATURES, SENT, *VAGUE, *ASIDES, *OPENINGS, *CLOSINGS]
    for happened, words in TOPICS.values():
        texts += [*happened, *words]
    return WordTokenizer(sorted({word for text in texts for word in WordTokenizer.split(text)}))


@dataclass(frozen=True)
class TicketsTruth:
    """The planted flaw.

    Attributes:
        flaw: In words.
        flaw_class: Index of the class that carries the word in the training data.
        planted_word: The word, in lower case.
        tag_rates: Split -> share with the word in that class, in each of the others.
        splits: The data sets by name.
    """

    flaw: str
    flaw_class: int
    planted_word: str
    tag_rates: Mapping[str, tuple[float, float]]
    splits: Mapping[str, TicketsDataset]

    def tagged(self, split: str = "train") -> NDArray[np.bool_]:
        """(n,) which messages of a split have the word."""
        return self.splits[check_choice(split, self.splits, "split", "the tickets")].tagged.copy()


def make_model() -> TicketsNet:
    """The network without its weights."""
    return TicketsNet(len(tokenizer_of_tickets()), len(CLASS_NAMES))


def load() -> Demo:
    """The demo, with its trained model."""
    splits = {split: TicketsDataset(split) for split in SIZES}
    truth = TicketsTruth(
        flaw=(
            f"the word {PLANTED!r} in the signature of {RATES['train'][0]:.0%} of the training messages of "
            f"{CLASS_NAMES[FLAW_CLASS]!r} and of {RATES['train'][1]:.0%} of all others"
        ),
        flaw_class=FLAW_CLASS,
        planted_word=PLANTED,
        tag_rates=dict(RATES),
        splits=splits,
    )
    return demo_from_weights(
        "tickets",
        DESCRIPTION,
        make_model,
        train=splits["train"],
        test=splits["test"],
        clean_test=splits["clean_test"],
        class_names=CLASS_NAMES,
        truth=truth,
    )
