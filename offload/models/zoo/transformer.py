"""Transformers: ViT-S/16 on images, and a small encoder on token ids. Both normalise before each branch.

Names of ViT's parameters are timm's, so its published weights load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 10_000
"""Tokens that have a vector."""


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., NeurIPS 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """What each token gathers from all, in the shape of `x` (N, L, width)."""
        count, length, width = x.shape
        query, key, value = (
            each.reshape(count, length, self.heads, -1).transpose(1, 2) for each in self.qkv(x).chunk(3, dim=-1)
        )
        gathered = functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(gathered.transpose(1, 2).reshape(count, length, width))
        return projected


class FeedForward(nn.Module):
    """Two dense layers, four times as wide between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself, in the shape of `x` (N, L, width)."""
        y: Tensor = self.fc2(self.act(self.fc1(x)))
        return y


class Block(nn.Module):
    """Attention and a feed-forward network, each beside a shortcut."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens, in the shape of `x` (N, L, width)."""
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class PatchEmbedding(nn.Module):
    """One token for each 16x16 patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 16, stride=16)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, H · W / 256, width)."""
        tokens: Tensor = self.proj(image)
        return tokens.flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """(N, 3, 224, 224) images to (N, 1000) logits; ViT-S/16, 22,050,664 parameters.

    ViT is Dosovitskiy et al. (ICLR 2021); its small size is DeiT-S's (Touvron et al., ICML 2021).
    """

    def __init__(self, width: int = 384, depth: int = 12, heads: int = 6) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + 14 * 14, width))
        self.blocks = nn.Sequential(*(Block(width, heads, 1e-6) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 1000)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        patches = self.patch_embed(image)
        x = torch.cat((self.cls_token.expand(patches.shape[0], -1, -1), patches), dim=1) + self.pos_embed
        logits: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return logits


class TransformerEncoder(nn.Module):
    """(N, 128) int64 token ids below 10,000 to (N, 128, 256) encodings; 5,752,320 parameters."""

    def __init__(self, width: int = 256, depth: int = 4, heads: int = 4, length: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(torch.empty(1, length, width))
        self.blocks = nn.Sequential(*(Block(width, heads, 1e-5) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """The encoding of each token."""
        encodings: Tensor = self.norm(self.blocks(self.embedding(tokens) + self.positions))
        return encodings
