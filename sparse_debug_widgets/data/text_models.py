"""The network of the text demo: word vectors, convolutions over three words, the strongest place of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TicketsNet(nn.Module):
    """A small convolutional network for sentences: piecewise linear in the word vectors.

    Args:
        n_words: Size of the vocabulary, padding and unknown words included.
        n_classes: Rows of the decision layer.
        n_features: Deep features: channels of the convolution at their strongest place.
        width: Of a word vector.
    """

    def __init__(self, n_words: int, n_classes: int, n_features: int = 32, width: int = 24) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_words, width, padding_idx=0)
        self.convolution = nn.Conv1d(width, n_features, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(n_features, n_classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (batch, n_classes) of word ids (batch, words), 0 for padding."""
        logits: Tensor = self.fc(self.features(ids))
        return logits

    def features(self, ids: Tensor) -> Tensor:
        """Deep features (batch, n_features), what the decision layer sees; padding plays no part."""
        places = self.relu(self.convolution(self.embedding(ids).transpose(1, 2)))
        # Activations are at least 0, so that 0 at the padding never is the strongest.
        strongest: Tensor = torch.where((ids != 0).unsqueeze(1), places, 0.0).amax(2)
        return strongest
