"""Entropic Student (Matsubara et al., WACV 2022): a learned entropy bottleneck, trained in two stages.

In the first, encoder, prior and decoder learn together, the rate with them. In the second, encoder and prior stay and
the decoder learns on; the tail stays intact throughout, where the paper fine-tunes it, so that the server's model is
the user's own. Both stages learn the tensor and the intact model's answers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from offload.codecs.base import HEADER_BYTES
from offload.training.blocks import CONVOLUTIONS, ResidualDecoder, decoder_widths
from offload.training.network import LearnedCodec, Shaping, padded, straight_through

LEVELS = 64
_MIDDLE = LEVELS // 2
_MIXTURE = 3
"""Logistic distributions in each channel's prior."""
_WIDTH = 32
_FIRST_STAGE = 0.6
"""Of all epochs."""
_FEWEST_BITS = 1.0
"""A symbol, at first; as many channels as the ratio then allows, but not more than the layer before them has."""
_BIT_SPREAD = 1 / math.sqrt(2 * math.pi * math.e)
"""Of a normal distribution whose integers take no bit; it doubles with each."""
_MOST_SPREAD = _MIDDLE / 4
_RATE_WEIGHT = 3.0
"""Of the rate in the loss, for what it is above the one that was asked for, as a share of that."""
_FACTORS = {1: (1, 1), 2: (2, 1), 4: (2, 2)}


class Prior(nn.Module):
    """How likely each integer is, for each channel by itself: a mixture of logistic distributions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        spread = torch.linspace(-1, 1, _MIXTURE).repeat(channels, 1)
        self.shares = nn.Parameter(torch.zeros(channels, _MIXTURE))
        self.means = nn.Parameter(spread)
        self.scales = nn.Parameter(torch.zeros(channels, _MIXTURE))

    def prepare(self, spread: float) -> None:
        """Begin about as wide as values of this standard deviation are."""
        with torch.no_grad():
            self.means.mul_(spread)
            self.scales.fill_(math.log(math.expm1(spread * math.sqrt(3) / math.pi)))  # softplus of it is that

    def forward(self, values: Tensor) -> Tensor:
        """Bits of each value (N, channels, ...): -log2 of the mass within half of one around it."""
        shape = (1, values.shape[1], *([1] * (values.ndim - 2)), _MIXTURE)
        shares = torch.softmax(self.shares, dim=-1).reshape(shape)
        means, scales = self.means.reshape(shape), functional.softplus(self.scales).reshape(shape) + 0.05
        away = values.unsqueeze(-1) - means
        mass = torch.sigmoid((away + 0.5) / scales) - torch.sigmoid((away - 0.5) / scales)
        return -torch.log2((shares * mass).sum(-1).clamp_min(1e-6))


class Entropic(LearnedCodec):
    """Integers with a learned prior; the rate costs nothing up to the ratio asked for, and much above it."""

    kind = "entropic"
    coding = "range"
    levels = LEVELS

    def __init__(self, shaping: Shaping) -> None:
        super().__init__(shaping)
        rank, channels = len(shaping.layout.places), shaping.layout.channels
        self.channels = min(_WIDTH, max(4, shaping.coded_channels(_FEWEST_BITS)))
        first, second = _FACTORS[shaping.stride]
        convolution = CONVOLUTIONS[rank]
        self.encoder = nn.Sequential(
            convolution(channels, _WIDTH, 5, first, padding=2),
            nn.ReLU(),
            convolution(_WIDTH, _WIDTH, 5 if second > 1 else 3, second, padding=2 if second > 1 else 1),
            nn.ReLU(),
            convolution(_WIDTH, self.channels, 1),
        )
        self.prior = Prior(self.channels)
        self.decoder = ResidualDecoder(shaping, self.channels, decoder_widths(shaping))
        payload_bytes = max(1.0, shaping.ratio * 4 * math.prod(shaping.layout.shape) - HEADER_BYTES)
        self.wanted_bits = 8 * payload_bytes
        self.first_stage = True

    def prepare(self, x: Tensor, *, encoder: bool) -> None:
        """The first layer divides by the tensor's spread, the last gives values of about the bits that there are."""
        first, last = self.encoder[0], self.encoder[-1]
        bits = min(math.log2(LEVELS), self.wanted_bits / math.prod(self.symbols_shape))
        spread = min(_MOST_SPREAD, _BIT_SPREAD * 2**bits)
        self.prior.prepare(spread)
        with torch.no_grad():
            first.weight /= x.std().clamp_min(1e-6)
            last.weight *= spread / self.encoder(padded(x, self.shaping.stride)).std().clamp_min(1e-6)
            last.bias.zero_()
            self.decoder.rescaling.prepare(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rounded for the decoder; the rate is that of what is rounded, its gradient with noise of the same size.

        (Ballé et al., 2017, take the noise for both: it costs more bits where values vary little.)
        """
        values = self._values(x)
        rounded = torch.round(values)
        made = self.decoder(straight_through(values, rounded))
        if not self.first_stage:
            return made, values.new_zeros(())
        noisy = values + torch.rand_like(values) - 0.5
        bits = straight_through(self.prior(noisy).sum(), self.prior(rounded).sum()) / len(x)
        over = functional.relu(bits / self.wanted_bits - 1)
        # The prior learns at any rate, the encoder is held to the one that was asked for.
        fit = self.prior(noisy.detach()).mean()
        return made, _RATE_WEIGHT * over + fit - fit.detach()

    def symbols(self, x: Tensor) -> Tensor:
        """Rounded integers, the middle of the levels being 0."""
        return (torch.round(self._values(x)) + _MIDDLE).to(torch.uint8)

    def decode(self, symbols: Tensor) -> Tensor:
        """From the integers."""
        result: Tensor = self.decoder(symbols.float() - _MIDDLE)
        return result

    def begin_epoch(self, epoch: int, epochs: int) -> bool:
        """The second stage leaves encoder and prior as they are."""
        if self.first_stage and epoch >= self.formed_at(epochs):
            self.first_stage = False
            self.encoder.requires_grad_(False)
            self.prior.requires_grad_(False)
            return True
        return False

    def formed_at(self, epochs: int) -> int:
        """The second stage, whose rate stays."""
        return max(1, round(_FIRST_STAGE * epochs))

    def _values(self, x: Tensor) -> Tensor:
        values: Tensor = self.encoder(padded(x, self.shaping.stride))
        return values.clamp(-_MIDDLE, LEVELS - 1 - _MIDDLE)
