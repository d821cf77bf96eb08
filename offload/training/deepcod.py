"""DeepCOD's codec (Yao et al., SenSys 2020): one strided convolution and eight levels here, a heavy decoder there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from offload.errors import OffloadError
from offload.training.blocks import CONVOLUTIONS, ResidualDecoder, decoder_widths
from offload.training.network import LearnedCodec, Shaping, padded, straight_through

LEVELS = 8
BITS = 3
_LARGEST_EXACT = 1024
"""Values in a patch up to which its principal components are found exactly."""
_POWER_STEPS = 15
"""Looks at the encoder's weight, each a step of the power iteration towards its norm."""
_WEAKEST = 1e-2
"""Deviation of a component, as a share of the strongest one's, below which it is noise and is not raised."""
_LEAST = 1e-30
_SHARPNESS = 2.0
"""Of the soft assignment: its exponent falls by this at the distance between two centres."""


class DeepCod(LearnedCodec):
    """Kernel = stride, no bias, no activation, spectral norm; centres that all channels share."""

    kind = "deepcod"
    coding = "packed"
    levels = LEVELS
    temperature: Tensor

    def __init__(self, shaping: Shaping, *, orthogonality: float = 0.0) -> None:
        """Build.

        Args:
            shaping: What it is for.
            orthogonality: Weight of ‖WᵀW − I‖² of the encoder in the loss.
        """
        super().__init__(shaping)
        rank, stride = len(shaping.layout.places), shaping.stride
        self.channels = shaping.coded_channels(BITS)
        self.orthogonality = orthogonality
        convolution = CONVOLUTIONS[rank](shaping.layout.channels, self.channels, stride, stride, bias=False)
        nn.init.orthogonal_(convolution.weight)
        self.encoder = spectral_norm(convolution)
        self.centres = nn.Parameter(torch.linspace(-1, 1, LEVELS))
        self.register_buffer("temperature", torch.ones(()))
        self.decoder = ResidualDecoder(shaping, self.channels, decoder_widths(shaping))

    def prepare(self, x: Tensor, *, encoder: bool) -> None:
        """Encoder at the principal components of the patches, centres at the quantiles of what it gives.

        The components are half whitened and turned at random, so that all channels vary alike and the shared centres
        fit each. (Ours: the paper's encoder starts at random, and so does the one that stays as drawn.)
        """
        with torch.no_grad():
            if encoder:
                self.encoder.weight = _principal(padded(x, self.shaping.stride), self.encoder)
            for _ in range(_POWER_STEPS):
                self.encoder(padded(x[:1], self.shaping.stride))
            values = self.encoder(padded(x, self.shaping.stride)).flatten()
            levels = (torch.arange(LEVELS, device=x.device) + 0.5) / LEVELS
            sample = values[:: max(1, values.numel() // 100_000)]
            self.centres.copy_(torch.quantile(sample, levels))
            gap = (self.centres[-1] - self.centres[0]) / (LEVELS - 1)
            self.temperature.copy_(_SHARPNESS / gap.clamp_min(1e-6) ** 2)
            self.decoder.rescaling.prepare(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hard values forwards, softly assigned ones backwards."""
        values = self.encoder(padded(x, self.shaping.stride))
        flat = values.flatten()
        away = flat - self.centres.unsqueeze(1)  # levels first: many times as fast as last
        soft = self.centres @ torch.softmax(-self.temperature * away.square(), dim=0)
        quantised = straight_through(soft, self._hard(flat.detach())).reshape(values.shape)
        made: Tensor = self.decoder(quantised)
        return made, self._penalty()

    def symbols(self, x: Tensor) -> Tensor:
        """The nearest centre's index."""
        values = self.encoder(padded(x, self.shaping.stride))
        nearest: Tensor = (values.unsqueeze(-1) - self.centres).abs().argmin(-1)
        return nearest.to(torch.uint8)

    def decode(self, symbols: Tensor) -> Tensor:
        """From the centres."""
        result: Tensor = self.decoder(self.centres[symbols.long()])
        return result

    def finish(self) -> None:
        """The convolution with its norm divided in."""
        parametrize.remove_parametrizations(self.encoder, "weight")

    def _hard(self, values: Tensor) -> Tensor:
        """The nearest centres; training may have changed their order."""
        centres = self.centres.detach().sort().values
        return centres[torch.bucketize(values, (centres[1:] + centres[:-1]) / 2)]

    def _penalty(self) -> Tensor:
        if not self.orthogonality or not self.encoder.parametrizations["weight"].original.requires_grad:
            return self.centres.new_zeros(())
        rows = self.encoder.weight.flatten(1)
        gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        away: Tensor = (gram - torch.eye(len(gram), device=gram.device)).square().sum()
        return self.orthogonality * away


def _principal(x: Tensor, encoder: Any) -> Tensor:
    """The strongest components of patches of x as the encoder's kernels, half whitened and turned within their space.

    Turned alone, the channels would all follow the strongest component, and their quantisers drown the others. The mean
    patch gives the same value in each channel, around which the shared centres can lie.
    """
    shape = encoder.weight.shape
    stride, axes = shape[2], range(2, x.ndim)
    for axis in axes:
        x = x.unfold(axis, stride, stride)
    places = len(shape) - 2
    patches = x.permute(0, *range(2, 2 + places), 1, *range(2 + places, x.ndim)).reshape(-1, shape[1:].numel())
    mean = patches.mean(0)
    centred = (patches - mean).double()
    if not centred.isfinite().all():
        raise OffloadError(
            "the tensor at the cut has values too large to compute with", hint="scale the data down, or cut elsewhere"
        )
    if centred.shape[1] <= _LARGEST_EXACT:
        kept = torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, : shape[0]].T
    else:  # the exact ones would take minutes
        kept = torch.svd_lowrank(centred, q=min(2 * shape[0], *centred.shape), niter=4)[2][:, : shape[0]].T
    deviations = (centred @ kept.T).norm(dim=0)
    shares = deviations / deviations.max().clamp_min(_LEAST)
    kept = kept / torch.where(shares < _WEAKEST, 1.0, shares).sqrt().unsqueeze(1)
    turn = _evening(kept @ mean.double())
    weight = torch.zeros(shape[0], shape[1:].numel(), dtype=torch.float64)
    weight[: len(kept)] = (turn @ kept).cpu()
    if len(kept) < shape[0]:  # more channels than values in a patch
        weight[len(kept) :] = nn.init.orthogonal_(weight[len(kept) :].clone())
    return weight.float().reshape(shape).to(x.device)


def _evening(vector: Tensor) -> Tensor:
    """A random rotation, but for one reflection, that takes a vector to one whose elements are equal; float64."""
    turn = torch.linalg.qr(torch.randn(len(vector), len(vector), dtype=torch.float64))[0].to(vector.device)
    turned = turn @ vector
    away = turned - turned.norm() / len(vector) ** 0.5
    away = away / away.norm().clamp_min(_LEAST)
    evened: Tensor = turn - 2 * torch.outer(away, away @ turn)
    return evened
