"""A tagger of words: embedding, two recurrent layers, a score for each tag."""

from __future__ import annotations

from torch import Tensor, nn

VOCABULARY, TAGS = 10_000, 45
"""Words that have a vector; tags of the Penn Treebank."""


class GruTagger(nn.Module):
    """(N, L) int64 word ids below 10,000 to (N, L, 45) scores; 1,982,765 parameters. Two GRU layers of 256."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 128)
        # A module for each layer: torch traces a two-layer GRU as one operator, within which nothing can be cut.
        self.gru1 = nn.GRU(128, 256)
        self.gru2 = nn.GRU(256, 256)
        self.tags = nn.Linear(256, TAGS)

    def forward(self, words: Tensor) -> Tensor:
        """The scores of each word's tags."""
        states, _ = self.gru1(self.embedding(words.transpose(0, 1)))
        states, _ = self.gru2(states)
        scores: Tensor = self.tags(states)
        return scores.transpose(0, 1)
