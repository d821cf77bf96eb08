"""AE+, DeepCOD's rival: a symmetric convolutional auto-encoder with 8-bit symbols, pruned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from offload.training.blocks import CONVOLUTIONS, TRANSPOSED, Rescaling
from offload.training.network import LearnedCodec, Shaping, cropped, padded, straight_through

LEVELS = 256
BITS = 8
_WIDTH = 32
_PRUNED = 0.5
"""Share of each layer's weights, the smallest, that become 0 halfway through training."""
_PRUNED_AT = 0.5
_FACTORS = {1: (1, 1), 2: (2, 1), 4: (2, 2)}


class _Masked(nn.Module):
    """A weight with some of its values held at 0."""

    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight that was assigned, as it is."""
        return weight


class AutoEncoder(LearnedCodec):
    """Two convolutions here, the same two turned round there; magnitude pruning (Han et al., 2015)."""

    kind = "autoencoder"
    coding = "packed"
    levels = LEVELS

    def __init__(self, shaping: Shaping) -> None:
        super().__init__(shaping)
        rank, channels = len(shaping.layout.places), shaping.layout.channels
        self.channels = shaping.coded_channels(BITS)
        first, second = _FACTORS[shaping.stride]
        width = max(_WIDTH, min(channels, 2 * _WIDTH))
        self.encoder = nn.Sequential(
            _down(rank, channels, width, first), nn.ReLU(), _down(rank, width, self.channels, second)
        )
        self.decoder = _Mirrored(
            shaping,
            nn.Sequential(_up(rank, self.channels, width, second), nn.ReLU(), _up(rank, width, channels, first)),
        )
        for layer in self._layers():
            parametrize.register_parametrization(layer, "weight", _Masked(layer.weight))

    def prepare(self, x: Tensor, *, encoder: bool) -> None:
        """The first layer divides by the tensor's spread, the decoder multiplies by it."""
        first = self._layers()[0]
        with torch.no_grad():
            first.weight = first.weight / x.std().clamp_min(1e-6)
            self.decoder.rescaling.prepare(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rounded forwards, as it is backwards."""
        values = self._values(x)
        return self.decoder(straight_through(values, torch.round(values)) / (LEVELS - 1)), values.new_zeros(())

    def symbols(self, x: Tensor) -> Tensor:
        """Rounded to 8 bits."""
        return torch.round(self._values(x)).to(torch.uint8)

    def decode(self, symbols: Tensor) -> Tensor:
        """From numbers between 0 and 1."""
        result: Tensor = self.decoder(symbols.float() / (LEVELS - 1))
        return result

    def begin_epoch(self, epoch: int, epochs: int) -> bool:
        """Prune halfway; what is left goes on learning."""
        if epoch == self.formed_at(epochs):
            for layer in self._layers():
                mask = layer.parametrizations["weight"][0]
                if mask.mask.all():
                    sizes = layer.weight.detach().abs().flatten()
                    border = sizes.kthvalue(max(1, int(_PRUNED * sizes.numel()))).values
                    mask.mask.copy_((layer.weight.detach().abs() > border).float())
        return False

    def formed_at(self, epochs: int) -> int:
        """Once pruned."""
        return int(_PRUNED_AT * epochs)

    def finish(self) -> None:
        """The weights with their zeros."""
        for layer in self._layers():
            parametrize.remove_parametrizations(layer, "weight")

    def _values(self, x: Tensor) -> Tensor:
        values: Tensor = (LEVELS - 1) * torch.sigmoid(self.encoder(padded(x, self.shaping.stride)))
        return values

    def _layers(self) -> list[Any]:
        return [*(self.encoder[index] for index in (0, 2)), *(self.decoder.layers[index] for index in (0, 2))]


class _Mirrored(nn.Module):
    """The encoder's layers turned round, and the tensor's own scale."""

    def __init__(self, shaping: Shaping, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers, self.rescaling, self.places = layers, Rescaling(shaping), shaping.layout.places

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.rescaling(cropped(self.layers(values), self.places))
        return result


def _down(rank: int, inputs: int, outputs: int, factor: int) -> nn.Module:
    if factor == 1:
        layer: nn.Module = CONVOLUTIONS[rank](inputs, outputs, 3, padding=1)
    else:
        layer = CONVOLUTIONS[rank](inputs, outputs, 2 * factor, factor, padding=factor // 2)
    return layer


def _up(rank: int, inputs: int, outputs: int, factor: int) -> nn.Module:
    if factor == 1:
        layer: nn.Module = TRANSPOSED[rank](inputs, outputs, 3, padding=1)
    else:
        layer = TRANSPOSED[rank](inputs, outputs, 2 * factor, factor, padding=factor // 2)
    return layer
